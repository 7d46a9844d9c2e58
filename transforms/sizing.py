"""How many contracts a quote is for: given by the exchange, or derived from a target cost.

A target cost T buys `floor_0.01(T / (p + 0.07 p (1 - p)))` contracts at price p = 1 - bid, as it
includes the requester's fee unless it is said to exclude it: then `floor_0.01(T / p)`. The formula
is inferred; it reproduces every published quote that we know.
"""

from decimal import Decimal

import polars as pl

from transforms.units import CONTRACTS, DOLLARS, ONE_DOLLAR

MICRODOLLARS = 1_000_000
FEE_PERCENT = 7
HUNDREDTH = pl.lit(Decimal("0.01"), dtype=CONTRACTS)


def offered_contracts(side: str) -> pl.Expr:
    """Return the size behind the bid on *side*: the full RFQ, since quotes carry no size."""
    shown = pl.col(f"{side}_contracts")
    asked = pl.coalesce(pl.when(pl.col("contracts") > 0).then("contracts"), pl.col("rfq_contracts"))
    is_target_cost = pl.col("asked_dollars").is_not_null()
    otherwise = pl.when(is_target_cost).then(f"derived_{side}_contracts").otherwise(asked)
    return pl.coalesce(shown, otherwise).cast(CONTRACTS)


def derived_contracts(side: str) -> pl.Expr:
    """Return the size that the target cost buys if the bid on *side* is hit."""
    p = _micros(ONE_DOLLAR - pl.col(f"{side}_bid_dollars"))
    fee = p * (MICRODOLLARS - p) * FEE_PERCENT
    # Both cost and target are scaled to 1e-14 dollars: integers, so that the floor is exact.
    cost = p * 10**8 + pl.when("excludes_fees").then(0).otherwise(fee)
    hundredths = pl.when(cost > 0).then(_micros(pl.col("asked_dollars")) * 10**10 // cost)
    return (hundredths.cast(pl.Decimal(38, 2)) * HUNDREDTH).cast(CONTRACTS)


def _micros(dollars: pl.Expr) -> pl.Expr:
    return (dollars.cast(DOLLARS) * MICRODOLLARS).cast(pl.Int128)
