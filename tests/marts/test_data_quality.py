"""Every flag is counted over the rows it was looked for in."""

from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from tests.marts.facts import (
    after,
    executed_quote,
    executed_rfq,
    quote,
    quote_facts,
    rfq,
    rfq_facts,
)
from transforms.bounds import BOUNDS
from transforms.marts.data_quality import data_quality, data_quality_by_day


def checks(
    *,
    quotes: list[dict[str, Any]] | None = None,
    rfqs: list[dict[str, Any]] | None = None,
) -> dict[str, tuple[int, int]]:
    """Return (count, n_checked) by check."""
    by_day = data_quality_by_day(rfq_facts(*(rfqs or [])), quote_facts(*(quotes or [])))
    none_lost = pl.LazyFrame(schema={"rows_lost": pl.Int64})
    no_legs = pl.LazyFrame({"n_of_two_lists": [0], "n_listed": [0]})
    found = data_quality(by_day, none_lost, no_legs).collect()
    return {
        row["check_name"]: (row["count"], row["n_checked"])
        for row in found.iter_rows(named=True)
        if row["check_name"] not in ("lost_row", "market_of_two_leg_lists")
    }


NO_BID = {"yes_bid_dollars": None, "yes_ask_dollars": None, "is_two_sided": False}


@pytest.mark.parametrize(
    ("check", "flawed"),
    [
        ("orphan_quote", quote("bad", "gone", is_orphan=True, is_valid_response=False)),
        ("self_crossed_quote", quote("bad", "r1", is_self_crossed=True)),
        ("quote_without_bid", quote("bad", "r1", **NO_BID)),
        ("quote_after_close", quote("bad", "r1", is_after_close=True)),
        ("non_monotone_chain", quote("bad", "r1", is_monotone=False)),
        ("self_quote", quote("bad", "r1", is_self_quote=True)),
        ("quote_shown_late", quote("bad", "r1", is_shown_late=True)),
        ("vanished_quote", quote("bad", "r1", end_cause="lost")),
        (
            "negative_latency_clamped",
            quote("bad", "r1", is_negative_latency=True, response_latency_s=0.0),
        ),
        (
            "negative_latency_rejected",
            quote("bad", "r1", is_negative_latency=True, response_latency_s=None),
        ),
    ],
)
def test_a_flawed_quote_is_counted_under_its_check_alone(check, flawed):
    found = checks(quotes=[quote("good", "r1"), flawed])

    assert found[check] == (1, 2)
    assert {name for name, (n, _) in found.items() if n} == {check}


@pytest.mark.parametrize(
    ("n_legs", "yes_bid", "is_off_grid"),
    [
        (1, "0.40", False),
        (1, "0.355", True),
        (2, "0.355", False),
        (2, "0.3555", True),
        (2, "0.0055", False),
        (2, "0.9955", False),
        (2, "0.00555", True),
    ],
)
def test_the_grid_is_a_cent_for_singles_and_finer_for_combos(n_legs, yes_bid, is_off_grid):
    found = checks(quotes=[quote("q1", "r1", n_legs=n_legs, yes_bid_dollars=Decimal(yes_bid))])

    assert found["off_grid_price"] == (int(is_off_grid), 1)


@pytest.mark.parametrize("bound", BOUNDS["quote_versions"], ids=lambda bound: bound.field)
def test_every_field_of_a_quote_with_bounds_is_counted(bound):
    beyond = quote("bad", "r1", out_of_bounds=f"another, {bound.field}")

    found = checks(quotes=[quote("good", "r1"), beyond])

    assert found[f"quote_{bound.field}_out_of_bounds"] == (1, 2)
    assert found["price_above_one"] == (int("bid" in bound.field), 2)


@pytest.mark.parametrize("bound", BOUNDS["rfq_versions"], ids=lambda bound: bound.field)
def test_every_field_of_an_rfq_with_bounds_is_counted(bound):
    found = checks(rfqs=[rfq("r1", out_of_bounds=bound.field), rfq("r2")])

    assert found[f"rfq_{bound.field}_out_of_bounds"] == (1, 2)


def test_a_stuck_confirm_is_counted_among_confirmed_quotes():
    quotes = [
        executed_quote("q1", "r1"),
        executed_quote("q2", "r2", is_confirmed_stuck=True, execution_latency_s=None),
        executed_quote("q3", "r3", is_lapsed=True, has_confirm=False),
        quote("q4", "r4"),
    ]

    assert checks(quotes=quotes)["confirmed_stuck"] == (1, 2)


def test_two_executions_of_one_rfq_are_an_alert():
    rfqs = [executed_rfq("r1", n_executed_quotes=2), executed_rfq("r2"), rfq("r3")]

    assert checks(rfqs=rfqs)["repeated_execution"] == (1, 2)


def test_rfqs_with_a_doubtful_end_are_counted():
    rfqs = [
        rfq("r1", is_end_upper_bound=True),
        rfq("r2", end_cause="lost"),
        rfq("r3", state="open", end_cause=None),
        rfq("r4"),
    ]

    found = checks(rfqs=rfqs)

    assert found["end_dated_by_update"] == (1, 2)
    assert found["vanished_rfq"] == (1, 4)


def test_an_rfq_that_fits_in_no_outcome_is_counted():
    found = checks(rfqs=[rfq("r1", outcome_bucket=None), rfq("r2")])

    assert found["rfq_in_no_outcome"] == (1, 2)


def test_an_unknown_or_missing_status_is_counted():
    rfqs = [rfq(f"r{i}", exchange_status=s) for i, s in enumerate(["open", "paused", None])]

    found = checks(rfqs=rfqs)

    assert found["unknown_rfq_status"] == (2, 3)
    assert found["unknown_quote_status"] == (0, 0)


def test_coverage_and_crossed_books_are_counted_over_own_rfqs():
    rfqs = [
        rfq("r1", capture="backfill", composite_spread=Decimal("-0.01"), is_composite_crossed=True),
        rfq("r2", composite_spread=Decimal("0.01")),
        rfq("r3", capture="backfill", visibility="foreign"),
    ]

    found = checks(rfqs=rfqs)

    assert found["own_rfq_not_captured_live"] == (1, 2)
    assert found["composite_crossed"] == (1, 2)


def test_an_end_before_the_beginning_is_counted():
    found = checks(rfqs=[rfq("r1", end_ts=after(-1)), rfq("r2"), rfq("r3", end_ts=None)])

    assert found["rfq_ended_before_it_began"] == (1, 2)


def test_each_day_has_its_own_counts_and_the_whole_is_their_sum():
    other_day = {"cohort_date": date(2026, 1, 6)}
    quotes = [quote("q1", "r1", is_self_quote=True), quote("q2", "r2", **other_day)]

    by_day = data_quality_by_day(rfq_facts(), quote_facts(*quotes)).filter(check_name="self_quote")

    assert by_day.select("cohort_date", "count", "n_checked").collect().rows() == [
        (date(2026, 1, 5), 1, 1),
        (date(2026, 1, 6), 0, 1),
    ]
    assert checks(quotes=quotes)["self_quote"] == (1, 2)
