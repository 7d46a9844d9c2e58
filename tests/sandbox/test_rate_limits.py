"""Two token buckets per account, on real time."""

from __future__ import annotations

import pytest

from pipelines.sandbox import Behavior, Bucket, Market
from pipelines.sandbox.routes import Budget


class Seconds:
    """A monotonic clock that moves by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


def test_the_basic_tier_allows_twenty_list_calls_a_second(seconds):
    """The basic tier allows forty list calls and then twenty a second."""
    budget, basic = Budget(seconds), Behavior()

    burst = [budget.spend("desk", True, 10, basic) for _ in range(41)]
    seconds.now_s += 1
    after = [budget.spend("desk", True, 10, basic) for _ in range(21)]

    assert burst == [True] * 40 + [False]
    assert after == [True] * 20 + [False]


def test_a_full_bucket_does_not_overflow(seconds):
    budget, basic = Budget(seconds), Behavior()
    budget.spend("desk", True, 10, basic)
    seconds.now_s += 3600

    assert sum(budget.spend("desk", True, 10, basic) for _ in range(100)) == 40


def test_reads_writes_and_accounts_have_their_own_buckets(seconds):
    budget, basic = Budget(seconds), Behavior()
    while budget.spend("desk", True, 10, basic):
        pass

    assert budget.spend("desk", False, 10, basic)
    assert budget.spend("maker", True, 10, basic)


def test_a_spent_bucket_answers_429_over_http(clock, serving):
    behavior = Behavior(read_bucket=Bucket(refill_per_s=1, capacity=20))
    market = Market(clock=clock, behavior=behavior)
    market.add_account("desk", key="ed25519")
    desk = serving(market).desk

    responses = [desk("GET", "/communications/rfqs") for _ in range(3)]

    assert [response.status_code for response in responses] == [200, 200, 429]
    assert responses[2].json() == {"error": "too many requests"}


def test_cheap_calls_cost_less(clock, serving):
    behavior = Behavior(read_bucket=Bucket(refill_per_s=1, capacity=20))
    market = Market(clock=clock, behavior=behavior)
    market.add_account("desk", key="ed25519")
    desk = serving(market).desk
    path = "/communications/quotes/11111111-2222-4333-8444-555555555555"

    assert [desk("GET", path).status_code for _ in range(10)] == [404] * 10
    assert desk("GET", "/communications/rfqs").status_code == 429
