"""The token buckets: never more than the account allows, whoever spends."""

from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.kalshi.client.errors import ExchangeUnavailable
from pipelines.kalshi.client.rate_budget import (
    AccountLimits,
    BucketLimit,
    EndpointCosts,
    RateBudget,
    read_endpoint_costs,
)
from pipelines.kalshi.client.reader import ExchangeReader, open_reader
from tests.client.conftest import Clock
from tests.client.fault_server import FaultServer, FaultStep, says

ID = "7b4b2c5e-4b0c-4d6f-9b1a-0c2d3e4f5a6b"
LIST = "/trade-api/v2/communications/rfqs"
QUOTE = f"/trade-api/v2/communications/quotes/{ID}"
BASIC = {"refill_rate": 200, "bucket_capacity": 400}
LIST_COSTS = {"method": "GET", "path": "/communications/rfqs", "cost": 10_000}
LIMITS = {"usage_tier": "basic", "read": BASIC, "write": BASIC, "grants": []}


class ExchangeBucket:
    """The other side: refuses what it cannot afford, as the exchange describes it."""

    def __init__(self, limit: BucketLimit) -> None:
        self.limit = limit
        self.tokens = float(limit.bucket_capacity)
        self.at_s = 0.0

    def admits(self, cost: int, at_s: float) -> bool:
        gained = max(0.0, at_s - self.at_s) * self.limit.refill_rate
        self.tokens = min(self.limit.bucket_capacity, self.tokens + gained)
        self.at_s = max(self.at_s, at_s)
        self.tokens -= cost
        return self.tokens >= -1e-6


limits = st.builds(
    lambda refill, seconds: BucketLimit(refill, refill * seconds),
    st.integers(100, 10_000),
    st.integers(1, 3),
)


@given(
    limits,
    st.lists(st.tuples(st.sampled_from([2, 10]), st.floats(0, 1), st.floats(0, 0.09)), max_size=80),
)
def test_the_exchange_never_has_to_refuse(
    limit: BucketLimit, requests: list[tuple[int, float, float]]
) -> None:
    """Whatever the pauses between requests, and with up to 90 ms of uneven travel time."""
    clock, theirs = Clock(), ExchangeBucket(limit)
    budget = RateBudget(pause=clock.pause, now_s=clock.now_s)
    costs = EndpointCosts(by_endpoint={("GET", "communications/quotes/*"): 2})
    # Ours starts full at their capacity, as after a long rest.
    budget.adopt(AccountLimits(read=limit), costs)
    clock.now += 1_000

    for cost, idle_s, travel_s in requests:
        clock.now += idle_s
        budget.take("GET", QUOTE if cost == 2 else LIST)
        assert theirs.admits(cost, clock.now + travel_s)


def test_a_basic_account_reads_twenty_lists_a_second(clock: Clock) -> None:
    budget = clock.budget()

    for _ in range(336):
        budget.take("GET", LIST)

    # 36 at once from what was saved up, then 20 a second.
    assert clock.now == pytest.approx(300 / 20)


def test_what_is_left_and_what_was_waited_for_can_be_told(clock: Clock) -> None:
    budget = clock.budget()
    assert (budget.read_tokens_left, budget.read_waited_s) == (360, 0.0)

    for _ in range(38):
        budget.take("GET", LIST)

    assert budget.read_tokens_left == 0
    assert budget.read_waited_s == pytest.approx(0.1)
    clock.now += 0.3
    assert budget.read_tokens_left == 60
    budget.take("POST", LIST)
    assert budget.read_tokens_left == 60


def test_reads_and_writes_spend_from_their_own_bucket(clock: Clock) -> None:
    budget = clock.budget()
    for _ in range(36):
        budget.take("GET", LIST)

    for _ in range(9):
        budget.take("POST", LIST)

    assert clock.waits == []
    budget.take("POST", LIST)
    assert clock.waits == [pytest.approx(0.1)]


def test_threads_share_one_budget() -> None:
    """The waits handed out to many threads add up to the same rate as for one."""
    waits: list[float] = []
    lock = Lock()

    def note(wait_s: float) -> None:
        with lock:
            waits.append(wait_s)

    budget = RateBudget(pause=note, now_s=lambda: 0.0)

    with ThreadPoolExecutor(8) as threads:
        for _ in range(136):
            threads.submit(budget.take, "GET", LIST)

    assert sorted(waits) == pytest.approx([0.05 * turn for turn in range(1, 101)])


def test_a_refusal_for_want_of_tokens_empties_our_bucket(
    exchange: FaultServer, signer, clock: Clock
) -> None:
    exchange.answers(says(429, {"error": "too many requests"}), says(200, {"rfqs": []}))
    budget = clock.budget()

    with open_reader(
        exchange.base_url, signer, budget=budget, retry_policy=clock.retry_policy()
    ) as reader:
        reader.get_rfqs()
        # Half a second of waiting has refilled 100 tokens and one request took 10 of them.
        for _ in range(10):
            budget.take("GET", LIST)

    assert clock.waits == [0.5, pytest.approx(0.05)]


def test_the_budget_is_what_the_account_says(
    exchange: FaultServer, reader: ExchangeReader, clock: Clock
) -> None:
    listed = [
        {"method": "GET", "path": "/trade-api/v2/communications/quotes/:quote_id", "cost": 2},
        {"method": "GET", "path": "/communications/rfqs/{rfq_id}/quotes/{quote_id}", "cost": 3},
    ]
    rich = {"refill_rate": 300, "bucket_capacity": 900}
    exchange.answers(
        says(200, LIMITS | {"read": rich}),
        says(200, {"default_cost": 12, "endpoint_costs": listed}),
    )

    account = reader.get_account_limits()
    costs = reader.get_endpoint_costs()

    assert account.read == BucketLimit(300, 900)
    assert RateBudget.from_account(account, costs).read_limit == BucketLimit(300, 900)
    assert costs.of("GET", QUOTE) == 2
    assert costs.of("GET", f"{LIST}/{ID}/quotes/{ID}") == 3
    assert costs.of("GET", LIST) == 12
    assert costs.of("DELETE", QUOTE) == 12


@pytest.mark.parametrize(
    "untold",
    [
        says(403, {"error": {"code": "forbidden"}}),
        says(404, {"error": {"code": "not_found"}}),
        says(200, LIMITS | {"read": "plenty"}),
    ],
)
@pytest.mark.parametrize("knows_limits", [True, False])
def test_an_account_whose_limits_are_not_told_reads_like_the_smallest(
    exchange: FaultServer,
    reader: ExchangeReader,
    caplog: Any,
    untold: FaultStep,
    knows_limits: bool,
) -> None:
    rich = LIMITS | {"read": {"refill_rate": 300, "bucket_capacity": 900}}
    exchange.answers(*([says(200, rich)] if knows_limits else []), untold)

    reader.learn_budget()

    assert reader.budget.read_limit == BucketLimit(200, 400)
    (said,) = caplog.messages
    assert "pace of the smallest tier" in said
    assert "GET /account/" in said


@pytest.mark.parametrize("odd", [{"default_cost": 999_999_999}, {"endpoint_costs": [LIST_COSTS]}])
def test_a_cost_that_no_read_can_wait_for_is_not_believed(
    exchange: FaultServer, reader: ExchangeReader, caplog: Any, odd: dict[str, Any]
) -> None:
    """In thousandths of tokens, say: a page would take 50 s."""
    exchange.answers(says(200, LIMITS), says(200, {"default_cost": 10, "endpoint_costs": []} | odd))

    reader.learn_budget()
    reader.budget.take("GET", LIST)

    assert reader.budget.read_waited_s == 0
    (said,) = caplog.messages
    assert "not believed, so at the pace of the smallest tier" in said


def test_new_limits_do_not_give_back_what_was_spent(clock: Clock) -> None:
    budget = clock.budget()
    for _ in range(36):
        budget.take("GET", LIST)

    budget.adopt(AccountLimits(read=BucketLimit(1000, 2000)), EndpointCosts())
    budget.take("GET", LIST)

    assert clock.waits == [pytest.approx(0.01)]


@pytest.mark.parametrize(
    "broken",
    [
        {},
        LIMITS | {"read": None},
        LIMITS | {"read": {"refill_rate": 0, "bucket_capacity": 400}},
        LIMITS | {"read": {"refill_rate": -1, "bucket_capacity": 400}},
        LIMITS | {"write": {"refill_rate": 200}},
        LIMITS | {"write": {"refill_rate": 1.5, "bucket_capacity": 400}},
    ],
)
def test_limits_that_make_no_sense_are_an_error(
    exchange: FaultServer, reader: ExchangeReader, broken: object
) -> None:
    exchange.answers(says(200, broken))

    with pytest.raises(ExchangeUnavailable, match="GET /account/limits: HTTP 200, but the answer"):
        reader.get_account_limits()


@pytest.mark.parametrize(
    "broken", [{}, {"endpoint_costs": [1]}, {"endpoint_costs": [], "default_cost": 0}]
)
def test_costs_that_make_no_sense_are_an_error(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="the answer had"):
        read_endpoint_costs(broken)


def test_a_reader_that_yields_always_leaves_tokens_to_the_other() -> None:
    """Of a bucket of 360 tokens at 200 a second, 60 stay for whoever goes first."""
    now_s, first_waits, second_waits = [0.0], list[float](), list[float]()
    first = RateBudget(pause=first_waits.append, now_s=lambda: now_s[0])
    second = first.yielding(60, second_waits.append)

    for _ in range(31):
        second.take("GET", LIST)
    for _ in range(5):
        first.take("GET", LIST)

    assert second_waits == [0.0] * 30 + [pytest.approx(10 / 200)]
    assert first_waits == []
    assert first.read_tokens_left == 0


def test_a_reader_that_yields_learns_its_account_for_both() -> None:
    first = RateBudget()
    costs = EndpointCosts(default_cost=20)

    first.yielding(60, lambda _: None).adopt(AccountLimits(read=BucketLimit(20, 40)), costs)

    assert first.read_limit == BucketLimit(20, 40)
    first.take("GET", LIST)
    assert first.read_tokens_left <= 40 * 0.9 - 20 + 1
