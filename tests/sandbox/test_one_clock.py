"""The market's clock: it dates everything, and days pass when it is told so."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from pipelines.kalshi.client.reader import open_reader
from pipelines.kalshi.client.signing import load_signer
from pipelines.sandbox import (
    Behavior,
    ManualClock,
    Market,
    ScaledClock,
    SystemClock,
    serve,
    unfold,
)
from pipelines.sandbox.control import CLOCK_PATH
from pipelines.sandbox.faults import ErrorOrder
from pipelines.sandbox.listing_pages import QuoteFilters, RfqFilters
from pipelines.store.database import Database
from tests.profile import nightly
from tests.running import PLENTY, build_few, read

# Far from what any machine's clock says, so that a second clock anywhere would show.
LATER = datetime(2040, 1, 2, 12, tzinfo=UTC)
EVERY_S, DAY_S = 6 * 3_600, 86_400
BREAK_S = 3 * DAY_S


@pytest.fixture
def move(parties):
    """Move the served market's clock over HTTP, with this body."""
    origin = parties.exchange.base_url.removesuffix("/trade-api/v2")
    return lambda body: parties.http.post(origin + CLOCK_PATH, content=body)


def test_everything_follows_the_clock_that_was_moved(parties, move):
    """An RFQ of noon expires after 3 hours, and is gone 7 days after that."""
    desk, day_s = parties.desk, DAY_S
    rfq_id = desk.create_rfq()
    path = f"/communications/rfqs/{rfq_id}"

    moved = move(f'{{"advance_s": {day_s}}}')
    closed = desk("GET", path)
    move(f'{{"advance_s": {7 * day_s}}}')
    gone = desk("GET", path)

    assert (moved.status_code, moved.json()) == (200, {"now": "2026-11-21T12:00:00Z"})
    assert closed.headers["Date"] == "Sat, 21 Nov 2026 12:00:00 GMT"
    assert closed.json()["rfq"]["status"] == "closed"
    assert closed.json()["rfq"]["updated_ts"] == "2026-11-20T15:00:00Z"
    assert gone.status_code == 404


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('{"advance_s": -1}', "forward only"),
        ('{"advance_s": 1e9}', "at the most"),
        ('{"advance_s": NaN}', "at the most"),
        ('{"advance_s": "1"}', "cannot be '1'"),
        ('{"advance_s": true}', "cannot be True"),
        ('{"to": 5}', "must be an object with advance_s"),
        ("[]", "must be an object with advance_s"),
        ("x", "not JSON"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused_and_moves_nothing(market, move, body, why):
    before = market.clock.now()

    refused = move(body)

    assert refused.status_code == 400
    assert why in refused.json()["error"]["message"]
    assert market.clock.now() == before


@pytest.mark.parametrize("clock", [SystemClock(), ScaledClock(60), ManualClock(LATER)])
def test_every_clock_moves_on_and_none_back(clock):
    market, before = Market(clock=clock), clock.now()

    assert market.advance(DAY_S) >= before + timedelta(days=1)
    with pytest.raises(ValueError, match="forward only"):
        market.advance(-1)


def test_signatures_follow_the_wall_clock_however_far_the_market_is(parties, move):
    move(f'{{"advance_s": {30 * DAY_S}}}')

    assert parties.desk("GET", "/communications/id").status_code == 200


@pytest.mark.parametrize(("name", "is_followed"), [("seed=1", True), ("", False)])
def test_a_reader_follows_a_leap_of_a_sandbox_at_once_and_of_others_not(
    market, parties, move, name, is_followed
):
    """Days that pass while a run reads are the market's; elsewhere such a date is not believed."""
    market.name = name
    key = parties.desk.account
    signer = load_signer(key.api_key_id, private_key=key.private_key_pem)
    with open_reader(parties.exchange.base_url, signer) as reader:
        for _ in range(3):
            reader.get_communications_id()
        before_s = reader.clock_skew_s
        move(f'{{"advance_s": {BREAK_S}}}')
        reader.get_communications_id()

        followed_s = reader.clock_skew_s - before_s

    assert round(followed_s / DAY_S) == (3 if is_followed else 0)


def test_a_span_of_a_sandbox_may_begin_in_our_future(market, parties, rfq, tmp_path, monkeypatch):
    """The key is refused after the span was taken; elsewhere the span is wrong usage."""
    key = parties.desk.account
    monkeypatch.setenv("SOURCES__KALSHI__API_KEY_ID", key.api_key_id)
    monkeypatch.setenv("SOURCES__KALSHI__PRIVATE_KEY", key.private_key_pem)
    market.faults.errors = [ErrorOrder(403, "forbidden", "GetCommunicationsID")]
    wanted = ("backfill", "--since", "2999-01-01", "--database", tmp_path / "rfq.duckdb")

    here = rfq(*wanted, "--base-url", parties.exchange.base_url)
    elsewhere = rfq(*wanted, "--base-url", "https://demo-api.kalshi.co/trade-api/v2")

    assert (here.code, elsewhere.code) == (77, 2)
    assert "forbidden" in here.err
    assert "--since is not before --until" in elsewhere.err


@pytest.fixture
def going_on():
    """A market of 2040 that goes on, whose desk has a key that only reads."""
    behavior = Behavior(
        rate_limits=False,
        read_bucket=PLENTY,
        write_bucket=PLENTY,
        quotes_of_deleted_rfq="cancel",
    )
    market = Market(clock=ManualClock(LATER), behavior=behavior)
    market.add_account("desk", scopes=("read",))
    unfold(market, seed=3, rfqs_per_day=60)
    return market


@nightly("test_month.py does more of it")
def test_five_runs_around_a_gap_of_three_days(going_on, rfq, tmp_path, monkeypatch):
    """Five runs with three days between the second and the third end at the truth."""
    build_few(monkeypatch.setattr)
    desk = going_on.account("desk")
    database = Database(tmp_path / "rfq.duckdb")
    monkeypatch.setenv("SOURCES__KALSHI__API_KEY_ID", desk.api_key_id)
    monkeypatch.setenv("SOURCES__KALSHI__PRIVATE_KEY", desk.private_key_pem)
    ended, gaps, shown = [], [], ""
    with serve(going_on) as exchange:
        clock_url = exchange.base_url.removesuffix("/trade-api/v2") + CLOCK_PATH
        for pause_s in (EVERY_S, EVERY_S, BREAK_S, EVERY_S, EVERY_S):
            httpx.post(clock_url, json={"advance_s": pause_s}, trust_env=False).raise_for_status()
            ended.append(rfq("run", "--base-url", exchange.base_url, "--database", database.path))
            with database.writing() as raw:
                gaps += raw.execute(_LAST_GAP).fetchall()
            if pause_s == BREAK_S:
                shown = rfq("status", "--database", database.path).out
                told = json.loads(rfq("status", "--json", "--database", database.path).out)

    assert [run.code for run in ended] == [0] * 5, ended[-1].err
    # A watermark is where a pass began, and its clock stood still: a gap is what passed between.
    assert [gap for (gap,) in gaps] == [None, EVERY_S, BREAK_S, EVERY_S, EVERY_S]
    assert BREAK_S in {each["gap_s"] for each in told["passes"]}
    assert "2040-01-06 00:00:00" in shown
    assert dict(
        read(
            database, "select rfq_id, exchange_status from marts.rfq_facts where visibility = 'own'"
        )
    ) == {
        row["id"]: row["status"]
        for row in _all(going_on.get_rfqs, desk, RfqFilters(requester=desk.user_id))
    }
    assert dict(read(database, "select quote_id, exchange_status from marts.quote_facts")) == {
        row["id"]: row["status"]
        for row in _all(going_on.get_quotes, desk, QuoteFilters(requester=desk.user_id))
    }


_LAST_GAP = """
select arg_max(gap_s, rowid) from raw.extraction_runs where pass = 'quotes_received'
"""


def _all(read_page, account, filters):
    page = read_page(account, filters)
    rows = page.rows
    while page.cursor is not None:
        page = read_page(account, filters, cursor=page.cursor)
        rows += page.rows
    return rows
