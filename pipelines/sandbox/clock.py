"""The exchange's own clock, separate from the wall clock that signatures are checked against."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Anything that knows the time on the exchange, and can be moved on."""

    def now(self) -> datetime:
        """The present instant as an aware UTC datetime."""
        ...

    def advance(self, seconds: float) -> None:
        """Move on by *seconds* at once, from wherever the clock stands."""
        ...


class SystemClock:
    """The machine's clock, ahead of it by as much as it was told to move."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)


class ManualClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            msg = f"ManualClock needs an aware datetime, was {start!r}; add tzinfo=UTC"
            raise ValueError(msg)
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        """Move by *seconds*; negative values step the clock back."""
        self._now += timedelta(seconds=seconds)


class ScaledClock:
    """Real time multiplied: *speed* seconds pass on the exchange for each second here."""

    def __init__(self, speed: float, start: datetime | None = None) -> None:
        if speed <= 0:
            msg = f"speed must be above zero, was {speed}"
            raise ValueError(msg)
        self._speed = speed
        self._start = start or datetime.now(UTC)
        self._began_s = time.monotonic()

    def now(self) -> datetime:
        passed_s = (time.monotonic() - self._began_s) * self._speed
        return self._start + timedelta(seconds=passed_s)

    def advance(self, seconds: float) -> None:
        self._start += timedelta(seconds=seconds)


def to_us(moment: datetime) -> int:
    """Microseconds since 1970, exactly (float seconds would lose the last digit)."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_us(moment_us: int) -> datetime:
    """The aware UTC datetime of *moment_us*."""
    return EPOCH + timedelta(microseconds=moment_us)
