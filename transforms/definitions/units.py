"""Column types and durations that every mart shares.

Prices and sizes stay decimal to the last step: a float sum depends on the order of its rows, and
`1 - 0.57 != 0.43` in binary. Only ratios, logarithms and seconds are floats.
"""

from decimal import Decimal

import polars as pl

DOLLARS = pl.Decimal(18, 6)
CONTRACTS = pl.Decimal(18, 2)
CENTS = pl.Decimal(18, 4)
MICROSECONDS = 1_000_000
ONE_MICROSECOND = pl.lit(Decimal("0.000001"), dtype=pl.Decimal(38, 6))
ONE_DOLLAR = pl.lit(Decimal(1), dtype=DOLLARS)


def duration(seconds: float) -> pl.Expr:
    """Return *seconds* as a duration of whole microseconds."""
    return pl.duration(microseconds=round(seconds * MICROSECONDS), time_unit="us")


def elapsed_s(start: str | pl.Expr, end: str | pl.Expr) -> pl.Expr:
    """Return the seconds from *start* to *end*, exact to the microsecond."""
    return in_seconds(_column(end) - _column(start))


def in_seconds(span: pl.Expr) -> pl.Expr:
    """Return a duration in seconds, the float nearest to it."""
    # polars divides by a scalar through its reciprocal, but only in columns longer than one: 50.1 s
    # would come out as 50.099999999999994 or not, depending on the neighbors.
    return (span.dt.total_microseconds().cast(pl.Decimal(38, 6)) * ONE_MICROSECOND).cast(pl.Float64)


def skew_corrected_s(raw_s: pl.Expr, skew_tol_s: float) -> pl.Expr:
    """Return *raw_s* with clock skew forgiven: 0 for a negative within tolerance, NULL beyond."""
    return pl.when(raw_s >= -skew_tol_s).then(raw_s.clip(lower_bound=0.0))


def price(name: str) -> pl.Expr:
    """Return the dollars column *name* as the float that ratios and logarithms need."""
    return pl.col(name).cast(pl.Float64)


def _column(name: str | pl.Expr) -> pl.Expr:
    return pl.col(name) if isinstance(name, str) else name
