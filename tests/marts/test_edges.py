"""Every bucket of the marts begins at its lower edge and ends before its upper one."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import polars as pl

from tests.marts.facts import NOON
from transforms.definitions.last_look import is_confirmed_slowly, is_executed_slowly
from transforms.definitions.rfqs import lifetime_bucket, size_bucket
from transforms.marts.my_quotes import latency_bucket
from transforms.settings import Settings

# Written out here, so that no edge is compared with itself.
CONTRACTS = [
    (None, "under 1 contracts"),
    ("1", "1-10 contracts"),
    ("10", "10-50 contracts"),
    ("50", "50-100 contracts"),
    ("100", "100-500 contracts"),
    ("500", "500-1000 contracts"),
    ("1000", "1000-5000 contracts"),
    ("5000", "5000+ contracts"),
]
DOLLARS = [
    (None, "under $10 target cost"),
    ("10", "$10-$50 target cost"),
    ("50", "$50-$250 target cost"),
    ("250", "$250-$1000 target cost"),
    ("1000", "$1000-$5000 target cost"),
    ("5000", "$5000+ target cost"),
]
LATENCIES = [
    (None, "under 0.5 s"),
    ("0.5", "0.5-1 s"),
    ("1", "1-2 s"),
    ("2", "2-5 s"),
    ("5", "5-30 s"),
    ("30", "30 s or more"),
]
LIFETIMES = [
    (None, "under 5 s"),
    ("5", "5-20 s"),
    ("20", "20-60 s"),
    ("60", "60-600 s"),
    ("600", "600 s or more"),
]


def around(buckets: Sequence[tuple[str | None, str]], step: str) -> list[tuple[Decimal, str]]:
    """Each lower edge with its bucket, and what is a step below it with the bucket before."""
    return [
        pair
        for (_, before), (edge, after) in pairwise(buckets)
        for pair in ((Decimal(edge or 0) - Decimal(step), before), (Decimal(edge or 0), after))
    ]


def buckets_of(bucket: pl.Expr, **columns: list[Any]) -> list[Any]:
    return pl.DataFrame(columns).select(bucket=bucket)["bucket"].to_list()


def test_sizes_in_contracts() -> None:
    sizes, expected = zip(*around(CONTRACTS, "0.01"), strict=True)
    none = pl.Series([None] * len(sizes), dtype=pl.Decimal(18, 6))

    found = buckets_of(size_bucket(), contracts=list(sizes), target_cost_dollars=none)

    assert found == list(expected)


def test_sizes_in_dollars_go_before_contracts() -> None:
    sizes, expected = zip(*around(DOLLARS, "0.000001"), strict=True)

    found = buckets_of(size_bucket(), contracts=list(sizes), target_cost_dollars=list(sizes))

    assert found == list(expected)


def test_latencies() -> None:
    latencies, expected = zip(*around(LATENCIES, "0.000001"), strict=True)

    found = buckets_of(latency_bucket(), response_latency_s=list(map(float, latencies)))

    assert found == list(expected)


def test_lifetimes() -> None:
    lives, expected = zip(*around(LIFETIMES, "0.000001"), strict=True)
    ends = [NOON + timedelta(seconds=float(life)) for life in lives]

    found = buckets_of(lifetime_bucket(), created_ts=[NOON] * len(ends), end_ts=ends)

    assert found == list(expected)


def test_an_execution_after_eight_seconds_and_a_late_confirmation_speak_against_a_fast_market() -> (
    None
):
    """Halfway between timers of 1 and 15 s; and after 3 s and what clocks may differ by."""
    waits_s, confirms_s = (0.0, 7.999999, 8.0), (3.1, 3.100001)
    settings = Settings(as_of=NOON, skew_tol_s=0.1)

    executed = buckets_of(is_executed_slowly(), **moments("confirmed_ts", "executed_ts", waits_s))
    confirmed = buckets_of(
        is_confirmed_slowly(settings), **moments("accepted_ts", "confirmed_ts", confirms_s)
    )

    assert (executed, confirmed) == ([False, False, True], [False, True])


def moments(first: str, second: str, apart_s: Sequence[float]) -> dict[str, list[Any]]:
    return {
        first: [NOON] * len(apart_s),
        second: [NOON + timedelta(seconds=each) for each in apart_s],
    }
