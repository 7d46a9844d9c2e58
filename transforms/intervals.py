"""Rates and their uncertainty, as expressions."""

import polars as pl

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
