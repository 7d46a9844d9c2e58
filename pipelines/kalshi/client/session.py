"""Requests and their answers: each attempt signed and paid for anew, faults retried for reads only.

Repeating a write could trade twice."""

import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias

import httpx

from pipelines.kalshi.client.errors import (
    ExchangeDown,
    ExchangeError,
    ExchangeUnavailable,
    TryLater,
)
from pipelines.kalshi.client.exchange_clock import SANDBOX_TOLERANCE, TOLERANCE, ExchangeClock
from pipelines.kalshi.client.json_body import json_object
from pipelines.kalshi.client.origin import SANDBOX, is_loopback, origin_of, origins_of_exchange
from pipelines.kalshi.client.rate_budget import API_PREFIX, RateBudget
from pipelines.kalshi.client.refusals import Asked, body_type, is_json, refusal
from pipelines.kalshi.client.transport import Fault, Reply, SignedTransport, http_date

# What asks for more is no estimate of anything.
LONGEST_ASKED_S = 30 * 86_400
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


def _full_jitter(ceiling_s: float) -> float:
    return random.uniform(0.0, ceiling_s)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
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


class CircuitBreaker:
    """Opens after so many faults in a row: then the exchange is down, not hiccuping.

    For good, until it is to be tried again.
    """

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


def told_to_wait(name: str, what: str, wait_s: float) -> ExchangeError:
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


# Told after each attempt: the path without its query, and the status (None: no answer).
OnRequest: TypeAlias = Callable[[str, int | None], None]
# Raises ValueError, in words of ours only, for a body that is not what was asked for.
Check: TypeAlias = Callable[[bytes], object]

_HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "rfq"}
_UNCERTAIN = (
    "It may or may not have been carried out and was not repeated: "
    "read the RFQ or quote before you try again."
)


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: its body as served, and when, by the exchange's clock and by ours.

    `served_ts` is what `ExchangeClock` makes of the Date; None when no answer had one.
    """

    body: bytes = field(repr=False)
    served_ts: datetime | None
    received_ts: datetime
    status: int


class Session:
    """One transport with its budget, its retry policy and its view of the exchange's clock."""

    def __init__(
        self,
        base_url: httpx.URL,
        transport: SignedTransport,
        key_id: str,
        budget: RateBudget | None,
        retry_policy: RetryPolicy | None,
        on_request: OnRequest | None,
    ) -> None:
        self.origin = origin_of(base_url)
        self.budget = budget or RateBudget()
        self.clock = ExchangeClock(TOLERANCE)
        self._base_url = str(base_url)
        self._transport = transport
        self._key_id = key_id
        self._retry_policy = retry_policy or RetryPolicy()
        self._on_request = on_request
        self._breaker = CircuitBreaker(self._retry_policy.breaker_faults)
        self._is_sandbox = is_loopback(base_url.host)
        self._sandbox_market = ""

    @property
    def exchange(self) -> str:
        """Which exchange this is: one name for all its hosts, and a sandbox's by its market."""
        if self._is_sandbox:
            return f"{SANDBOX} {self._sandbox_market}".strip()
        return origins_of_exchange(self.origin)[0]

    def try_again(self) -> None:
        """Ask again, however many attempts have failed so far."""
        self._breaker.count(None)

    def read(self, path: str, params: Mapping[str, str | int], check: Check) -> Page:
        """GET *path*, until *check* accepts the body or the retry policy ends."""
        asked = Asked("GET", API_PREFIX + path, self._key_id, has_cursor="cursor" in params)
        retry_policy, started_s = self._retry_policy, self._retry_policy.now_s()
        self._breaker.demand_closed()
        attempt = 0
        while True:
            attempt += 1
            left_s = retry_policy.budget_s - (retry_policy.now_s() - started_s)
            outcome = self._judged(self._get(asked, params, left_s), check, asked)
            if isinstance(outcome, Page):
                self._breaker.count(None)
                return outcome
            self._breaker.count(outcome)
            self._breaker.demand_closed()
            wait_s = retry_policy.wait_s(attempt, outcome)
            left_s = retry_policy.budget_s - (retry_policy.now_s() - started_s)
            if outcome.retry_after_s is not None and outcome.retry_after_s > max(left_s, 0.0):
                raise told_to_wait(asked.name, outcome.what, outcome.retry_after_s)
            if attempt == retry_policy.attempts or wait_s >= left_s:
                raise gave_up(asked.name, outcome, attempt)
            retry_policy.pause(wait_s)

    def write(self, method: str, path: str, body: Mapping[str, Any] | None) -> Page:
        """Send once. An answer that never came leaves open whether it was carried out."""
        asked = Asked(method, API_PREFIX + path, self._key_id)
        reply = self._attempt(asked, None, body, self._retry_policy.attempt_s)
        if isinstance(reply, Fault):
            raise ExchangeUnavailable(f"{asked.name}: {reply.what}", advice=_UNCERTAIN)
        if reply.status == 429:
            raise TryLater(f"{asked.name}: HTTP 429", advice="Nothing was carried out.")
        if is_transient(reply.status):
            raise ExchangeUnavailable(f"{asked.name}: HTTP {reply.status}", advice=_UNCERTAIN)
        if not 200 <= reply.status < 300:
            raise refusal(reply, asked, unclear=_UNCERTAIN)
        try:
            # A page to log in is answered with 200 as well.
            if reply.body:
                json_object(reply.body)
        except ValueError as error:
            what = f"{asked.name}: HTTP {reply.status}, but {error}"
        else:
            return _page(reply)
        raise ExchangeUnavailable(what, advice=_UNCERTAIN)

    def _get(self, asked: Asked, params: Mapping[str, str | int], left_s: float) -> Reply | Fault:
        within_s = min(self._retry_policy.attempt_s, left_s)
        reply = self._attempt(asked, params, None, within_s)
        if isinstance(reply, Reply) and reply.status == 401:
            # Once more with a new signature: the first may have been late.
            reply = self._attempt(asked, params, None, within_s)
        return reply

    def _attempt(
        self,
        asked: Asked,
        params: Mapping[str, str | int] | None,
        body: Mapping[str, Any] | None,
        within_s: float,
    ) -> Reply | Fault:
        url = self._base_url + asked.path.removeprefix(API_PREFIX)
        request = httpx.Request(asked.method, url, params=params, json=body, headers=_HEADERS)
        self.budget.take(asked.method, asked.path)
        asked_ts = self.clock.local_now()
        outcome = self._transport.send(request, within_s)
        if isinstance(outcome, Reply):
            if self._is_sandbox and not self._sandbox_market:
                self._learn_market(outcome)
            date = _market_time(outcome) if self._sandbox_market else None
            served_ts = self.clock.judged(date or outcome.date, asked_ts)
            outcome = replace(outcome, served_ts=served_ts)
        status = outcome.status if isinstance(outcome, Reply) else None
        if status == 429:
            self.budget.drain(asked.method)
        if self._on_request:
            self._on_request(asked.path, status)
        return outcome

    def _learn_market(self, reply: Reply) -> None:
        named = reply.headers.get("sandbox-market", "")
        if re.fullmatch(r"[ -~]{1,200}", named):
            self._sandbox_market = named
            self.clock.tolerance = SANDBOX_TOLERANCE

    def _judged(self, outcome: Reply | Fault, check: Check, asked: Asked) -> Page | Fault:
        if isinstance(outcome, Fault):
            return outcome
        if is_transient(outcome.status):
            return status_fault(outcome)
        if not 200 <= outcome.status < 300:
            raise refusal(outcome, asked)
        if outcome.status != 200:
            # Part of a list (206) or somebody's copy of it (203) would pass for the whole.
            return Fault(f"HTTP {outcome.status}, where only 200 says that this is all")
        if not is_json(outcome):
            return Fault(f"HTTP 200 with a body that is {body_type(outcome, asked)}, not JSON")
        try:
            check(outcome.body)
        except ValueError as error:
            return Fault(f"HTTP 200, but {error}")
        return _page(outcome)


def _market_time(reply: Reply) -> datetime | None:
    """What time it is on a sandbox's market, to the second; None where the answer does not say."""
    try:
        told = datetime.fromisoformat(reply.headers.get("sandbox-clock", ""))
    except ValueError:
        return None
    return told if told.tzinfo else None


def _page(reply: Reply) -> Page:
    return Page(reply.body, reply.served_ts, reply.received_ts, reply.status)
