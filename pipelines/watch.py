"""`rfq watch`: one process that looks at our quotes every few seconds, and runs as cron would.

=========  ======================================================================================
thread     does
=========  ======================================================================================
main       looks, into memory alone; says when the others are due; hears signals
landing    stores what was seen, once a minute; in a cycle reads the market's list and by id
building   brings the marts up to what is stored, checks and publishes; records the cycle
=========  ======================================================================================

Threads, as DuckDB lets one process hold the private file: another one could only build from a copy
of it. DuckDB and polars let go of the interpreter while they compute, so the looks go on. The
landing thread has a connection to the exchange of its own, so that what its requests wait for, or
meet, is nothing to the looks; it leaves them tokens of the account's rate.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from threading import Event
from typing import Any, Protocol

import duckdb

from pipelines import effects, job, stopping
from pipelines.building import Work, work_on
from pipelines.commands.failures import ending
from pipelines.interrupting import Builds
from pipelines.kalshi.client.errors import (
    ClockRefused,
    ConfigurationError,
    CredentialsRefused,
    CredentialsUnusable,
    ExchangeError,
    TryLater,
)
from pipelines.kalshi.client.exchange_clock import passed_s
from pipelines.kalshi.client.rate_budget import RateBudget
from pipelines.kalshi.client.reader import ExchangeReader, RetryPolicy
from pipelines.kalshi.extraction import Extraction, Limits
from pipelines.kalshi.looking import LOOKED_AT, Look
from pipelines.kalshi.purged import note_purged
from pipelines.kalshi.settings import ExchangeSettings
from pipelines.landing import LONGEST_PAUSE, Landing
from pipelines.operations import recording
from pipelines.publishing import Publisher
from pipelines.spans import told_moment, told_span
from pipelines.store.database import Database
from pipelines.store.errors import DatabaseBusy, DataRefused
from transforms.raw import create_raw_tables

LAND_EVERY_S = 60.0
LANDED_AT_ROWS = 10_000
# Where nothing can be stored, so many rows are kept in memory: about an hour of 50 quotes a second.
KEPT_ROWS = 200_000
# A page of each list: what the market's reading leaves to the next look.
LEFT_TOKENS = 60
# One attempt: the next look is the second.
LOOK_S = 10.0
LONGEST_BACKOFF_S = 60.0
REOPENED_EVERY_S = 10.0
# Landing what was seen takes a second, and longer where the disk is slow.
ENDING_LASTS_AT_MOST_S = 9.0
LOADING_ENDS_WITHIN_S = 5.0

_OF_THE_KEY = (CredentialsRefused, CredentialsUnusable, ConfigurationError)
_log = logging.getLogger(__name__)


def _ends_watch(error: BaseException | None) -> bool:
    """Whether nothing that comes later would be answered otherwise. A clock is set right again."""
    return isinstance(error, _OF_THE_KEY) and not isinstance(error, ClockRefused)


class Unstored(DatabaseBusy):
    """What was seen could not be stored for so long that no more of it can be kept."""


class _Ends(TryLater):
    """The watch is to end: the load asks for nothing more, and stores what it has read."""


class Waiting(Protocol):
    """How the main thread waits: up to so many seconds, or until *woken* is set."""

    def __call__(self, seconds: float, woken: Event) -> None: ...


def _wait(seconds: float, woken: Event) -> None:
    woken.wait(max(0.0, seconds))
    woken.clear()


def _one_thread() -> Executor:
    return ThreadPoolExecutor(max_workers=1)


@dataclass(frozen=True)
class Pace:
    """How often what is done, by which clock, and in which threads."""

    quotes_every: timedelta = timedelta(seconds=5)
    every: timedelta = timedelta(minutes=5)
    now_s: Callable[[], float] = passed_s
    wait: Waiting = _wait
    threads: Callable[[], Executor] = _one_thread


def watch(database: Database, access: ExchangeSettings, maturity_s: float, pace: Pace) -> None:
    """Watch until a signal; what was seen is stored by then. Raises what nothing can mend.

    Raises `DatabaseBusy` where another run, or another watch, is at work.
    """
    with job.at_work(database) as work:
        # Landing comes before the lock is let go of.
        stopping.allow(ENDING_LASTS_AT_MOST_S)
        with _looking(access) as looking:
            Watch(work, access, maturity_s, pace, looking).go_on()


@dataclass(slots=True)
class Looking:
    """The reader of the looks, and what it is read by; it has no private file."""

    reader: ExchangeReader
    budget: RateBudget
    connection: duckdb.DuckDBPyConnection
    looks: list[Look] = field(default_factory=lambda: [Look(each) for each in LOOKED_AT])

    def extraction(self, access: ExchangeSettings) -> Extraction:
        """What a look is read by: hashes are made in memory, nothing is held there."""
        account = self.reader.get_communications_id()
        return Extraction(
            *(self.reader, self.connection, access.reach, "", account, lambda _: None),
            limits=Limits(access.rejected_share),
        )


@contextmanager
def _looking(access: ExchangeSettings) -> Any:
    budget = RateBudget()
    # A fault is the next look's, and no number of them ends the watch.
    policy = RetryPolicy(attempts=1, attempt_s=LOOK_S, budget_s=LOOK_S, breaker_faults=2**62)
    with ExitStack() as stack:
        connection = stack.enter_context(duckdb.connect(config={"threads": 1}))
        connection.execute("set timezone = 'UTC'")
        create_raw_tables(connection)
        reader = stack.enter_context(job.reader_of(access, budget=budget, retry_policy=policy))
        yield Looking(reader, budget, connection)


class Watch:
    """One watch: when what is due, and what the other threads are at."""

    def __init__(
        self,
        work: Work,
        access: ExchangeSettings,
        maturity_s: float,
        pace: Pace,
        looking: Looking,
    ) -> None:
        self._work, self._access, self._maturity_s, self._pace = work, access, maturity_s, pace
        self._looking, self._looks = looking, looking.looks
        self._stop, self._woken = Event(), Event()
        self._landing = Landing(work, access, self._looks, self._client(), self._publish_ours)
        self._landings, self._builds = pace.threads(), pace.threads()
        self._load: Future[Any] | None = None
        self._build: Future[Any] | None = None
        self._is_cycle_loading = False
        self._unstored_since_s: float | None = None
        self._is_file_spoilt = False
        self._next_try_s = pace.now_s()
        self._failed_looks: dict[str, int] = {}
        self._last: dict[str, datetime] = {}
        self._n_skipped = 0
        self._building = Builds()
        now_s = pace.now_s()
        self._look_due_s = {look.pass_.name: now_s for look in self._looks}
        self._cycle_due_s = now_s
        self._land_due_s = now_s + LAND_EVERY_S

    def go_on(self) -> None:
        """Look, load and build by the clock until a signal, or what nothing can mend."""
        try:
            # What a library has made of a signal is one again, or the end would be cut short.
            with stopping.stoppable():
                self._begin()
                while True:
                    self._look()
                    self._attend()
                    self._pace.wait(self._due_s() - self._pace.now_s(), self._woken)
        finally:
            self._end()

    def _begin(self) -> None:
        """Open the private file, and say since when nobody has looked."""
        purged = self._landings.submit(self._landing.purged).result()
        note_purged(self._looking.connection, purged)
        self._extraction = self._looking.extraction(self._access)
        self._last = self._landings.submit(self._landing.last_looks).result()
        _log.info(
            "watching: quotes every %s, all else every %s",
            told_span(self._pace.quotes_every.total_seconds()),
            told_span(self._pace.every.total_seconds()),
            extra={"event": "watch_began"},
        )

    # Looks

    def _look(self) -> None:
        """Look at each list that is due and ready. One that fails holds no other back."""
        failed: list[tuple[Look, ExchangeError, float]] = []
        for look in self._looks:
            if not look.is_ready or self._pace.now_s() < self._look_due_s[look.pass_.name]:
                continue
            ended, moment = look.look(self._extraction)
            if moment is not None:
                self._note_moment(look, moment)
            if ended.failure is None:
                self._look_again(look)
            elif _ends_watch(ended.failure):
                raise ended.failure
            else:
                failed.append((look, ended.failure, self._back_off(look)))
        if failed:
            _say_failed(failed)
        self._demand_room()

    def _note_moment(self, look: Look, moment: datetime) -> None:
        before = self._last.get(look.side)
        self._last[look.side] = moment
        if before is not None and moment - before > LONGEST_PAUSE:
            pause_s = (moment - before).total_seconds()
            _log.warning(
                "nobody looked at the quotes %s from %s to %s UTC (%s)",
                *(look.side, told_moment(before), told_moment(moment), told_span(pause_s)),
                extra={
                    "event": "nobody_looked",
                    "figures": {
                        "side": look.side,
                        "from_ts": before.isoformat(),
                        "to_ts": moment.isoformat(),
                        "pause_s": pause_s,
                    },
                },
            )

    def _look_again(self, look: Look) -> None:
        """Look next by the clock of the looks before, but not for those that were missed."""
        name, every_s = look.pass_.name, self._pace.quotes_every.total_seconds()
        late_s = max(0.0, self._pace.now_s() - self._look_due_s[name])
        self._look_due_s[name] += every_s * (1 + late_s // every_s)
        if self._failed_looks.pop(name, 0):
            _log.info("%s: the exchange answers again", name)

    def _back_off(self, look: Look) -> float:
        """Wait twice as long for the next look as for this one; return how long, in seconds."""
        name, every_s = look.pass_.name, self._pace.quotes_every.total_seconds()
        failures = self._failed_looks[name] = self._failed_looks.get(name, 0) + 1
        longest_s = max(LONGEST_BACKOFF_S, every_s)
        pause_s = min(longest_s, every_s * 2.0 ** min(failures, 20))
        self._look_due_s[name] = self._pace.now_s() + pause_s
        return pause_s

    def _demand_room(self) -> None:
        """Raise `Unstored` where more waits than is kept, as nothing can be stored."""
        if self._unstored_since_s is not None and self._n_waiting > KEPT_ROWS:
            raise Unstored(self._told_lost())

    @property
    def _n_waiting(self) -> int:
        return sum(look.n_waiting for look in self._looks)

    def _told_lost(self) -> str:
        spans = [span for look in self._looks if (span := look.span)]
        since = min((begin for begin, _ in spans), default=None)
        until = max((end for _, end in spans), default=None)
        return (
            f"{self._n_waiting:,} rows seen from {told_moment(since)} to {told_moment(until)} UTC "
            "could not be stored and are lost: make room, then start the watch again. What the "
            "exchange still has of them is read again"
        )

    # What the other threads do

    def _due_s(self) -> float:
        """When there is something to do, unless another thread has done something by then."""
        ready = [self._look_due_s[look.pass_.name] for look in self._looks if look.is_ready]
        # While a load is at work no other can begin, and a cycle is left out only for a cycle.
        may_load = [self._land_due_s] if self._may_land else []
        may_cycle = [self._cycle_due_s] if self._load is None or self._is_in_cycle else []
        latest_s: float = self._pace.now_s() + LAND_EVERY_S
        return min([latest_s, *ready, *may_load, *may_cycle])

    @property
    def _may_land(self) -> bool:
        return self._load is None and not self._is_file_spoilt

    @property
    def _is_in_cycle(self) -> bool:
        return self._is_cycle_loading or self._build is not None

    def _attend(self) -> None:
        """Take in what the other threads have done, and give them what is due."""
        self._take_load()
        self._take_build()
        self._close_spoilt()
        now_s = self._pace.now_s()
        if now_s >= self._cycle_due_s:
            if self._is_in_cycle:
                self._skip_cycle()
            elif self._load is None:
                self._begin_cycle()
        is_landing_due = now_s >= self._land_due_s or self._n_waiting >= LANDED_AT_ROWS
        if is_landing_due and self._may_land and now_s >= self._next_try_s:
            self._land_due_s = now_s + LAND_EVERY_S
            self._submit_load(self._landing.land)

    def _begin_cycle(self) -> None:
        self._set_next_cycle()
        self._land_due_s = self._pace.now_s() + LAND_EVERY_S
        self._is_cycle_loading = True
        self._submit_load(self._landing.cycle)

    def _skip_cycle(self) -> None:
        self._n_skipped += 1
        self._set_next_cycle()
        _log.warning(
            "a cycle was skipped, as the one before is not over: %d so far",
            self._n_skipped,
            extra={"event": "cycle_skipped", "figures": {"n_skipped": self._n_skipped}},
        )

    def _set_next_cycle(self) -> None:
        every_s = self._pace.every.total_seconds()
        late_s = max(0.0, self._pace.now_s() - self._cycle_due_s)
        self._cycle_due_s += every_s * (1 + late_s // every_s)

    def _submit_load(self, does: Callable[[], Any]) -> None:
        self._load = self._landings.submit(does)
        self._load.add_done_callback(lambda _: self._woken.set())

    def _take_load(self) -> None:
        """Go on after a load: with the build, if it was a cycle's."""
        if self._load is None or not self._load.done():
            return
        error, is_cycle = self._load.exception(), self._is_cycle_loading
        done = None if error else self._load.result()
        self._load, self._is_cycle_loading = None, False
        # A loss that is refused is none of what was stored, as long as the file can be opened.
        is_refused = isinstance(error, DataRefused) and self._landing.extraction is not None
        if error is not None and not (is_refused or isinstance(error, ExchangeError)):
            self._keep(error)
        elif self._landing.extraction is None:
            # The exchange has to say whose account it is before the file is opened again.
            self._next_try_s = self._land_due_s = self._pace.now_s() + REOPENED_EVERY_S
        elif self._unstored_since_s is not None:
            self._unstored_since_s = None
            _log.warning("what was seen can be stored again")
        # A minute after what was stored began to wait at the latest, also where a cycle took long.
        self._land_due_s = min(self._land_due_s, self._pace.now_s() + LAND_EVERY_S)
        if is_cycle:
            self._build = self._builds.submit(self._finish_cycle, done, error)
            self._build.add_done_callback(lambda _: self._woken.set())

    def _keep(self, error: BaseException) -> None:
        """What could not be stored waits; the file is opened anew for the next attempt."""
        if _ends_watch(error):
            raise error
        self._is_file_spoilt = True
        self._building.interrupt()
        self._close_spoilt()
        if self._unstored_since_s is None:
            self._unstored_since_s = self._pace.now_s()
            message, _ = ending(error)
            _log.warning(
                "what is seen cannot be stored: %s Looking goes on, and up to %s rows are kept "
                "until they can be",
                *(message.splitlines()[-1].removeprefix("rfq: "), f"{KEPT_ROWS:,}"),
                extra={"event": "not_stored"},
            )

    def _close_spoilt(self) -> None:
        """Close the file in which nothing can be stored. DuckDB refuses while a build reads it."""
        if self._is_file_spoilt and self._build is None:
            self._landings.submit(self._landing.close).result()
            self._is_file_spoilt = False
            self._next_try_s = self._land_due_s = self._pace.now_s() + REOPENED_EVERY_S

    # The building thread

    def _finish_cycle(
        self, loaded: tuple[dict[str, int], bool] | None, error: BaseException | None
    ) -> BaseException | None:
        """Build and publish what was loaded, and record how the cycle ended; return what failed."""
        try:
            if loaded is not None:
                self._publish(*loaded)
            elif isinstance(error, ExchangeError) and (extraction := self._landing.extraction):
                self._publisher().after_failure(extraction)
        except Exception as failure:  # noqa: BLE001 -- whatever it is, quotes are looked at
            error = failure
        if self._stop.is_set():
            # How the command ends is recorded instead.
            return error
        message, code = (None, 0) if error is None else ending(error)
        if message:
            _log.warning("%s", message.removeprefix("rfq: "), extra={"event": "cycle_failed"})
        recording.end(code, message, error)
        if not _ends_watch(error):
            effects.begin(effects.WATCH)
            recording.expect()
            recording.place(self._work.database)
            recording.begin()
        self._landing.release_memory()
        return error

    def _publish(self, new_versions: dict[str, int], was_lost: bool) -> None:
        extraction = self._landing.extraction
        if extraction is None:
            return
        with self._building.cursor(extraction) as connection:
            self._publisher().at_the_end(
                connection, new_versions, extraction.limits, afresh=was_lost
            )

    def _publish_ours(self, extraction: Extraction) -> None:
        """Publish between two parts of the market's list, in the thread that loads."""
        if not self._stop.is_set():
            self._publisher().between(extraction)
        if self._stop.is_set():
            raise _Ends("The watch ends")

    def _publisher(self) -> Publisher:
        work = work_on(self._work.database, self._work.directory, self._work.raw)
        return Publisher(work, self._access.account, self._maturity_s, self._building.cursor)

    def _take_build(self) -> None:
        if self._build is None or not self._build.done():
            return
        error, self._build = self._build.result(), None
        if error is not None and _ends_watch(error):
            raise error

    # The end

    def _end(self) -> None:
        """Store what was seen, and wait for the other threads."""
        self._stop.set()
        self._building.interrupt()
        with suppress(BaseException):
            self._building.wait_for(self._load, LOADING_ENDS_WITHIN_S)
        if self._landing.extraction is not None and self._unstored_since_s is None:
            with suppress(BaseException):
                is_waiting = self._load is not None and not self._load.done()
                if not (is_waiting and self._landing.land_aside()):
                    self._landings.submit(self._landing.land).result()
        if self._n_waiting:
            _log.warning("%s rows that were seen are not stored", f"{self._n_waiting:,}")
        for each in (self._build, self._load):
            if each is not None and not each.cancel():
                self._building.wait_for(each, inf)
        with suppress(BaseException):
            self._landings.submit(self._landing.end).result()

    def _client(self) -> dict[str, Any]:
        """How the landing thread asks the exchange."""

        def pause(seconds: float) -> None:
            if self._stop.wait(seconds):
                raise _Ends("The watch ends")

        budget = self._looking.budget.yielding(LEFT_TOKENS, pause)
        return {"budget": budget, "retry_policy": RetryPolicy(pause=pause)}


def _say_failed(failed: list[tuple[Look, ExchangeError, float]]) -> None:
    names = ", ".join(look.pass_.name for look, _, _ in failed)
    pause_s = max(pause_s for _, _, pause_s in failed)
    _log.warning(
        "%s: %s. The next look is in %s",
        *(names, failed[0][1].what, told_span(pause_s)),
        extra={"event": "look_failed", "figures": {"pause_s": pause_s}},
    )
