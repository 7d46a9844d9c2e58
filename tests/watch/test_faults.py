"""A watch goes on through faults, says each pause, and ends where nothing mends it."""

import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import duckdb
import pytest

from pipelines.kalshi.client.errors import CredentialsRefused
from pipelines.landing import Landing
from pipelines.operations import gauges, recording
from pipelines.operations.runs import read_record
from pipelines.sandbox import Account, ManualClock, Market
from pipelines.sandbox.faults import ErrorOrder
from pipelines.sandbox.routes import Front
from pipelines.store.database import Database
from pipelines.watch import Unstored
from tests.running import access_of
from tests.watch.deals import REACH, Deals, Watching, at, no_builds, told, wait
from tests.watch.driven import Inline, Plan, raw, watched

pytestmark = pytest.mark.usefixtures("few_marts")


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


def test_a_clock_that_is_off_ends_no_watch_as_it_is_set_right_again(
    watching: Watching,
    deals: Deals,
    market: Market,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The exchange refuses signatures from 21 s to 50 s, as they bear another time than its own."""
    finish = Front.finish

    def as_the_exchange(front: Front, request: Any, response: Any) -> Any:
        """It does not say that its market is a sandbox's, whose clock may be any."""
        answer = finish(front, request, response)
        if answer.status_code == 401:
            del answer.headers["Sandbox-Market"]
        return answer

    def off_by(seconds: float) -> Callable[[], None]:
        return lambda: setattr(market.faults, "clock_step_s", seconds)

    monkeypatch.setattr(Front, "finish", as_the_exchange)
    acts = [*deals.acts(1, 30, 60), (21, off_by(600)), (50, off_by(0))]
    watching(70, acts, every_s=20_000, threads=no_builds())

    assert [each.figures["pause_s"] for each in told(caplog, "look_failed")] == [10.0, 20.0]
    assert "clock skew: this machine is" in caplog.text
    held = raw(database, "select id, observed_ts from raw.quote_versions")
    assert held == [(deals.quotes[1], at(55))]


def test_what_was_seen_is_stored_though_the_market_is_slow_to_answer_at_the_end(
    watching: Watching,
    deals: Deals,
    market: Market,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cycle at 60 s waits for the first page that it asked for, and the watch ends at 61 s.

    What that load has read by then is for the next run; what the looks saw is stored without it.
    """
    asked, answered = Event(), Event()
    monkeypatch.setattr("pipelines.watch.LOADING_ENDS_WITHIN_S", 0.1)
    land_aside = Landing.land_aside
    landed: list[bool] = []

    def landing_aside(landing: Landing) -> bool:
        landed.append(land_aside(landing))
        answered.set()
        return landed[-1]

    def late() -> None:
        asked.set()
        answered.wait()

    def hang() -> None:
        market.faults.before_page[1] = late

    monkeypatch.setattr(Landing, "land_aside", landing_aside)
    # Builds are done at once; loads have a thread, which the first act waits for.
    with ThreadPoolExecutor(max_workers=1) as landings:
        settled = partial(wait, landings)
        acts = [(1, settled), *deals.acts(1, at_s=50, lives_s=60), (59, hang), (60.5, asked.wait)]
        threads = iter([landings, Inline()]).__next__
        watching(61, acts, quotes_every_s=7, every_s=60, threads=threads)

    assert landed == [True]
    held = raw(database, "select load, id, observed_ts from raw.quote_versions")
    # The number of the load that waited is not used again.
    assert held == [(3, deals.quotes[1], at(56))]
    assert raw(database, "select load, is_whole from raw.loads") == [
        (1, True),
        (2, False),
        (3, True),
    ]


class Delayed(Inline):
    """A thread that comes to what it is given when it is told."""

    given: list[Callable[[], None]]

    def __init__(self) -> None:
        self.given = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.given.append(lambda: future.set_result(fn(*args, **kwargs)))
        return future

    def go_on(self) -> None:
        self.given.pop(0)()


def test_a_file_in_which_nothing_can_be_stored_is_closed_once_its_build_is_over(
    watching: Watching,
    deals: Deals,
    clock: ManualClock,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DuckDB refuses to close it before, which would end the watch and lose what waits."""
    builds, closed, store, close = Delayed(), [], Landing._land, Landing.close

    def fail_once(*args: Any) -> None:
        monkeypatch.setattr(Landing, "_land", store)
        raise duckdb.IOException("no space left on device")

    def note_and_close(landing: Landing) -> None:
        closed.append(clock.now())
        close(landing)

    monkeypatch.setattr(Landing, "_land", fail_once)
    monkeypatch.setattr(Landing, "close", note_and_close)
    acts = [*deals.acts(1, 32, 20), (200, builds.go_on)]

    watching(215, acts, every_s=3_600, threads=iter([Inline(), builds]).__next__)

    assert closed[0] == at(200)
    assert raw(database, "select id, load, observed_ts from raw.quote_versions") == [
        (deals.quotes[1], 2, at(35))
    ]


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
        watched(database, access, plan, every_s=3_600)
    ballast.unlink()

    assert len(told(caplog, "not_stored")) == 2
    assert "can be stored again" in caplog.text
    held = raw(database, "select id, observed_ts from raw.quote_versions")
    assert held == [(deals.quotes[1], at(65))]
    assert raised.value.exit_code == 75
    lost = "4 rows seen from 2026-11-20 12:05:05 to 2026-11-20 12:05:05 UTC could not be stored"
    assert str(raised.value).startswith(f"{lost} and are lost: make room")


def test_a_cycle_that_cannot_be_told_of_ends_no_watch(
    watching: Watching,
    deals: Deals,
    database: Database,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither how the database stands nor the file for Prometheus can be made."""
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("ALERTS__TEXTFILE", str(database.path.with_name("rfq.prom")))

    def no_standing(*_: object) -> None:
        raise duckdb.IOException("IO Error: odd\nand more")

    def no_gauges(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(recording, "standing", no_standing)
    monkeypatch.setattr(gauges, "exposition", no_gauges)

    watching(400, deals.acts(1, 10, 50))

    # Two cycles, and the end of the watch.
    assert [run.exit_code for run in read_record(database.path).runs] == [0, 0, 0]
    assert len(told(caplog, "run_ended")) == 3
    warnings = {each.getMessage() for each in caplog.records if "told" in each.getMessage()}
    assert warnings == {
        "how the database stands could not be told: IO Error: odd",
        "the textfile of [alerts] could not be told: RuntimeError",
    }
