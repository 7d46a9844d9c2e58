"""Counts, shares with their uncertainty, and distributions that merge, as expressions.

Quantiles of parts cannot be merged, so each part also carries exact sums and a histogram. Its bins
widen by 2 %: with x in whole millionths, bin 0 holds x = 0 and bin ±b holds
1.02^(b-2) < |x| <= 1.02^(b-1). Bins are ordered as their values are; equal bins of two parts add.
A bin's value, 2 * 1.02^(b-1) / 2.02 millionths, is within 1 % of everything in it. `functions.sql`
has the quantile of merged histograms as an SQL function.
"""

import math

import polars as pl


def count(condition: pl.Expr) -> pl.Expr:
    """How many rows meet *condition*; NULL does not."""
    return condition.fill_null(value=False).sum().cast(pl.Int64)


def rows() -> pl.Expr:
    """How many rows the group has."""
    return pl.len().cast(pl.Int64)


Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the standard normal."""

MIN_N_FOR_RATE = 30
"""Below this a rate is flagged as suppressed: its interval spans most of the unit interval."""


def rate(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """*numerator* / *denominator* as a float; NULL where the denominator is zero."""
    divisor = denominator.cast(pl.Float64)
    return pl.when(divisor > 0).then(numerator.cast(pl.Float64) / divisor)


def wilson(share: pl.Expr, n: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Wilson's 95 % score interval of a *share* seen in *n* trials, as (low, high).

    With z = 1.96: (share + z²/2n ∓ z √(share (1 - share)/n + z²/4n²)) / (1 + z²/n). NULL where
    the share is NULL or outside [0, 1], or n is zero. *n* need not be whole.
    """
    trials = n.cast(pl.Float64)
    valid = (trials > 0) & share.is_between(0, 1)
    center = share + Z_95**2 / (2 * trials)
    spread = share * (1 - share) / trials + Z_95**2 / (4 * trials**2)
    margin = Z_95 * spread.sqrt()
    scale = 1 + Z_95**2 / trials
    low = pl.when(valid).then(((center - margin) / scale).clip(0, 1))
    high = pl.when(valid).then(((center + margin) / scale).clip(0, 1))
    return low, high


def effective_n(weight: pl.Expr, weight_squares: pl.Expr) -> pl.Expr:
    """Kish's effective sample size of weighted observations: (Σw)² / Σw².

    One RFQ of 10,000 contracts is one observation, not 10,000.
    """
    return rate(weight.cast(pl.Float64) ** 2, weight_squares)


def rate_columns(
    name: str, numerator: str, denominator: str, *, n: str | None = None, squares: str | None = None
) -> dict[str, pl.Expr]:
    """The rate *name* of two columns, its interval and its small-sample flag.

    Unweighted, *denominator* counts the observations. Weighted, *n* does, and *squares* holds the
    sum of the squared weights.
    """
    share = rate(pl.col(numerator), pl.col(denominator))
    weight = pl.col(denominator)
    low, high = wilson(share, effective_n(weight, pl.col(squares)) if squares else weight)
    return {
        name: share,
        f"{name}_low": low,
        f"{name}_high": high,
        f"is_{name}_suppressed": pl.col(n or denominator).fill_null(0) < MIN_N_FOR_RATE,
    }


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
