"""Fill rates by population and weight, worked by hand."""

from decimal import Decimal
from typing import Any

import duckdb
import polars as pl
import pytest

from tests.marts.facts import after, executed_rfq, rfq, rfq_facts
from transforms.marts.fill_rates import fill_rates
from transforms.settings import Settings

SETTINGS = Settings(as_of=after(600), maturity_s=300)


def rates(*rfqs: dict[str, Any]) -> pl.DataFrame:
    return fill_rates(rfq_facts(*rfqs), SETTINGS).collect()


def row(*rfqs: dict[str, Any]) -> dict[str, Any]:
    return rates(*rfqs).row(0, named=True)


def still_open(rfq_id: str, **changes: Any) -> dict[str, Any]:
    return rfq(rfq_id, state="open", end_ts=None, is_matured=False, **changes)


def test_the_three_populations_answer_differently():
    """One filled at 22 s, one at 330 s (too late for M), one closed, one open and immature."""
    late = executed_rfq("late", executed_ts=after(330))

    found = row(executed_rfq("soon"), late, rfq("closed"), still_open("young"))

    assert found["fill_rate_all"] == 2 / 4
    assert found["fill_rate_terminal"] == 2 / 3
    assert found["fill_rate_matured"] == 1 / 3
    assert (found["n_rfq"], found["n_censored"], found["n_immature"]) == (4, 1, 1)


def test_an_rfq_that_vanished_while_open_is_censored_not_closed():
    found = row(executed_rfq("filled"), rfq("vanished", end_cause="lost"))

    assert found["fill_rate_terminal"] == 1.0
    assert found["n_censored"] == 1


def test_a_fill_exactly_at_the_maturity_counts():
    found = row(
        executed_rfq("edge", executed_ts=after(300)),
        executed_rfq("over", executed_ts=after(300.000001)),
    )

    assert found["fill_rate_matured_numerator"] == 1


def test_a_fill_whose_timestamps_are_out_of_order_stays_in_the_counts():
    found = row(executed_rfq("odd", time_to_fill_s=None))

    assert found["fill_rate_matured"] == 1.0


def test_weights_never_mix_contracts_with_target_cost():
    """100 of 1,000 contracts; $50 of $200."""
    by_cost = {"size_mode": "target_cost", "contracts": None, "size_bucket": "contracts 100"}

    found = row(
        executed_rfq("c1", contracts=Decimal(100)),
        rfq("c2", contracts=Decimal(900)),
        executed_rfq(
            "t1", **by_cost, target_cost_dollars=Decimal(50), executed_contracts=Decimal("236.74")
        ),
        rfq("t2", **by_cost, target_cost_dollars=Decimal(150)),
    )

    assert found["fill_rate_contracts_matured"] == 0.1
    assert found["fill_rate_contracts_matured_numerator"] == Decimal(100)
    assert found["fill_rate_target_cost_matured"] == 0.25
    assert found["fill_rate_matured"] == 0.5
    assert found["fill_rate_contracts_matured_n"] == 2


def test_one_huge_rfq_does_not_narrow_the_weighted_interval():
    """Weights 1 and 9: effective n = 10² / (1 + 81) = 1.22, hence a wide interval."""
    found = row(executed_rfq("c1", contracts=Decimal(1)), rfq("c2", contracts=Decimal(9)))

    assert found["fill_rate_contracts_all"] == pytest.approx(0.1)
    assert found["fill_rate_contracts_all_high"] > 0.75


def test_no_matured_rfq_means_no_rate_rather_than_zero():
    found = row(still_open("young"))

    assert found["fill_rate_matured"] is None
    assert found["fill_rate_terminal"] is None
    assert found["fill_rate_matured_low"] is None
    assert found["fill_rate_all"] == 0.0


@pytest.mark.parametrize("visibility", ["quoted", "foreign"])
def test_what_became_of_an_rfq_of_somebody_else_is_unknown_not_unfilled(visibility):
    found = row(rfq("r1", visibility=visibility), executed_rfq("r2", visibility=visibility))

    assert found["n_rfq"] == 2
    assert all(found[name] is None for name in found if name.startswith("fill_rate_"))


def test_thirty_rfqs_lift_the_small_sample_flag():
    few = row(*(rfq(f"r{i}") for i in range(29)))

    many = row(*(rfq(f"r{i}") for i in range(30)))

    assert few["is_fill_rate_matured_suppressed"]
    assert not many["is_fill_rate_matured_suppressed"]


def test_parts_of_partitions_add_up_to_the_whole():
    rfqs = [
        maker(f"r{i}", market_ticker=f"KXTEST-26-{i % 3}", contracts=Decimal(i + 1))
        for i, maker in enumerate([rfq, executed_rfq, still_open] * 4)
    ]
    whole = row(*(r | {"market_ticker": "KXTEST-26-A"} for r in rfqs))
    parts = rates(*rfqs)

    with duckdb.connect() as connection:
        connection.register("fill_rates", parts.to_arrow())
        merged = connection.execute(
            "select sum(fill_rate_matured_numerator) / sum(fill_rate_matured_denominator),"
            " sum(fill_rate_contracts_all_numerator) / sum(fill_rate_contracts_all_denominator)"
            " from fill_rates"
        ).fetchall()

    assert parts.height == 3
    assert merged == [(whole["fill_rate_matured"], whole["fill_rate_contracts_all"])]


def test_no_rfqs_make_no_rows():
    assert rates().height == 0
