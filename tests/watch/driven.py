"""A watch in this process whose waits move the market's clock: hours of it pass in seconds.

Its threads do what they are given at once, so that a moment of the market has one history.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event
from typing import Any

import duckdb

from pipelines import effects
from pipelines.commands.failures import ending
from pipelines.kalshi.settings import ExchangeSettings
from pipelines.operations import recording
from pipelines.sandbox import ManualClock
from pipelines.store.database import Database
from pipelines.watch import Pace, watch


class Over(Exception):
    """The time that the watch was given is over."""


class Inline(Executor):
    """Does at once what it is given, as a thread that nobody has to wait for."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 -- whoever asks for the result raises it
            future.set_exception(error)
        return future


@dataclass
class Plan:
    """What happens on the market, by seconds after the watch began, and when the watch ends."""

    clock: ManualClock
    ends_s: float
    acts: list[tuple[float, Callable[[], object]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = self.clock.now()

    def now_s(self) -> float:
        return (self.clock.now() - self.began) / timedelta(seconds=1)

    def wait(self, seconds: float, woken: Event) -> None:
        """Let so many seconds pass on the market, and what happens in them happen."""
        if woken.is_set():
            woken.clear()
            return
        end_s = self.now_s() + max(0.0, seconds)
        while self.acts and self.acts[0][0] <= min(end_s, self.ends_s):
            at_s, act = self.acts.pop(0)
            self._move_to(at_s)
            act()
        self._move_to(min(end_s, self.ends_s))
        if end_s >= self.ends_s:
            raise Over

    def _move_to(self, at_s: float) -> None:
        self.clock.advance(max(0.0, at_s - self.now_s()))


def watched(
    database: Database,
    access: ExchangeSettings,
    plan: Plan,
    *,
    quotes_every_s: float = 5.0,
    every_s: float = 300.0,
    threads: Callable[[], Executor] = Inline,
) -> None:
    """Watch by *plan*'s clock until it is over. Raises what ends a watch before."""
    spans = (timedelta(seconds=quotes_every_s), timedelta(seconds=every_s))
    effects.begin(effects.WATCH)
    recording.expect()
    recording.place(database)
    try:
        watch(database, access, 300.0, Pace(*spans, plan.now_s, plan.wait, threads))
    except Over:
        recording.end(0, None, None)
    except Exception as error:
        recording.end(ending(error)[1], None, error)
        raise


@contextmanager
def raw_of(database: Database) -> Iterator[duckdb.DuckDBPyConnection]:
    """The private file, to read."""
    with duckdb.connect(database.private_path, read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        yield connection


def raw(database: Database, query: str) -> list[Any]:
    """The rows that *query* finds in the private file."""
    with raw_of(database) as connection:
        return connection.execute(query).fetchall()
