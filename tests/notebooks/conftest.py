"""The markets that the pages are of; all workers share one copy, which nobody changes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines import job
from pipelines.kalshi.extraction import LoadSettings
from pipelines.sandbox import ManualClock, Market, serve, simulate
from pipelines.store.database import Database
from tests.accounts import Shown, of_both, of_desk, of_maker, published
from tests.conftest import NOON
from tests.metrics.markets import closed_rfq, quote, rfq
from tests.notebooks.written_pages import WrittenPage
from tests.running import UNHURRIED, Command, access_of, ignore, made_once

ACCOUNTS = ("desk", "maker")
HOSTILE_TICKERS = (
    "<script>alert(1)</script>-26-A",
    '=cmd|"/c calc"!A1',
    "+1",
    "@SUM(A1)",
    "K" * 10_000,
    "a\x1b[31m\x07b",
    "-1\"'</td>\u202e\u2028\r\n{{7*7}}",
)


def of_accounts(folder: Path) -> dict[str, Path]:
    return {account: folder / f"{account}.duckdb" for account in ACCOUNTS}


@pytest.fixture(scope="session")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The small market that was worked by hand, as each account sees it."""
    return of_accounts(made_once(tmp_path_factory, "by-hand", _publish_by_hand))


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """What a maker sees, who quoted RFQs of tickers that no page and no sheet may carry out."""
    rfqs, quotes = [], []
    for n, ticker in enumerate(HOSTILE_TICKERS):
        asked = {"creator_id": "stranger", "market_ticker": ticker}
        rfqs.append(closed_rfq(f"r{n}", 0, 30, **asked))
        seen = {"rfq_creator_id": "stranger", "market_ticker": ticker}
        quotes.append(quote(f"q{n}", f"r{n}", 1, creator_id="A") | seen)
    return published(tmp_path / "hostile.duckdb", Shown("A", rfqs, quotes)).path


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An account that asks and quotes, of a market worked by hand."""
    return published(tmp_path_factory.mktemp("both") / "both.duckdb", of_both()).path


@pytest.fixture(scope="session")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that holds one RFQ and no quote."""
    path = tmp_path_factory.mktemp("one") / "one.duckdb"
    return published(path, Shown("desk", [rfq("only", 0)])).path


@pytest.fixture(scope="session")
def known(both: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the same file, and nothing in it beside."""
    with duckdb.connect(both, read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        yield connection


@pytest.fixture(scope="session")
def seed_one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sandbox's market of three days of seed 1, 200 RFQs a day, until noon."""
    return of_accounts(made_once(tmp_path_factory, "seed-1", _run_seed_one))


@pytest.fixture
def write(rfq: Command, tmp_path: Path) -> Any:
    """Write a report of a database; return the page, or how the command ended otherwise."""

    def write_page(database: Path, *options: object) -> WrittenPage:
        output = tmp_path / "page.html"
        ended = rfq("report", "--output", output, "--database", database, *options)
        assert ended.code == 0, ended.err
        assert "Traceback" not in ended.err
        return WrittenPage(output.read_text())

    return write_page


@pytest.fixture
def write_figures(write: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same without its charts, which take most of the time."""
    monkeypatch.setattr("notebooks.report.page.charts", lambda *arguments: iter(()))
    return write


@pytest.fixture
def desk(by_hand: dict[str, Path]) -> Path:
    return by_hand["desk"]


@pytest.fixture
def maker(by_hand: dict[str, Path]) -> Path:
    return by_hand["maker"]


def _publish_by_hand(folder: Path) -> None:
    published(folder / "desk.duckdb", Shown("desk", *of_desk()))
    published(folder / "maker.duckdb", Shown("A", *of_maker()))


def _run_seed_one(folder: Path) -> None:
    market = Market(clock=ManualClock(NOON), behavior=UNHURRIED)
    accounts = {name: market.add_account(name) for name in ACCOUNTS}
    simulate(market, seed=1, days=3.0, rfqs_per_day=200, until=NOON)
    with serve(market) as exchange:
        for name, account in accounts.items():
            database = Database(folder / f"{name}.duckdb")
            job.run(database, access_of(exchange, account, LoadSettings()), ignore)
