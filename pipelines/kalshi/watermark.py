"""How far a pass has read for certain, and the windows that are still to be read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Any

from pipelines.kalshi.client.errors import ExchangeUnavailable
from pipelines.kalshi.client.exchange_clock import utc_now

FUTURE_TOLERANCE = timedelta(seconds=60)
DAY = timedelta(days=1)
FOUR_WEEKS = timedelta(weeks=4)
SHORTEST = timedelta(seconds=2)
# Both clocks tell whole seconds and answers take time: less than this is no step.
CLOCK_STEP = timedelta(seconds=5)
# How far the watermark must have gone on before a step back no longer counts: what was dated too
# early meanwhile may show up late, and after the clock was put right again.
STEP_COUNTS = timedelta(minutes=10)
# No clock that is kept goes so far ahead of another between two runs.
LEAP_S = 600.0
# A clock that is further off than this tells nothing: the exchange refuses such signatures.
FARTHEST_S = 3 * 86_400.0


@dataclass(frozen=True, slots=True)
class Window:
    """A span of update time; `end` is None for the last one, which is open."""

    start: datetime
    end: datetime | None = None

    @property
    def min_ts(self) -> int:
        """Whole seconds, one early: whether the exchange includes the bound is not documented."""
        return int(self.start.timestamp()) - 1

    @property
    def max_ts(self) -> int | None:
        """Whole seconds, one late, or None for an open window."""
        return None if self.end is None else ceil(self.end.timestamp()) + 1

    def is_long(self, now: datetime) -> bool:
        """Whether it spans more than a usual day's load."""
        return (self.end or now) - self.start > DAY

    def halves(self, now: datetime) -> "tuple[Window, Window] | None":
        """The older and the newer half, or None for a window too short to be cut.

        An open window is closed at *now*: what comes later would never let it rest.
        """
        end = self.end or now
        if end - self.start < SHORTEST:
            return None
        middle = self.start + (end - self.start) / 2
        return Window(self.start, middle), Window(middle, end)


class Watermark:
    """A moment on the exchange's clock up to which one pass has certainly seen every change.

    It lives in dlt's resource state, so it is committed together with the rows it vouches for, and
    it belongs to one origin, account, scope and pass: another one starts at nothing.
    *clock_skew_s* is the exchange's clock minus ours.
    """

    def __init__(
        self,
        state: dict[str, Any],
        clock_skew_s: float | None = None,
        local_clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.state = state
        self._clock_skew_s = clock_skew_s
        self._local_clock = local_clock

    @property
    def value(self) -> datetime | None:
        """The watermark, or None before the first verified sweep."""
        text = self.state.get("watermark")
        return None if text is None else datetime.fromisoformat(text)

    @property
    def step_back(self) -> timedelta:
        """How far the exchange's clock was set back since the watermark was set, by our clock."""
        before = self.state.get("clock_skew_s")
        if before is None or self._clock_skew_s is None:
            return timedelta()
        step = timedelta(seconds=before - self._clock_skew_s)
        return step if step > CLOCK_STEP else timedelta()

    @property
    def read_from(self) -> datetime | None:
        """The earliest time that a change since the watermark can bear; None if it never moved."""
        if self.value is None or "set_back" not in self.state:
            return self.value
        return min(self.value, datetime.fromisoformat(self.state["set_back"]["to"]))

    def note_step_back(self) -> None:
        """Remember where the exchange's clock was set back to, until that no longer counts."""
        if self.value is None:
            return
        noted: dict[str, str] | None = self.state.get("set_back")
        if self.step_back:
            to = self.value - self.step_back
            if noted:
                to = min(to, datetime.fromisoformat(noted["to"]))
            self.state["set_back"] = {"to": to.isoformat(), "at": self.value.isoformat()}
        elif noted and self.value > datetime.fromisoformat(noted["at"]) + STEP_COUNTS:
            del self.state["set_back"]

    def demand_no_leap(self) -> None:
        """Raise `ExchangeUnavailable` when the exchange's clock is far ahead, and was not before.

        What it dates would pass for the newest there is, and the time in between for read. So,
        too, when it is days off either way: the marts would show another time.
        """
        before_s, now_s = self.state.get("clock_skew_s"), self._clock_skew_s or 0.0
        is_ahead = before_s is not None and now_s - max(before_s, 0.0) > LEAP_S
        if not is_ahead and abs(now_s) <= FARTHEST_S:
            return
        was = "" if before_s is None else f", and were {before_s:+,.0f} s when last believed"
        raise ExchangeUnavailable(
            f"The exchange's answers are dated {abs(now_s):,.0f} s "
            f"{'ahead of' if now_s > 0 else 'behind'} this machine's clock{was}",
            advice="Nothing was read by such a clock. Correct this machine's, or run again when "
            "the exchange's is right.",
        )

    def advance(self, to: datetime | None, clock_skew_s: float | None = None) -> None:
        """Move forward to *to*; never back, and never past our own clock by more than a minute.

        Nowhere where *to* is None: nothing told the exchange's time. *clock_skew_s* is the one at
        that moment, where it is not the present one.
        """
        if to is None:
            return
        capped = min(to, self._local_clock() + FUTURE_TOLERANCE)
        if self.value is None or capped > self.value:
            self.state["watermark"] = capped.isoformat()
            known = self._clock_skew_s if clock_skew_s is None else clock_skew_s
            self.state["clock_skew_s"] = known


def windows(
    watermark: datetime | None,
    now: datetime,
    *,
    overlap: timedelta,
    retention: timedelta,
    history: timedelta,
) -> Iterator[Window]:
    """Yield the windows from where *watermark* left off to an open end, oldest first.

    A first load reaches back *history*: within *retention* by the day, before that by four weeks,
    since there only accepted, confirmed and executed quotes are left. Oldest first, because a quote
    that changes meanwhile moves to a later window and is met there.
    """
    edges = [now - retention] if watermark is None else [watermark - overlap]
    if watermark is None:
        while edges[0] > now - history:
            edges.insert(0, max(edges[0] - FOUR_WEEKS, now - history))
    while edges[-1] + DAY < now:
        edges.append(edges[-1] + DAY)
    yield from (Window(start, end) for start, end in pairwise(edges))
    yield Window(edges[-1])


def slices(start: datetime, end: datetime) -> Iterator[Window]:
    """Yield the windows of a day each, the last one shorter, from *start* to *end*."""
    while start < end:
        yield Window(start, min(start + DAY, end))
        start += DAY
