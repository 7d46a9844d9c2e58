"""How long to keep asking: for reads only, since repeating a write could trade twice."""

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from pipelines.kalshi.errors import ExchangeDown, ExchangeError, ExchangeUnavailable, TryLater
from pipelines.kalshi.transport import Fault, Reply, http_date

# What asks for more is no estimate of anything.
LONGEST_ASKED_S = 30 * 86_400
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


def _full_jitter(ceiling_s: float) -> float:
    return random.uniform(0.0, ceiling_s)


@dataclass(frozen=True, slots=True)
class Patience:
    """When to ask again and when to stop; the clock, the wait and the dice can be replaced.

    The wait after attempt n is a random part of `base_s * 2**(n - 1)`, at most `longest_s`, on top
    of what the exchange asked for. All attempts of one request end within `budget_s`.
    """

    attempts: int = 5
    base_s: float = 0.5
    longest_s: float = 30.0
    attempt_s: float = 30.0
    budget_s: float = 120.0
    breaker_faults: int = 20
    pause: Callable[[float], None] = time.sleep
    now_s: Callable[[], float] = time.monotonic
    jitter: Callable[[float], float] = _full_jitter

    def wait_s(self, attempt: int, fault: Fault) -> float:
        backoff_s = self.jitter(min(self.longest_s, self.base_s * 2 ** (attempt - 1)))
        return (fault.retry_after_s or 0.0) + backoff_s


class Breaker:
    """Opens for good after so many faults in a row: then the exchange is down, not hiccuping."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._faults = 0
        self._last: Fault | None = None

    def count(self, fault: Fault | None) -> None:
        """Count a fault; None is a success and starts the count again."""
        self._faults = self._faults + 1 if fault else 0
        self._last = fault

    def demand_closed(self) -> None:
        """Raise `ExchangeDown`, or TryLater where it throttles us, once there were too many."""
        if self._last and self._faults >= self._limit:
            kind = TryLater if self._last.is_throttled else ExchangeDown
            raise kind(f"{self._faults} attempts in a row failed, the last with: {self._last.what}")


def is_transient(status: int) -> bool:
    """Whether the same request may succeed later: 408, 425, 429 and all of 5xx."""
    return status in (408, 425, 429) or status >= 500


def status_fault(reply: Reply) -> Fault:
    """The fault for a transient status."""
    return Fault(f"HTTP {reply.status}", _retry_after_s(reply), is_throttled=reply.status == 429)


def gave_up(name: str, fault: Fault, attempts: int) -> ExchangeError:
    """The error for a request whose last attempt ended in *fault*."""
    kind = TryLater if fault.is_throttled else ExchangeUnavailable
    return kind(f"{name}: {fault.what} ({attempts} attempt{'s' * (attempts != 1)})")


def asked_to_wait(name: str, what: str, wait_s: float) -> ExchangeError:
    """The error for a Retry-After that no run should sleep through."""
    return TryLater(f"{name}: {what}, and the exchange asks to wait {wait_s:.0f} s")


def _retry_after_s(reply: Reply) -> float | None:
    """Retry-After in seconds from now, not below 0; None when absent, unreadable or absurd."""
    text = reply.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    elif until := http_date(text):
        # By the clock that dated the answer, where it has a date: ours may be off.
        seconds = (until - (reply.date or reply.received_ts)).total_seconds()
    else:
        return None
    return max(0.0, seconds) if seconds <= LONGEST_ASKED_S else None
