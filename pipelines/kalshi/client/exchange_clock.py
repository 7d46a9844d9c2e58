"""The exchange's clock as one run knows it: what all of its answers say, not any single one."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median_low

ANSWERS = 31
# Answers of one exchange differ by the seconds that they take.
TOLERANCE = timedelta(seconds=60)
# A sandbox's clock may run thousands of times as fast as time does, stand still, or be moved on by
# days while it is read: it has one clock, and that is the market's.
SANDBOX_TOLERANCE = timedelta.max


def passed_s() -> float:
    """Seconds on a clock that nobody sets, and that goes on while this machine sleeps."""
    boot: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def utc_now() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


@dataclass
class ExchangeClock:
    """Told the Date of every answer; tells when an answer was given, and what time it is there.

    Its own time goes on from *started* as time passes, so that no step of this machine's clock can
    move it, unless the exchange says the same then: a machine that was halted for a while does not
    count that, and is set right afterwards.

    A Date that is more than *tolerance* away from the middle one of the last answers is
    not believed: it counts for those to come, and so only a step that lasts is followed. What a
    sandbox tells of its market's clock is always believed.
    """

    tolerance: timedelta = TOLERANCE
    started: datetime = field(default_factory=utc_now)
    passed_s: Callable[[], float] = passed_s
    machine_now: Callable[[], datetime] = utc_now

    def __post_init__(self) -> None:
        # A time and what had passed by then: one value, as several threads ask.
        self._anchor = (self.started, self.passed_s())
        self._skews_s: deque[float] = deque(maxlen=ANSWERS)
        self.skew_s: float | None = None

    def local_now(self) -> datetime:
        """This machine's time."""
        started, passed_s = self._anchor
        return started + timedelta(seconds=self.passed_s() - passed_s)

    def judged(self, date: datetime | None, asked_ts: datetime) -> datetime | None:
        """When an answer was given that has just come, was asked for at *asked_ts* and says *date*.

        Without a *date* to believe that is when it was asked for, by the exchange's clock: no
        later than it can have been given. None while no answer has told the time.
        """
        if date is not None:
            self._follow_the_machine(date)
            skew_s = (date - self.local_now()).total_seconds()
            self._skews_s.append(skew_s)
            # Of two that differ the earlier: a watermark that is late loses rows.
            middle_s = median_low(self._skews_s)
            if abs(skew_s - middle_s) <= self.tolerance.total_seconds():
                self.skew_s = skew_s
                return date
            self.skew_s = middle_s
        return None if self.skew_s is None else asked_ts + timedelta(seconds=self.skew_s)

    def _follow_the_machine(self, date: datetime) -> None:
        """Start anew from this machine's clock where it agrees with *date* and our own does not."""
        machine = self.machine_now()
        if abs(date - self.local_now()) > self.tolerance >= abs(date - machine):
            self._anchor = (machine, self.passed_s())
            self._skews_s.clear()
