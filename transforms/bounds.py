"""The fields that have bounds, in one table: staging believes no value beyond them, a load keeps a
copy of the row, and `marts.data_quality` counts it.

The value stays in raw. In staging it is NULL there and in every figure made of it, unless another
state of the same id showed a possible one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

_NONE, _DOLLAR = Decimal(0), Decimal(1)
# No size is documented as the largest. Far above what was seen, far below what would drown a sum.
_MOST = Decimal(1_000_000_000)


@dataclass(frozen=True, slots=True)
class Bound:
    """The least and the most that *field* of a raw row, or of each leg in it, can be."""

    field: str
    low: Decimal
    high: Decimal
    is_of_legs: bool = False

    @property
    def broken(self) -> str:
        """SQL that is true of a raw row which holds a value beyond this."""
        if not self.is_of_legs:
            return f"{self.field} not between {self.low} and {self.high}"
        values = f"json_extract_string(mve_selected_legs, '$[*].{self.field}')"
        span = f"between {self.low} and {self.high}"
        return f"list_bool_or(list_transform({values}, lambda v: v::decimal(18, 6) not {span}))"


BOUNDS: dict[str, Sequence[Bound]] = {
    "rfq_versions": (
        Bound("contracts_fp", _NONE, _MOST),
        Bound("target_cost_dollars", _NONE, _MOST),
        Bound("yes_settlement_value_dollars", _NONE, _DOLLAR, is_of_legs=True),
    ),
    "quote_versions": (
        Bound("yes_bid_dollars", _NONE, _DOLLAR),
        Bound("no_bid_dollars", _NONE, _DOLLAR),
        Bound("contracts_fp", _NONE, _MOST),
        Bound("yes_contracts_fp", _NONE, _MOST),
        Bound("no_contracts_fp", _NONE, _MOST),
        Bound("rfq_target_cost_dollars", _NONE, _MOST),
    ),
}


def believed(table: str, rows: str | None = None) -> str:
    """Return a query of the rows of raw *table*, or of the query *rows*, as they are believed.

    Impossible values are NULL; `out_of_bounds` has a bit for each bound that the row breaks. Rows
    with legs come with `are_legs_out_of_bounds`.
    """
    bounds = BOUNDS[table]
    replaced = ", ".join(
        f"case when not ({bound.broken}) then {bound.field} end as {bound.field}"
        for bound in bounds
        if not bound.is_of_legs
    )
    bits = " | ".join(
        f"if({_is_broken(bound)}, {1 << place}, 0)" for place, bound in enumerate(bounds)
    )
    rows = rows or f"from raw.{table}"
    return f"(select * replace ({replaced}), {bits} as out_of_bounds from ({rows}))"  # noqa: S608


def _is_broken(bound: Bound) -> str:
    # Legs are looked at once per list, and rows come with what was found.
    return "coalesce({}, false)".format(
        "are_legs_out_of_bounds" if bound.is_of_legs else bound.broken
    )


def legs_broken() -> str:
    """Return SQL that is true of legs of which one holds a value beyond its bounds."""
    return " or ".join(bound.broken for bound in BOUNDS["rfq_versions"] if bound.is_of_legs)


def believed_legs(legs: str) -> str:
    """Return the query *legs* with the impossible values of each leg as NULL."""
    replaced = ", ".join(
        f"case when {bound.field} between {bound.low} and {bound.high}"
        f" then {bound.field} end as {bound.field}"
        for bound in BOUNDS["rfq_versions"]
        if bound.is_of_legs
    )
    return f"select * replace ({replaced}) from ({legs})"  # noqa: S608


def named(table: str) -> str:
    """Return SQL for the names of the bits in `out_of_bounds`, with commas; NULL for none."""
    names = ", ".join(
        f"case when out_of_bounds & {1 << place} > 0 then '{bound.field}' end"
        for place, bound in enumerate(BOUNDS[table])
    )
    return f"nullif(concat_ws(', ', {names}), '')"
