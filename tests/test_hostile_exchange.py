"""What `rfq run` says and ends with, when the exchange or something in front of it misbehaves."""

import itertools
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.kalshi.client import session
from pipelines.kalshi.client.session import RetryPolicy
from pipelines.sandbox import Account, ManualClock, Market, routes
from pipelines.store.database import Database
from tests.client.fault_server import (
    FaultServer,
    FaultStep,
    drips,
    empty_exchange,
    http,
    says,
    sends,
    serve_faults,
    stays_silent,
    streams,
)
from tests.extraction.exchange_objects import create_quote, create_rfq
from tests.running import Command, Ended, read
from tests.test_cli import assert_shows_no_key

pytestmark = pytest.mark.usefixtures("few_marts")

HTML = {"Content-Type": "text/html"}
ID, LIMITS, QUOTES = "/communications/id", "/account/limits", "/communications/quotes"
BETWEEN = "as the exchange never refuses: something in front of it does"
LATE = "no complete answer in time"


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An exchange that has nothing, asked by a client that soon gives up."""
    monkeypatch.setattr(session, "RetryPolicy", partial(RetryPolicy, attempts=2, base_s=0.001))
    with serve_faults() as server:
        server.paths = empty_exchange()
        yield server


Run = Callable[[dict[str, FaultStep]], Ended]


@pytest.fixture
def run(rfq: Command, key: Path, hostile: FaultServer, database: Database, desk: Account) -> Run:
    """Run the command against `hostile`, changed as told; whatever it says shows no key."""

    def run_against(changes: dict[str, FaultStep]) -> Ended:
        hostile.paths |= changes
        ended = rfq("run", "--base-url", hostile.base_url, "--database", database.path)
        assert_shows_no_key(ended, desk)
        assert "a bug" not in ended.err
        return ended

    return run_against


def html(status: int) -> FaultStep:
    return sends(http(status, b"<html>Sorry, you have been blocked</html>", HTML))


def throttled(retry_after: str) -> FaultStep:
    return says(503, {}, {"Retry-After": retry_after})


FIRST_ANSWERS: dict[str, tuple[FaultStep, int, str]] = {
    "Retry-After: nan": (throttled("nan"), 69, "HTTP 503 (2 attempts). Run again"),
    "an absurd Retry-After": (throttled("Fri, 31 Dec 9999 23:59:59 -0100"), 69, "HTTP 503 (2"),
    "a long Retry-After": (throttled("7200"), 75, "the exchange asks to wait 7200 s. Run again"),
    "a slow body": (drips(http(200, b"{}" * 99), 0.1, after=150), 69, LATE),
    "slow headers": (drips(http(200, b"{}"), 0.1), 69, LATE),
    "silence": (stays_silent, 69, LATE),
    "early hints for ever": (
        streams(b"", lambda: itertools.repeat(b"HTTP/1.1 103 Early Hints\r\n\r\n")),
        69,
        LATE,
    ),
    "a status that is none": (sends(b"HTTP/1.1 99 ?\r\n\r\n"), 69, "was not HTTP"),
    "401 by something in between": (html(401), 69, BETWEEN),
    "403 by something in between": (html(403), 69, BETWEEN),
    "404 by something in between": (html(404), 69, BETWEEN),
    "407": (html(407), 69, BETWEEN),
    "451": (html(451), 69, BETWEEN),
    "a page to log in": (html(200), 69, "HTTP 200 with a body that is text/html, not JSON"),
    "a redirect to a page to log in": (html(302), 69, BETWEEN),
    "401 by the exchange": (says(401, {"error": {"code": "authentication_error"}}), 77, "key id"),
    "403 by the exchange": (says(403, {"error": {"code": "forbidden"}}), 77, "scope"),
    "404 by the exchange": (says(404, {"error": {"code": "not_found"}}), 78, "base URL"),
    "an error of 10 MB": (sends(http(403, b" " * 10_000_000)), 69, "larger than 1,048,576 bytes"),
    "an id of 1 MB": (says(200, {"communications_id": "c" * 1_000_000}), 69, "was no id"),
    "keys without end": (
        sends(http(200, b'{"a":1' + b',"":0' * 300_000 + b"}")),
        69,
        "larger than 1,048,576 bytes",
    ),
    "a date of the year 9999": (
        says(503, {}, {"Date": "Fri, 31 Dec 9999 23:59:59 -0100", "Retry-After": "0"}),
        69,
        "HTTP 503 (2 attempts)",
    ),
}


@pytest.mark.parametrize(
    ("answer", "code", "sentence"), FIRST_ANSWERS.values(), ids=FIRST_ANSWERS.keys()
)
def test_a_first_answer_that_is_none_ends_the_run_with_a_true_sentence(
    run: Run, answer: FaultStep, code: int, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sentence == LATE:
        # What never ends uses up the time for all attempts.
        short = partial(RetryPolicy, attempts=2, base_s=0.001, attempt_s=0.3, budget_s=0.4)
        monkeypatch.setattr(session, "RetryPolicy", short)

    ended = run({ID: answer})

    assert (ended.code, ended.out) == (code, "")
    assert sentence in ended.err
    assert "rfq: GET /communications/id: " in ended.err


LISTS: dict[str, tuple[FaultStep, int, str]] = {
    "400,000 empty objects": (
        sends(http(200, b'{"quotes":[' + b"{}," * 399_999 + b"{}]}")),
        69,
        "the JSON held more than 300,000 values",
    ),
    "eleven times the rows asked for": (
        says(200, {"quotes": [{}] * 5_500}),
        69,
        "the page held 5,500 quotes where 500 were asked for",
    ),
    "a cursor of 10 MB": (
        says(200, {"quotes": [], "cursor": "c" * 10_000_000}),
        69,
        "the page's cursor was no text that could be one",
    ),
    "a 403 in HTML": (html(403), 69, BETWEEN),
}


@pytest.mark.parametrize(("answer", "code", "sentence"), LISTS.values(), ids=LISTS.keys())
def test_a_page_that_is_none_ends_the_run_and_moves_no_watermark(
    run: Run, database: Database, answer: FaultStep, code: int, sentence: str
) -> None:
    """What is asked about the account first may fail as it likes: it is not needed."""
    odd = {"Date": "Fri, 31 Dec 9999 23:59:59 GMT"}

    ended = run({LIMITS: html(403), "/api_keys": says(200, {}, odd), QUOTES: answer})

    assert ended.code == code
    assert sentence in ended.err
    assert not database.path.exists()
    with duckdb.connect(database.private_path) as connection:
        marks = "select pass, watermark_after_ts from raw.extraction_runs where pass like 'quotes%'"
        assert {mark for _, mark in connection.execute(marks).fetchall()} <= {None}


FAR = "Fri, 31 Dec 9999 23:59:59 GMT"
LEAP, ODD = "Fri, 31 Dec 2060 23:59:60 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"


def test_no_date_loses_a_row(
    rfq: Command,
    key: Path,
    exchange: Any,
    market: Market,
    clock: ManualClock,
    desk: Account,
    maker: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """This machine's clock is days ahead of the exchange's, which stands on the 20th.

    Some dates are odd in the first run, all in the second; "" is the right one. The exchange does
    not name its market: of one that does the clock that it tells is believed, and no date counts.
    """
    market.name = ""
    usual = routes.format_datetime
    where = ("--base-url", exchange.base_url, "--database", database.path)
    for number, texts in enumerate((["", "", "", LEAP, "", ODD, "-", FAR], [FAR], [""])):
        turns = itertools.cycle(texts)
        dated = lambda now, usegmt, turns=turns: next(turns) or usual(now, usegmt=usegmt)  # noqa: E731
        monkeypatch.setattr(routes, "format_datetime", dated)
        create_quote(market, maker, create_rfq(market, desk, number))

        ended = rfq("run", *where)

        assert ended.code == 0, ended.err
        # What is shown ends where the exchange's clock is known; what is held does not.
        with duckdb.connect(database.private_path, read_only=True) as held:
            found = held.execute("select count(distinct id) from raw.quote_versions").fetchall()
        assert found == [(number + 1,)]
        clock.advance(3600)


def test_a_clock_of_ours_that_is_slow_is_told_of_once_and_loses_nothing(
    rfq: Command,
    key: Path,
    exchange: Any,
    market: Market,
    desk: Account,
    clock: ManualClock,
    database: Database,
) -> None:
    """The exchange is an hour ahead: its RFQ is loaded, and shown when our clock is there."""
    market.name = ""
    clock.advance((datetime.now(UTC) - clock.now()).total_seconds() + 3_600)
    market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")

    ended = rfq("run", "--base-url", exchange.base_url, "--database", database.path)

    assert ended.code == 0, ended.err
    told = [line for line in ended.err.splitlines() if "behind the exchange's" in line]
    assert len(told) == 1
    assert re.search(r"clock is 36\d\d s behind|clock is 35\d\d s behind", told[0])
    assert read(database, "select count(*) from staging.rfqs") == [(0,)]
    with duckdb.connect(database.private_path, read_only=True) as connection:
        assert connection.execute("select count(*) from raw.rfq_versions").fetchall() == [(1,)]
