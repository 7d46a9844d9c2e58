"""Durations by clock, and what becomes of cases that have none."""

from typing import Any

import polars as pl

from tests.marts.facts import (
    executed_quote,
    executed_rfq,
    quote,
    quote_facts,
    rfq,
    rfq_facts,
)
from transforms.marts.response_latencies import response_latencies


def clock(name: str, rfqs: list[dict[str, Any]], quotes: list[dict[str, Any]]) -> dict[str, Any]:
    found = response_latencies(rfq_facts(*rfqs), quote_facts(*quotes)).collect()
    return found.filter(clock=name).row(0, named=True)


def fates(row: dict[str, Any]) -> tuple[int | None, ...]:
    return row["n"], row["n_competing"], row["n_censored"], row["n_unusable"]


def test_an_rfq_nobody_quoted_is_not_dropped():
    answered = rfq("r1", n_makers=2, time_to_first_quote_s=3.0)
    rejected = rfq("r2", n_makers=1)
    unanswered = rfq("r3", state="open")

    vanished = rfq("r5", end_cause="lost")

    found = clock("first_quote", [answered, rejected, rfq("r4"), unanswered, vanished], [])

    assert fates(found) == (1, 1, 2, 1)
    assert found["latency_p50_s"] == 3.0
    assert found["maker_id"] is None


def test_first_quote_and_accept_are_known_for_own_rfqs_only():
    rfqs = rfq_facts(executed_rfq("r1", visibility="quoted"))

    found = response_latencies(rfqs, quote_facts(quote("q1", "r1", visibility="quoted"))).collect()

    assert found["clock"].to_list() == ["response"]


def test_response_is_timed_from_first_versions_of_valid_responses():
    quotes = [
        quote("q1", "r1", response_latency_s=0.2),
        quote("q2", "r1", version=2, response_latency_s=None),
        quote("q3", "r2", response_latency_s=None),
        quote("q4", "r3", is_after_close=True, is_valid_response=False, response_latency_s=None),
        quote("q5", "gone", is_orphan=True, is_valid_response=False, response_latency_s=None),
    ]

    found = clock("response", [], quotes)

    assert fates(found) == (1, None, None, 1)
    assert found["latency_sum_us"] == 200_000


def test_a_lapse_competes_with_confirming_and_a_pending_accept_is_censored():
    def confirmed(quote_id: str, **changes: Any) -> dict[str, Any]:
        not_yet = {"executed_ts": None, "execution_latency_s": None}
        return executed_quote(quote_id, "r1", **(not_yet | changes))

    def accepted(quote_id: str, **changes: Any) -> dict[str, Any]:
        return confirmed(quote_id, has_confirm=False, confirm_latency_s=None, **changes)

    quotes = [
        executed_quote("executed", "r1", confirm_latency_s=0.117, execution_latency_s=1.29),
        accepted("lapsed", is_lapsed=True),
        accepted("pending", is_accept_pending=True),
        confirmed("stuck", confirm_latency_s=1.0, is_confirmed_stuck=True),
        confirmed("running", confirm_latency_s=2.9),
        executed_quote("odd", "r1", confirm_latency_s=None, execution_latency_s=None),
    ]

    confirm, execute = (clock(name, [], quotes) for name in ("confirm", "execute"))

    assert fates(confirm) == (3, 1, 1, 1)
    assert confirm["latency_p50_s"] == 1.0
    assert fates(execute) == (1, 1, 1, 1)


def test_accept_is_timed_once_per_rfq():
    found = clock("accept", [executed_rfq("r1"), rfq("r2"), rfq("r3", state="open")], [])

    assert fates(found) == (1, 1, 1, 0)
    assert found["latency_p50_s"] == 5.0


def test_p99_needs_five_hundred_durations_and_p90_fifty():
    quotes = [quote(f"q{i}", f"r{i}", response_latency_s=float(i)) for i in range(499)]

    few = clock("response", [], quotes)
    many = clock("response", [], [*quotes, quote("q", "r", response_latency_s=499.0)])

    assert few["latency_p90_s"] == 0.9 * 498
    assert few["latency_p99_s"] is None
    assert many["latency_p99_s"] == 0.99 * 499


def test_singles_and_combos_are_never_in_one_row():
    found = response_latencies(
        rfq_facts(), quote_facts(quote("q1", "r1"), quote("q2", "r2", n_legs=2))
    ).collect()

    assert found.select("n_legs", "n").rows() == [(1, 1), (2, 1)]


def test_a_maker_whose_id_is_hidden_is_not_mistaken_for_the_rfq_as_a_whole():
    found = response_latencies(rfq_facts(), quote_facts(quote("q1", "r1", None))).collect()

    assert found["maker_id"].to_list() == ["unknown"]
    assert isinstance(found.schema["n"], pl.Int64)
