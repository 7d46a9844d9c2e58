"""Spreads by maker; composite spread and cover by RFQ."""

from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from tests.marts.facts import executed_rfq, quote, quote_facts, rfq, rfq_facts
from transforms.marts.quote_spreads import quote_spreads


def spreads(rfqs: list[dict[str, Any]], quotes: list[dict[str, Any]]) -> pl.DataFrame:
    return quote_spreads(rfq_facts(*rfqs), quote_facts(*quotes)).collect()


def of_maker(quotes: list[dict[str, Any]]) -> dict[str, Any]:
    return spreads([rfq("r1")], quotes).filter(maker_id="A").row(0, named=True)


def of_rfqs(*rfqs: dict[str, Any]) -> dict[str, Any]:
    return spreads(list(rfqs), []).row(0, named=True)


def wide(quote_id: str, dollars: str) -> dict[str, Any]:
    return quote(quote_id, "r1", quote_spread=Decimal(dollars))


def test_sums_are_whole_micro_dollars():
    """0.01 + 0.02 + 0.06 = 0.09; squares 1 + 4 + 36 = 41, in (0.01)² = 10^8 micro-dollars²."""
    found = of_maker([wide("q1", "0.01"), wide("q2", "0.02"), wide("q3", "0.06")])

    assert found["quote_spread_sum_microdollars"] == 90_000
    assert found["quote_spread_sum_of_squares"] == 41 * 10**8
    assert found["quote_spread_p50_dollars"] == 0.02
    assert found["quote_spread_min_dollars"] == Decimal("0.01")
    assert found["n_spread"] == 3


def test_a_one_sided_quote_has_a_share_but_no_spread():
    one_sided = quote(
        "q2",
        "r1",
        is_two_sided=False,
        yes_bid_dollars=None,
        quote_spread=None,
        relative_spread=None,
    )

    found = of_maker([wide("q1", "0.05"), one_sided])

    assert (found["n_quotes"], found["n_one_sided"], found["n_spread"]) == (2, 1, 1)
    assert found["one_sided_share"] == 0.5
    assert found["quote_spread_p50_dollars"] == 0.05


def test_a_self_crossed_quote_is_counted_and_kept_out_of_the_spread():
    crossed = quote("q2", "r1", is_self_crossed=True, quote_spread=Decimal("-0.03"))

    found = of_maker([wide("q1", "0.05"), crossed])

    assert found["n_self_crossed"] == 1
    assert found["n_two_sided"] == 2
    assert found["quote_spread_min_dollars"] == Decimal("0.05")


def test_a_locked_quote_has_a_spread_of_zero():
    found = of_maker([wide("q1", "0")])

    assert found["quote_spread_p50_dollars"] == 0.0
    assert found["quote_spread_histogram"] == [{"bin": 0, "n": 1}]


def test_replaced_quotes_orphans_and_quotes_without_a_bid_are_left_out():
    replaced = quote("q2", "r1", is_effective=False)
    orphan = quote("q3", "gone", is_orphan=True, cohort_date=None)
    empty = quote("q4", "r1", is_two_sided=False, yes_bid_dollars=None, yes_ask_dollars=None)

    found = spreads([rfq("r1")], [wide("q1", "0.05"), replaced, orphan, empty])

    assert found["n_quotes"].sum() == 1


def test_p90_needs_fifty_quotes():
    few = of_maker([wide(f"q{i}", "0.05") for i in range(49)])

    many = of_maker([wide(f"q{i}", "0.05") for i in range(50)])

    assert few["quote_spread_p90_dollars"] is None
    assert many["quote_spread_p90_dollars"] == pytest.approx(0.05)


def test_a_crossed_composite_stays_below_zero():
    found = of_rfqs(rfq("r1", composite_spread=Decimal("-0.02"), is_composite_crossed=True))

    assert found["n_composite_crossed"] == 1
    assert found["composite_spread_sum_microdollars"] == -20_000
    assert found["composite_spread_histogram"][0]["bin"] < 0


def test_a_sole_response_has_no_cover_rather_than_a_cover_of_zero():
    covered = executed_rfq("r1", cover_distance=Decimal("0.02"), cover_savings_dollars=Decimal(2))

    found = of_rfqs(covered, executed_rfq("r2"))

    assert (found["n_executed"], found["n_covered"]) == (2, 1)
    assert found["cover_distance_p50_dollars"] == 0.02
    assert found["cover_savings_dollars"] == Decimal(2)


def test_the_cover_of_a_lapsed_accept_is_no_cover_of_a_trade():
    found = of_rfqs(rfq("r1", has_accept=True, cover_distance=Decimal("0.02")))

    assert (found["n_executed"], found["n_covered"]) == (0, 0)
    assert found["cover_distance_sum_microdollars"] == 0


def test_sums_over_makers_count_each_rfq_once():
    """Two makers quote one RFQ: its composite spread stands once, in the row of no maker."""
    rfqs = [rfq("r1", composite_spread=Decimal("0.02"))]

    found = spreads(rfqs, [quote("q1", "r1", "A"), quote("q2", "r1", "B")])

    assert found["n_composite"].sum() == 1
    assert found["composite_spread_sum_microdollars"].sum() == 20_000
    assert found["n_quotes"].sum() == 2
    assert found["maker_id"].to_list() == [None, "A", "B"]


def test_rfqs_of_others_have_no_composite_and_backfill_stands_apart():
    foreign = rfq("r1", visibility="quoted", composite_spread=Decimal("0.02"))
    quotes = [
        quote("q1", "r1", visibility="quoted"),
        quote("q2", "r2"),
        quote("q3", "r3", capture="backfill"),
    ]

    found = spreads([foreign], quotes)

    assert found["n_composite"].sum() == 0
    assert found.select("visibility", "capture").rows() == [
        ("own", "backfill"),
        ("own", "live"),
        ("quoted", "live"),
    ]
