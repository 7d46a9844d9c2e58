"""How far a pass has read for certain, and the windows that are still to be read."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Any

FUTURE_TOLERANCE = timedelta(seconds=60)
DAY = timedelta(days=1)
FOUR_WEEKS = timedelta(weeks=4)


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


class Watermark:
    """A moment on the exchange's clock up to which one pass has certainly seen every change.

    It lives in dlt's resource state, so it is committed together with the rows it vouches for, and
    it belongs to one origin, account, scope and pass: another one starts at nothing.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    @property
    def value(self) -> datetime | None:
        """The watermark, or None before the first verified sweep."""
        text = self.state.get("watermark")
        return None if text is None else datetime.fromisoformat(text)

    def advance(self, to: datetime) -> None:
        """Move forward to *to*; never back, and never past our own clock by more than a minute."""
        capped = min(to, datetime.now(UTC) + FUTURE_TOLERANCE)
        if self.value is None or capped > self.value:
            self.state["watermark"] = capped.isoformat()


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
