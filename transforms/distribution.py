"""Distributions that merge: exact sums, exact quantiles of the part, and a log-bin histogram.

Quantiles of parts cannot be merged, so each part also carries a histogram. Its bins widen by 2 %:
with x in whole millionths, bin 0 holds x = 0 and bin ±b holds 1.02^(b-2) < |x| <= 1.02^(b-1).
Bins are ordered as their values are; equal bins of two parts add. A bin's value,
2 * 1.02^(b-1) / 2.02 millionths, is within 1 % of everything in it. `functions.sql` has the
quantile of merged histograms as an SQL function.
"""

import math

import polars as pl

GROWTH = 1.02
MILLION = 1_000_000

MIN_N_FOR_P90 = 50
MIN_N_FOR_P99 = 500
_MIN_N = {50: 1, 90: MIN_N_FOR_P90, 99: MIN_N_FOR_P99}


def millionths(value: pl.Expr) -> pl.Expr:
    """Seconds as whole microseconds, dollars as whole micro-dollars: their sums are exact."""
    return (value * MILLION).round().cast(pl.Int64)


def histogram(value: pl.Expr) -> pl.Expr:
    """Bins of *value* (seconds, dollars or a ratio) as a list of {bin, n}, lowest bin first."""
    bins = _bin(value).drop_nulls().sort().rle()
    counted = pl.struct(
        bin=pl.element().struct.field("value").cast(pl.Int32),
        n=pl.element().struct.field("len").cast(pl.Int64),
    )
    return bins.implode().list.eval(counted)


def _bin(value: pl.Expr) -> pl.Expr:
    x = millionths(value)
    magnitude = 1 + (x.abs().cast(pl.Float64).log() / math.log(GROWTH)).ceil()
    return pl.when(x == 0).then(0).otherwise(x.sign() * magnitude).cast(pl.Int32)


def quantile(value: pl.Expr, percent: int) -> pl.Expr:
    """Linear quantile; NULL under 50 values for p90 and under 500 for p99."""
    floats = value.cast(pl.Float64)
    quantile = floats.quantile(percent / 100, interpolation="linear")
    return pl.when(value.count() >= _MIN_N[percent]).then(quantile)


def distribution(name: str, unit: str, percents: tuple[int, ...] = (50, 90)) -> dict[str, pl.Expr]:
    """Aggregates of column *name*: min, max, quantiles and histogram, in columns named for it."""
    value = pl.col(name)
    quantiles = {f"{name}_p{p}{unit}": quantile(value, p) for p in percents}
    return {
        f"{name}_min{unit}": value.min(),
        f"{name}_max{unit}": value.max(),
        **quantiles,
        f"{name}_histogram": histogram(value),
    }


def dollar_distribution(name: str) -> dict[str, pl.Expr]:
    """`distribution` of a dollar column, with its sum and sum of squares in whole micro-dollars."""
    exact = millionths(pl.col(name))
    return {
        f"{name}_sum_microdollars": exact.sum(),
        f"{name}_sum_of_squares": (exact * exact).sum(),
        **distribution(name, "_dollars"),
    }
