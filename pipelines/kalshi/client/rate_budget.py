"""Our side of the exchange's token buckets: one for reads, one for writes.

Every request costs tokens (10 unless the exchange lists another cost); a bucket refills at a steady
rate up to its capacity. We wait for tokens here instead of being refused there.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Self

API_PREFIX = "/trade-api/v2"
DEFAULT_COST_TOKENS = 10
# The smallest tier pays for a list call in 0.05 s. What a read would have to wait for longer than
# this is told in another unit than ours, or by mistake.
LONGEST_READ_S = 10.0

# Requests that we space out can arrive closer together; a full bucket of ours must be less than
# full over there.
_CAPACITY_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class BucketLimit:
    """Tokens per second, and the most that can be saved up."""

    refill_rate: int
    bucket_capacity: int


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """What the account may spend. Defaults to Basic, the smallest tier."""

    usage_tier: str = "basic"
    read: BucketLimit = BucketLimit(200, 400)
    write: BucketLimit = BucketLimit(100, 100)


@dataclass(frozen=True, slots=True)
class EndpointCosts:
    """Tokens per request; `by_endpoint` maps (method, path shape) to the costs that differ."""

    default_cost: int = DEFAULT_COST_TOKENS
    by_endpoint: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def of(self, method: str, path: str) -> int:
        return self.by_endpoint.get((method, path_shape(path)), self.default_cost)

    def longest_read_s(self, limit: BucketLimit) -> float:
        """Seconds in which *limit* refills what the dearest read of RFQs or quotes costs."""
        reads = [
            cost
            for (method, shape), cost in self.by_endpoint.items()
            if method == "GET" and shape.startswith("communications")
        ]
        return max(self.default_cost, *reads, 0) / limit.refill_rate


def path_shape(path: str) -> str:
    """*path* without its version prefix, with `*` for each parameter or id.

    Reads both spellings of a route parameter, `:rfq_id` and `{rfq_id}`.
    """
    parts = path.removeprefix(API_PREFIX).strip("/").split("/")
    return "/".join("*" if re.fullmatch(r":.*|\{.*\}|[0-9a-fA-F-]{36}", p) else p for p in parts)


def read_account_limits(said: Mapping[str, Any]) -> AccountLimits:
    """The answer of GET /account/limits. Raises ValueError when it names no usable bucket."""
    tier = said.get("usage_tier")
    return AccountLimits(
        tier if isinstance(tier, str) else "unknown",
        _bucket_limit(said.get("read")),
        _bucket_limit(said.get("write")),
    )


def read_endpoint_costs(said: Mapping[str, Any]) -> EndpointCosts:
    """The answer of GET /account/endpoint_costs. Raises ValueError when it is not a cost list."""
    listed = said.get("endpoint_costs")
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise ValueError("the answer had no list of endpoint costs")
    costs = {
        (str(entry.get("method")).upper(), path_shape(str(entry.get("path")))): _positive(
            entry.get("cost")
        )
        for entry in listed
    }
    return EndpointCosts(_positive(said.get("default_cost")), costs)


def _bucket_limit(said: Any) -> BucketLimit:
    if not isinstance(said, dict):
        raise ValueError("the answer lacked a bucket")
    return BucketLimit(
        refill_rate=_positive(said.get("refill_rate")),
        bucket_capacity=_positive(said.get("bucket_capacity")),
    )


def _positive(number: Any) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", str(number)):
        raise ValueError("the answer had a rate or a cost that is not a positive whole number")
    return int(number)


class _Bucket:
    def __init__(self, limit: BucketLimit, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._lock = Lock()
        self.limit = limit
        self.waited_s = 0.0
        self._tokens = self._capacity
        self._counted_s = now_s()

    @property
    def _capacity(self) -> float:
        return self.limit.bucket_capacity * _CAPACITY_SHARE

    def reserve(self, cost: int, leave: int = 0) -> float:
        """Seconds until *cost* tokens, taken now, will have been refilled, with *leave* beside."""
        with self._lock:
            self._refill()
            self._tokens -= cost
            least = min(leave, max(0.0, self._capacity - cost))
            wait_s = max(0.0, (least - self._tokens) / self.limit.refill_rate)
            self.waited_s += wait_s
            return wait_s

    def left(self) -> int:
        """Whole tokens that can be spent at once."""
        with self._lock:
            self._refill()
            return max(0, int(self._tokens))

    def adopt(self, limit: BucketLimit) -> None:
        with self._lock:
            self._refill()
            self.limit = limit
            self._tokens = min(self._tokens, self._capacity)

    def drain(self) -> None:
        with self._lock:
            self._refill()
            self._tokens = min(self._tokens, 0.0)

    def _refill(self) -> None:
        now_s = self._now_s()
        gained = (now_s - self._counted_s) * self.limit.refill_rate
        self._tokens = min(self._capacity, self._tokens + gained)
        self._counted_s = now_s


class RateBudget:
    """The tokens that all passes of all threads share. Basic limits until told otherwise."""

    def __init__(
        self,
        *,
        pause: Callable[[float], None] = time.sleep,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        limits = AccountLimits()
        self._pause = pause
        self._read = _Bucket(limits.read, now_s)
        self._write = _Bucket(limits.write, now_s)
        self._costs = EndpointCosts()

    @classmethod
    def from_account(cls, limits: AccountLimits, costs: EndpointCosts) -> Self:
        """A budget as the account has it."""
        budget = cls()
        budget.adopt(limits, costs)
        return budget

    def adopt(self, limits: AccountLimits, costs: EndpointCosts) -> None:
        """Spend by these limits from now on; what was already spent stays spent."""
        self._costs = costs
        self._read.adopt(limits.read)
        self._write.adopt(limits.write)

    @property
    def read_limit(self) -> BucketLimit:
        """The read bucket in force."""
        return self._read.limit

    @property
    def read_tokens_left(self) -> int:
        """What reads can spend now without waiting; a tenth of the bucket is kept in reserve."""
        return self._read.left()

    @property
    def read_waited_s(self) -> float:
        """Seconds for which reads had to wait for tokens, all in all."""
        return self._read.waited_s

    def take(self, method: str, path: str) -> None:
        """Wait until the account can afford this request, and pay for it."""
        wait_s = self._bucket(method).reserve(self._costs.of(method, path))
        if wait_s > 0:
            self._pause(wait_s)

    def yielding(self, leave: int, pause: Callable[[float], None]) -> "RateBudget":
        """The same tokens for a reader who leaves *leave* of them to those who spend from here."""
        return _YieldingBudget(self, leave, pause)

    def drain(self, method: str) -> None:
        """The exchange refused for want of tokens: somebody else spends from this account too."""
        self._bucket(method).drain()

    def _bucket(self, method: str) -> _Bucket:
        return self._read if method == "GET" else self._write


class _YieldingBudget(RateBudget):
    """The buckets of *first*: a request of *first* always finds some tokens in them."""

    def __init__(self, first: RateBudget, leave: int, pause: Callable[[float], None]) -> None:
        self._first, self._leave, self._pause = first, leave, pause
        self._read, self._write, self._costs = first._read, first._write, first._costs

    def adopt(self, limits: AccountLimits, costs: EndpointCosts) -> None:
        self._first.adopt(limits, costs)
        self._costs = costs

    def take(self, method: str, path: str) -> None:
        # Also where there is nothing to wait for: whoever is to stop is told by the pause.
        self._pause(self._bucket(method).reserve(self._costs.of(method, path), self._leave))
