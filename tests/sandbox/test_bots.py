"""The two bots of the guide, over a real socket with real signatures, and what runs say."""

from __future__ import annotations

import inspect
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.sandbox import ManualClock, Market, serve, simulate, unfold
from pipelines.store.database import Database
from tests.running import UNHURRIED, read
from tests.sandbox import bots
from tests.sandbox.bots import Client, Notes, make_a_market, request_and_buy

pytestmark = pytest.mark.usefixtures("few_marts")
GUIDE = (Path(__file__).parents[2] / "pipelines" / "sandbox" / "README.md").read_text()
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
WITHIN = timedelta(seconds=200)
PAUSE_S = 0.5
_EXECUTED = """
select quote_id, accepted_side, requester_side, requester_price_dollars, executed_contracts
from marts.quote_facts where outcome = 'done'
"""


@pytest.fixture
def lively():
    """The market of `rfq sandbox --speed 10 --account mybot --account mymaker`, but for its days
    and its clock, which a bot's pause moves."""
    clock = ManualClock(NOON)
    market = Market(clock=clock, behavior=UNHURRIED)
    for name in ("mybot", "mymaker"):
        market.add_account(name)
    simulate(market, seed=1, days=0.2, rfqs_per_day=1_500)
    unfold(market, seed=1, rfqs_per_day=1_500)
    with serve(market) as exchange:
        yield SimpleNamespace(clock=clock, market=market, base_url=exchange.base_url)


def traded(lively, name: str, bot) -> Notes:
    """What the *bot* of account *name* wrote down; it has traded within 200 market seconds."""
    account, until = lively.market.account(name), lively.clock.now() + WITHIN

    def pause() -> None:
        lively.clock.advance(PAUSE_S)
        assert lively.clock.now() <= until, "no trade in time"

    client = Client(lively.base_url, account.api_key_id, account.private_key_pem)
    with client.http:
        notes: Notes = bot(client, pause)
    return notes


def run_as(lively, name: str, rfq, monkeypatch, folder: Path) -> Database:
    """The database of a run with the account's read key, a second after the bot has ended.

    What is shown is as of the whole second that the Date of the first answer tells.
    """
    lively.clock.advance(1)
    reading = lively.market.add_key(lively.market.account(name), scopes=("read",))
    database = Database(folder / f"{name}.duckdb")
    monkeypatch.setenv("SOURCES__KALSHI__API_KEY_ID", reading.api_key_id)
    monkeypatch.setenv("SOURCES__KALSHI__PRIVATE_KEY", reading.private_key_pem)
    ended = rfq("run", "--base-url", lively.base_url, "--database", database.path)
    assert ended.code == 0, ended.err
    return database


def noted_trades(notes: Notes) -> set[tuple[Any, ...]]:
    """The executed quotes that a bot wrote down, with the requester's side and price."""
    trades = set()
    for quote in notes.values():
        if quote["status"] == "executed":
            side = quote["accepted_side"]
            price = 1 - Decimal(quote[f"{side}_bid_dollars"])
            contracts = Decimal(quote[f"{side}_contracts_fp"])
            bought = "buy_yes" if side == "no" else "buy_no"
            trades.add((quote["id"], side, bought, price, contracts))
    return trades


def test_a_maker_trades_within_200_s_and_its_run_agrees(lively, rfq, monkeypatch, tmp_path):
    notes = traded(lively, "mymaker", make_a_market)

    database = run_as(lively, "mymaker", rfq, monkeypatch, tmp_path)

    assert noted_trades(notes)
    assert set(read(database, _EXECUTED)) == noted_trades(notes)
    known = dict(read(database, "select quote_id, is_made_by_viewer from marts.quote_facts"))
    # The quotes on an RFQ that its requester has deleted since are gone.
    assert {quote["id"] for quote in notes.values() if "accepted_ts" in quote} <= known.keys()
    assert set(known.values()) == {True}


def test_a_requester_trades_within_200_s_and_its_run_agrees(lively, rfq, monkeypatch, tmp_path):
    notes = traded(lively, "mybot", request_and_buy)

    database = run_as(lively, "mybot", rfq, monkeypatch, tmp_path)

    assert len(noted_trades(notes)) == 1
    assert set(read(database, _EXECUTED)) == noted_trades(notes)
    ((requested, executed, quotes),) = read(
        database,
        "select count(*), count(*) filter (state = 'executed'), sum(n_quotes_raw)"
        " from marts.rfq_facts where visibility = 'own'",
    )
    assert requested == len({quote["rfq_id"] for quote in notes.values()})
    assert executed == 1
    assert quotes == len([quote for quote in notes.values() if quote["rfq_id"] == _last(notes)])


def _last(notes: Notes) -> str:
    """The RFQ of the last quote; of those before it, which were replaced, the quotes are gone."""
    return max(notes.values(), key=lambda quote: quote["created_ts"])["rfq_id"]


@pytest.mark.parametrize("part", [Client, make_a_market, request_and_buy], ids=lambda p: p.__name__)
def test_the_guide_shows_the_bots_as_they_are(part):
    source = inspect.getsource(part).strip()

    assert source in GUIDE
    assert source.count("\n") < 30
    assert re.search(r"^import httpx$", inspect.getsource(bots), re.MULTILINE)
