"""A watch on a market whose clock is driven: what it sees, when it is stored, how it ends."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.database import Database
from pipelines.kalshi.extraction import LoadSettings
from pipelines.runs import read_record
from pipelines.sandbox import Account, ManualClock, Market
from tests.conftest import NOON
from tests.crash.trial import wait_until
from tests.running import Command, access_of, read
from tests.watching import Plan, raw, watched

REACH = LoadSettings(retention=timedelta(hours=12), history=timedelta(hours=12))
Watching = Callable[..., None]


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def watching(
    exchange: Any, clock: ManualClock, desk: Account, maker: Account, database: Database
) -> Watching:
    """Watch the desk's market for so many seconds, in which *acts* happen."""

    def watch_it(ends_s: float, acts: list[Any] | None = None, **pace: float) -> None:
        plan = Plan(clock, ends_s, sorted(acts or [], key=lambda act: act[0]))
        watched(database, access_of(exchange, desk, REACH), plan, **pace)

    return watch_it


class Deals:
    """RFQs of the desk with a quote of the maker, each deleted after a while."""

    def __init__(self, market: Market, desk: Account, maker: Account) -> None:
        self.market, self.desk, self.maker = market, desk, maker
        self.rfqs: dict[int, str] = {}
        self.quotes: dict[int, str] = {}

    def acts(self, number: int, at_s: float, lives_s: float) -> list[Any]:
        """An RFQ asked at *at_s*, quoted a second later and deleted once it has lived so long."""

        def ask() -> None:
            ticker = f"KX-{number}"
            self.rfqs[number] = self.market.create_rfq(
                self.desk, market_ticker=ticker, contracts_fp="1.00"
            )

        def answer() -> None:
            self.quotes[number] = self.market.create_quote(
                self.maker, rfq_id=self.rfqs[number], yes_bid="0.4000", no_bid="0.5500"
            )

        def delete() -> None:
            self.market.delete_rfq(self.desk, self.rfqs[number])

        return [(at_s, ask), (at_s + 1, answer), (at_s + lives_s, delete)]


@pytest.fixture
def deals(market: Market, desk: Account, maker: Account) -> Deals:
    return Deals(market, desk, maker)


def test_a_quote_that_vanishes_with_its_rfq_is_held(
    watching: Watching, deals: Deals, database: Database
) -> None:
    """It lived for twelve seconds between two cycles, of which a run would find the RFQ alone.

    Another RFQ lived from right after the look at 30 s to right before that at 35 s.
    """
    acts = [*deals.acts(1, at_s=7, lives_s=13), *deals.acts(2, at_s=30.5, lives_s=4)]
    watching(62, acts, every_s=60)

    held = raw(database, "select id, observed_ts, load from raw.quote_versions")
    assert [(id_, seen) for id_, seen, _ in held] == [(deals.quotes[1], at(10))]
    assert raw(database, "select id, observed_ts from raw.rfq_versions where status = 'open'") == [
        (deals.rfqs[1], at(10))
    ]
    # The look at 15 s came 5 s or more after the creation, and 1 s or more before the end.
    assert dict(read(database, "select rfq_id, capture from marts.rfq_facts")) == {
        deals.rfqs[1]: "live",
        deals.rfqs[2]: "late",
    }
    ((looked_s, by_hour),) = read(
        database, "select hours_looked * 3600, looked_s_by_hour from marts.trust"
    )
    assert looked_s == pytest.approx(by_hour[12])
    assert 50 <= looked_s <= 60


def test_what_was_seen_lands_within_a_minute_and_nothing_new_lands_nothing(
    watching: Watching, deals: Deals, database: Database
) -> None:
    acts = [*deals.acts(1, at_s=62, lives_s=20), *deals.acts(2, at_s=203, lives_s=20)]

    watching(290, acts)

    # The cycle at the start, what came at 63 s and at 204 s; at 240 s the last had landed.
    loads = raw(database, "select load, is_whole from raw.loads")
    assert [is_whole for _, is_whole in loads] == [True] * 3
    versions = "select load, count(*) from raw.quote_versions group by load order by load"
    assert raw(database, versions) == [(2, 1), (3, 1)]


def test_every_look_is_noted_in_stretches(watching: Watching, database: Database) -> None:
    watching(130)

    found = raw(
        database,
        "select side, first_served_ts, last_served_ts, n_looks, longest_pause_s, len(after_ms)"
        " from raw.look_stretches order by side, first_served_ts",
    )
    made = [row[1:] for row in found if row[0] == "made"]
    assert [row[1:] for row in found if row[0] == "received"] == made
    assert made[0][0] <= at(5)
    assert made[-1][1] == at(125)
    assert sum(row[2] for row in made) in (25, 26)
    assert {row[3] for row in made[1:]} == {5.0}
    assert [row[2] for row in made] == [row[4] for row in made]


# The command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--quotes-every", "0s"], "--quotes-every is 0.0 s. It can be from 0.1 s to 5 min."),
        (["--every", "0s"], "--every is 0.0 s. It can be from 0.1 s to 7 d."),
        (["--every", "8d"], "--every is 8 d. It can be from 0.1 s to 7 d."),
        (["--quotes-every", "6m"], "--quotes-every is 6 min. It can be from 0.1 s to 5 min."),
    ],
)
def test_intervals_that_make_no_watch_are_refused_with_their_range(
    rfq: Command, tmp_path: Path, arguments: list[str], said: str
) -> None:
    ended = rfq("watch", *arguments, "--database", tmp_path / "rfq.duckdb")

    assert (ended.code, ended.error) == (78, f"rfq: {said}\n")


@pytest.fixture
def started(
    exchange: Any, key: Path, desk: Account, database: Database
) -> Iterator[subprocess.Popen[str]]:
    """A watch in a process of its own that has published once."""
    command = ["-c", "from pipelines.entry import main; main()", "watch", "--log-format", "json"]
    where = ["--base-url", exchange.base_url, "--database", str(database.path)]
    paces = ["--quotes-every", "0.2s", "--every", "10m"]
    with subprocess.Popen(
        [sys.executable, *command, *where, *paces], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if json.loads(line)["event"] == "run_ended":
                break
        yield process
        process.kill()


def looks_of(exchange: Any) -> int:
    """How often the quotes that were received have been asked for."""
    return sum("rfq_user_filter" in str(request) for request in exchange.requests)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"]
)
def test_a_signal_ends_it_once_what_was_seen_is_stored(
    started: subprocess.Popen[str],
    exchange: Any,
    market: Market,
    clock: ManualClock,
    deals: Deals,
    database: Database,
    rfq: Command,
    number: int,
    code: int,
) -> None:
    """Meanwhile a run, and a second watch, leave with 75, and the status says who is at work."""
    for _, act in deals.acts(1, 0, 20)[:2]:
        act()
    seen = looks_of(exchange)
    wait_until(lambda: looks_of(exchange) >= seen + 2)
    others = [rfq(each, "--database", database.path) for each in ("run", "watch")]
    told = rfq("status", "--database", database.path)

    started.send_signal(number)

    assert started.wait(10) == code
    assert {other.code for other in others} == {75}
    assert all("a watch is at work" in other.err for other in others)
    assert told.code == 0
    assert "watch is at work" in told.out
    assert raw(database, "select id from raw.quote_versions") == [(deals.quotes[1],)]
    assert read_record(database.path).runs[-1].exit_code == code
