"""Of two states of one id that differ in every field, staging shows the newer, field by field.

A market in which each id has one state cannot tell the newest state from the oldest.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from tests.metrics.markets import MIDNIGHT, ExchangeObject, at, moment, quote, rfq
from transforms.bounds import BOUNDS, Bound
from transforms.metrics.objects import load_objects
from transforms.settings import Settings
from transforms.staging import stage

LATER = Settings(as_of=MIDNIGHT + timedelta(hours=1))
LEGS = [{"market_ticker": "KXLEG-0", "side": "yes"}]
OLD, NEW = {"updated_ts": at(30)}, {"updated_ts": at(40)}
# Field of the exchange, column of staging, older value, newer value.
QUOTE_FIELDS: list[tuple[str, str, Any, Any]] = [
    ("rfq_id", "rfq_id", "r1", "r2"),
    ("market_ticker", "market_ticker", "KXA-26", "KXB-26"),
    ("creator_id", "maker_id", "A", "B"),
    ("rfq_creator_id", "requester_id", "desk", "other"),
    ("contracts_fp", "contracts", "100.00", "90.00"),
    ("yes_bid_dollars", "yes_bid_dollars", "0.410000", "0.400000"),
    ("no_bid_dollars", "no_bid_dollars", "0.560000", "0.550000"),
    ("yes_contracts_fp", "yes_contracts", "7.00", "6.00"),
    ("no_contracts_fp", "no_contracts", "9.00", "8.00"),
    ("rfq_target_cost_dollars", "target_cost_dollars", "25.000000", "20.000000"),
    ("target_cost_excludes_fees", "target_cost_excludes_fees", True, False),
    ("accepted_side", "accepted_side", "yes", "no"),
    ("created_ts", "created_ts", at(2), at(1)),
    ("accepted_ts", "accepted_ts", at(4), at(3)),
    ("confirmed_ts", "confirmed_ts", at(6), at(5)),
    ("executed_ts", "executed_ts", at(8), at(7)),
    ("cancelled_ts", "cancelled_ts", at(10), at(9)),
    ("cancellation_reason", "cancellation_reason", "withdrawn", "rfq_closed"),
    ("updated_ts", "updated_ts", at(30), at(40)),
]
RFQ_FIELDS: list[tuple[str, str, Any, Any]] = [
    ("creator_id", "requester_id_last", "desk", "other"),
    ("market_ticker", "market_ticker", "KXB-26", "KXA-26"),
    ("contracts_fp", "contracts", "100.00", "90.00"),
    ("target_cost_dollars", "target_cost_dollars", "25.000000", "20.000000"),
    ("target_cost_excludes_fees", "target_cost_excludes_fees", True, False),
    ("rest_remainder", "rest_remainder", True, False),
    ("mve_collection_ticker", "mve_collection_ticker", "KXR-B", "KXR-A"),
    ("mve_selected_legs", "n_legs", LEGS * 3, LEGS),
    ("created_ts", "created_ts", at(2), at(1)),
    ("cancelled_ts", "cancelled_ts", at(21), at(20)),
    ("cancellation_reason", "cancellation_reason", "expired", "cancelled"),
    ("updated_ts", "updated_ts", at(30), at(40)),
]


def staged(*versions: ExchangeObject) -> dict[str, dict[str, Any]]:
    """What staging makes of these states, RFQs or quotes, by their ids."""
    is_quote = "rfq_id" in versions[0]
    with duckdb.connect() as connection:
        load_objects(connection, *(([], versions) if is_quote else (versions, [])))
        stage(connection, LATER)
        rows = connection.sql(f"from staging.{'quotes' if is_quote else 'rfqs'}").pl()
    return {row["quote_id" if is_quote else "rfq_id"]: row for row in rows.iter_rows(named=True)}


def shown(value: Any) -> Any:
    """What staging makes of a value of the exchange: a moment, a number of legs, a decimal."""
    if isinstance(value, list):
        return len(value)
    if isinstance(value, str) and value.endswith("Z"):
        return moment(value)
    if isinstance(value, str) and value[0].isdigit():
        return Decimal(value)
    return value


@pytest.mark.parametrize("turned", [False, True], ids=["as it came", "the other way round"])
@pytest.mark.parametrize(
    ("base", "fields"),
    [(quote("q1", "r1"), QUOTE_FIELDS), (rfq("r1"), RFQ_FIELDS)],
    ids=["quote", "rfq"],
)
def test_each_field_is_of_the_newer_state(
    base: ExchangeObject, fields: list[tuple[str, str, Any, Any]], turned: bool
) -> None:
    """Values fall from the older to the newer state, so the largest is not the newest."""
    older = base | {field: value for field, _, value, _ in fields}
    newer = base | {field: value for field, _, _, value in fields}

    (row,) = staged(*((newer, older) if turned else (older, newer))).values()

    assert {column: row[column] for _, column, *_ in fields} == {
        column: shown(value) for _, column, _, value in fields
    }


@pytest.mark.parametrize(
    ("base", "fields"),
    [(quote("q1", "r1"), QUOTE_FIELDS), (rfq("r1"), RFQ_FIELDS)],
    ids=["quote", "rfq"],
)
def test_a_field_that_the_newer_state_hides_is_kept(
    base: ExchangeObject, fields: list[tuple[str, str, Any, Any]]
) -> None:
    never_hidden = ("rfq_id", "created_ts", "updated_ts")
    hideable = [each for each in fields if each[0] not in never_hidden]
    older = base | {field: value for field, _, value, _ in hideable} | OLD
    newer = base | {field: None for field, *_ in hideable} | NEW

    (row,) = staged(older, newer).values()

    assert {column: row[column] for _, column, *_ in hideable} == {
        column: shown(value) for _, column, value, _ in hideable
    }


@pytest.mark.parametrize(
    ("base", "bound"),
    [
        (quote("q1", "r1") if table == "quote_versions" else rfq("r1"), bound)
        for table, bounds in BOUNDS.items()
        for bound in bounds
    ],
    ids=lambda value: getattr(value, "field", ""),
)
def test_a_value_is_believed_up_to_its_bounds_and_not_a_step_beyond(
    base: ExchangeObject, bound: Bound
) -> None:
    step = Decimal("0.01") if "contracts" in bound.field else Decimal("0.000001")
    values = (bound.low - step, bound.low, bound.high, bound.high + step)
    states = [base | {"id": str(value)} | with_value(bound, value) for value in values]

    rows = staged(*states)

    assert (bound.low, bound.high) in [(0, 1), (0, 1_000_000_000)]
    assert [rows[str(value)]["out_of_bounds"] for value in values] == [
        bound.field,
        None,
        None,
        bound.field,
    ]


def with_value(bound: Bound, value: Decimal) -> ExchangeObject:
    if bound.is_of_legs:
        return {"mve_selected_legs": [LEGS[0] | {bound.field: str(value)}]}
    return {bound.field: str(value)}
