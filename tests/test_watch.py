"""A watch on a market whose clock is driven: what it sees, when it is stored, how it ends."""

import logging
import os
import signal
import subprocess
from argparse import Namespace
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import suppress
from datetime import datetime, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from pipelines import building, job
from pipelines.kalshi.client.errors import CredentialsRefused
from pipelines.kalshi.extraction import LoadSettings
from pipelines.operations.runs import read_record
from pipelines.sandbox import Account, ManualClock, Market, Shape, serve, unfold
from pipelines.sandbox.faults import ErrorOrder
from pipelines.store.database import Database
from pipelines.watch import Unstored
from tests.benches.watch import asked_of, figures, kill_again_and_again, market_of
from tests.conftest import NOON
from tests.crash.trial import wait_until
from tests.crash.worker import Order, start
from tests.extraction.conftest import PROFILE
from tests.running import Command, access_of, ignore, read
from tests.watching import Inline, Plan, raw, watched

REACH = LoadSettings(retention=timedelta(hours=12), history=timedelta(hours=12))
Watching = Callable[..., None]


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def watching(
    exchange: Any, clock: ManualClock, desk: Account, maker: Account, database: Database
) -> Watching:
    """Watch the desk's market for so many seconds, in which *acts* happen."""

    def watch_it(ends_s: float, acts: list[Any] | None = None, **pace: Any) -> None:
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


class Held(Inline):
    """A thread that never comes to what it is given."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return Future()


def no_builds() -> Callable[[], Executor]:
    """Loads are done at once, builds never."""
    return iter([Inline(), Held()]).__next__


def test_a_quote_that_vanishes_with_its_rfq_is_held_though_the_market_list_fails(
    watching: Watching, deals: Deals, market: Market, database: Database
) -> None:
    """It lived for twelve seconds between two cycles, of which a run would find the RFQ alone.

    Another RFQ lived from right after the look at 30 s to right before that at 35 s. The market's
    list is refused in the cycle at the beginning, and answered in that at 60 s.
    """
    # The first refusal is met by the look at our open RFQs.
    market.faults.errors += [ErrorOrder(400, "invalid", "GetRFQs")] * 2
    acts = [*deals.acts(1, at_s=7, lives_s=13), *deals.acts(2, at_s=30.5, lives_s=4)]

    watching(62, acts, every_s=60)

    # The last cycle is under way; the test ends it with 0.
    assert [each.exit_code for each in read_record(database.path).runs] == [78, 0, 0]
    held = raw(database, "select id, observed_ts from raw.quote_versions")
    assert held == [(deals.quotes[1], at(10))]
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
    """Every look is noted all the same."""
    watching(190, deals.acts(1, at_s=62, lives_s=20), threads=no_builds())

    # The load at the start and, at 120 s, of what came at 63 s; nothing at 60 s and at 180 s.
    assert raw(database, "select load, is_whole from raw.loads") == [(1, True), (2, True)]
    assert raw(database, "select load, observed_ts from raw.quote_versions") == [(2, at(65))]
    found = raw(
        database,
        "select side, first_served_ts, last_served_ts, n_looks, longest_pause_s, len(after_ms)"
        " from raw.look_stretches order by side, first_served_ts",
    )
    made = [row[1:] for row in found if row[0] == "made"]
    assert [row[1:] for row in found if row[0] == "received"] == made
    assert [last for _, last, *_ in made] == [at(60), at(120), at(180), at(185)]
    assert made[0][0] <= at(5)
    assert [n_looks for _, _, n_looks, *_ in made[1:]] == [12, 12, 1]
    assert {pause for *_, pause, _ in made[1:]} == {5.0}
    assert [row[2] for row in made] == [row[4] for row in made]


def test_a_cycle_that_is_late_is_skipped_and_counted_and_the_looks_go_on(
    watching: Watching, deals: Deals, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The build of the first lasts for ever, so those at 60 and at 120 s are left out."""
    watching(125, deals.acts(1, 62, 20), every_s=60, threads=no_builds())

    assert [each.figures["n_skipped"] for each in told(caplog, "cycle_skipped")] == [1, 2]
    # What came while the build was at work was stored within a minute of it.
    loads = "select load, observed_ts from raw.quote_versions"
    assert raw(database, loads) == [(2, at(65))]


def test_what_is_stored_while_a_build_is_at_work_is_for_the_next(
    exchange: Any,
    desk: Account,
    deals: Deals,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A quote of before the moment that the build shows is stored right after it has begun."""
    for _, act in deals.acts(1, 0, 20)[:2]:
        act()
    job.load(database, access_of(exchange, desk, REACH), ignore)
    build, begun = building.build, []

    def building_on(connection: Any, *args: Any, on_begun: Any, **more: Any) -> Any:
        def store() -> None:
            on_begun()
            if not begun:
                begun.append(True)
                connection.cursor().execute(_ANOTHER)

        return build(connection, *args, on_begun=store, **more)

    monkeypatch.setattr(building, "build", building_on)
    count = "select count(*) from staging.quotes"
    job.rebuild(database)
    before = read(database, count)
    job.rebuild(database)

    assert (before, read(database, count)) == ([(1,)], [(2,)])


_ANOTHER = """
use private;
insert into raw.loads select max(load) + 1, 'test', true, null from raw.loads;
insert into raw.quote_versions select * replace (
    '7b4b2c5e-4b0c-4d6f-9b1a-0c2d3e4f5a6b' as id, (select max(load) from raw.loads) as load
) from raw.quote_versions
"""


# Faults


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[logging.LogRecord]:
    return [each for each in caplog.records if getattr(each, "event", "") == event]


def pauses(caplog: pytest.LogCaptureFixture) -> list[tuple[str, datetime, datetime]]:
    """Whose quotes nobody looked at, from when to when, as the log has it."""
    figures = [each.figures for each in told(caplog, "nobody_looked")]
    return [
        (each["side"], *(datetime.fromisoformat(each[name]) for name in ("from_ts", "to_ts")))
        for each in figures
    ]


def test_every_pause_is_said_and_ends_nothing_but_a_refused_key_does(
    watching: Watching,
    deals: Deals,
    market: Market,
    clock: ManualClock,
    database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The exchange is down for four looks, the machine sleeps for two hours, nobody is at work.

    Each failed look is followed by a pause twice as long as the one before: 25, 35, 55, 95, 155 s.
    """
    caplog.set_level(logging.INFO)
    awake = 7_200 + 400

    def down() -> None:
        market.faults.statuses.extend([503] * (4 * 3))

    def refused() -> None:
        market.faults.errors += [ErrorOrder(401, "unauthorized", "GetQuotes")] * 2

    sleeps = lambda: clock.advance(7_200)  # noqa: E731 -- an act of the plan
    acts = [*deals.acts(1, 10, 20), (21, down), *deals.acts(2, 30, 300), (400, sleeps)]
    watching(awake + 10, acts, every_s=20_000, threads=no_builds())
    slept, ended = (at(395), at(7_600)), at(awake + 10)
    clock.advance(600)
    again = clock.now()
    acts = [*deals.acts(3, 7, 50), (21, refused)]
    with pytest.raises(CredentialsRefused):
        watching(60, acts, every_s=20_000, threads=no_builds())

    failed = [each.figures["pause_s"] for each in told(caplog, "look_failed")]
    assert failed == [10.0, 20.0, 40.0, 60.0]
    both = ("made", "received")
    assert pauses(caplog) == [
        *((side, at(20), at(155)) for side in both),
        *((side, *slept) for side in both),
        *((side, at(awake + 5), again) for side in both),
    ]
    assert ended == again - timedelta(seconds=600)
    held = dict(raw(database, "select id, observed_ts from raw.quote_versions"))
    assert held == {
        deals.quotes[1]: at(15),
        deals.quotes[2]: at(155),
        deals.quotes[3]: again + timedelta(seconds=10),
    }
    # No stretch spans a pause; the looks of one are a minute apart at most.
    spans = "select first_served_ts, last_served_ts from raw.look_stretches where side = 'made'"
    assert not any(
        first < begins and ends < last
        for begins, ends in ((at(20), at(155)), slept)
        for first, last in raw(database, spans)
    )
    assert [each.exit_code for each in read_record(database.path).runs] == [0, 77]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 96 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_stops_no_look_until_more_waits_than_is_kept(
    exchange: Any,
    clock: ManualClock,
    desk: Account,
    deals: Deals,
    disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is full from 61 s to 200 s, and again from 300 s on."""
    database, ballast = Database(disk / "rfq.duckdb"), disk / "ballast"

    def fill() -> None:
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def keep_little() -> None:
        monkeypatch.setattr("pipelines.watch.KEPT_ROWS", 3)

    acts = [*deals.acts(1, 62, 20), *deals.acts(2, 302, 900), *deals.acts(3, 303, 900)]
    acts += [(61, fill), (200, ballast.unlink), (300, fill), (300, keep_little)]
    plan = Plan(clock, 900, sorted(acts, key=lambda act: act[0]))
    access = access_of(exchange, desk, REACH)
    with pytest.raises(Unstored) as raised:
        watched(database, access, plan, every_s=3_600, threads=no_builds())
    ballast.unlink()

    assert len(told(caplog, "not_stored")) == 2
    assert "can be stored again" in caplog.text
    held = raw(database, "select id, observed_ts from raw.quote_versions")
    assert held == [(deals.quotes[1], at(65))]
    assert raised.value.exit_code == 75
    lost = "4 rows seen from 2026-11-20 12:05:05 to 2026-11-20 12:05:05 UTC could not be stored"
    assert str(raised.value).startswith(f"{lost} and are lost: make room")


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
    exchange: Any, key: Path, desk: Account, database: Database, tmp_path: Path
) -> Iterator[ForkServerProcess]:
    """A watch in a process of its own."""
    arguments = ["watch", "--base-url", exchange.base_url, "--database", str(database.path)]
    arguments += ["--quotes-every", "0.2s", "--every", "10m", "--log-format", "json"]
    ours = {name: value for name, value in os.environ.items() if name.startswith("SOURCES__")}
    output = tmp_path / "output"
    process = start(Order(tuple(arguments), ours, output))
    wait_until(lambda: output.exists() and "watch_began" in output.read_text())
    yield process
    process.kill()


def looks_of(exchange: Any) -> int:
    """How often the quotes that were received have been asked for."""
    return sum("rfq_user_filter" in str(request) for request in exchange.requests.copy())


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGTERM, 143, id="SIGTERM"),
        pytest.param(
            *(signal.SIGINT, 130),
            id="Ctrl-C",
            marks=pytest.mark.skipif(PROFILE != "nightly", reason="it repeats SIGTERM"),
        ),
    ],
)
def test_a_signal_ends_it_once_what_was_seen_is_stored(
    started: ForkServerProcess,
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
    # The load reads a year in some twenty windows; after it the looks begin.
    wait_until(lambda: looks_of(exchange) >= 40)
    others = [rfq(each, "--database", database.path) for each in ("run", "watch")]
    told = rfq("status", "--database", database.path)

    assert started.pid is not None
    os.kill(started.pid, number)

    started.join(10)
    assert started.exitcode == code
    assert {other.code for other in others} == {75}
    assert all("a watch is at work" in other.err for other in others)
    assert "watch is at work" in told.out
    assert raw(database, "select id from raw.quote_versions") == [(deals.quotes[1],)]
    assert read_record(database.path).runs[-1].exit_code == code


# The benchmark, as the gate and the nightly profile run it


def test_a_minute_of_a_busy_market_is_held_as_the_ledger_has_it(
    watching: Watching, market: Market, desk: Account, database: Database
) -> None:
    """Some of the RFQs are over by then. The build at 70 s is the only one."""
    unfold(market, seed=5, rfqs_per_day=60_000, shape=Shape(desk_share=0.9))
    market.faults.errors += [ErrorOrder(400, "invalid", "GetRFQs")] * 2

    watching(72, every_s=70)

    found = figures(market, desk, database.path, at(69))
    assert found["own RFQs of 10 s or more"] >= 5
    assert found["live, of these"] >= 0.95
    assert found["answers held of those given on them"] >= 0.97
    ledger, shown = "hit ratio, 10 s or more, by the ledger", "hit ratio, 10 s or more, of live"
    assert found[shown] == pytest.approx(found[ledger], abs=0.003)


@pytest.mark.skipif(PROFILE != "nightly", reason="it takes a quarter of an hour")
def test_a_hundred_kills_lose_nothing_that_had_landed(tmp_path: Path) -> None:
    wanted = Namespace(busy=False, quiet=False, seed=1)
    market = market_of(wanted)
    with serve(market) as exchange:
        found = kill_again_and_again(asked_of(exchange, "desk", tmp_path), 100, tmp_path, seed=2)

    assert (found.lost, found.unsaid) == (0, 0)
    assert found.said > 20
