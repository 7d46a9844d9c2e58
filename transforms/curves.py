"""Incidence over time where several causes compete, by Aalen and Johansen.

At each time t_j with n_j at risk and d_kj events of cause k: `CIF_k += S(t_j-) d_kj / n_j`, then
`S *= 1 - d_j / n_j`; the incidences of all causes and S add up to 1. Treating the other causes as
censoring (Kaplan-Meier) answers "if nothing else ever happened" and overstates.
"""

import polars as pl

from transforms.clocks import CAUSES
from transforms.intervals import Z_95

# A sum of fractions that ought to reach a share may miss it by a rounding error.
ROUNDING = 1e-12
KEY = ("capture", "n_legs")


def incidence(
    observed: pl.LazyFrame, clock: str, competing: tuple[str, ...] | None = None
) -> pl.LazyFrame:
    """Estimate the incidence of each *competing* cause of *clock*, per capture and n_legs.

    One row per cause, capture, n_legs and time at which anything ended. `incidence_low` and
    `incidence_high` bound it with 95 % confidence; `km_incidence` is the naive 1 - Kaplan-Meier
    with the other causes as censoring.
    """
    competing = competing or CAUSES[clock]
    steps = _steps(observed.filter(pl.col("clock") == clock), competing)
    curves = pl.concat(_of_cause(steps, cause) for cause in competing)
    return curves.select(pl.lit(clock).alias("clock"), pl.all())


def first_time_at(curve: pl.DataFrame, share: float, column: str = "incidence") -> float | None:
    """Return the first time at which *column* reaches *share*; None where its plateau is below."""
    reached = curve.filter(pl.col(column) >= share - ROUNDING)["time_s"]
    return min(reached.to_list(), default=None)


def _steps(observed: pl.LazyFrame, causes: tuple[str, ...]) -> pl.LazyFrame:
    """Count risk, events and survival at each time. One row per capture, n_legs and time."""
    leaving = pl.col("n_leaving").cum_sum(reverse=True).over(KEY, order_by="time_s")
    hazard = pl.col("n_events_of_all") / pl.col("n_risk")
    return (
        observed.group_by(*KEY, "time_s")
        .agg(
            *((pl.col("cause") == name).sum().cast(pl.Int64).alias(name) for name in causes),
            n_leaving=pl.len().cast(pl.Int64),
            n_censored=pl.col("cause").is_null().sum().cast(pl.Int64),
        )
        .sort(*KEY, "time_s")
        .with_columns(n_risk=leaving, n_events_of_all=pl.col("n_leaving") - pl.col("n_censored"))
        .with_columns(survival=(1 - hazard).cum_prod().over(KEY))
        .with_columns(before=pl.col("survival").shift(1, fill_value=1.0).over(KEY))
    )


def _of_cause(steps: pl.LazyFrame, cause: str) -> pl.LazyFrame:
    events, at_risk = pl.col(cause), pl.col("n_risk")
    return (
        steps.with_columns(
            incidence=(pl.col("before") * events / at_risk).cum_sum().over(KEY),
            km_incidence=1 - (1 - events / at_risk).cum_prod().over(KEY),
        )
        .with_columns(variance=_variance(cause))
        .with_columns(**_band())
        .select(
            *KEY,
            "time_s",
            "n_risk",
            "n_censored",
            "survival",
            "incidence",
            "incidence_low",
            "incidence_high",
            "km_incidence",
            cause=pl.lit(cause),
            n_events=events,
            n_competing=pl.col("n_events_of_all") - events,
        )
    )


def _variance(cause: str) -> pl.Expr:
    """Return the delta-method variance of the incidence F at t, over the times t_j <= t:

    `sum (F(t) - F_j)^2 d_j / (n_j (n_j - d_j)) + sum S_j-^2 d_kj (n_j - d_kj) / n_j^3
    - 2 sum (F(t) - F_j) S_j- d_kj / n_j^2`, with the powers of F(t) taken out of the sums.
    """
    n, d, d_k = pl.col("n_risk"), pl.col("n_events_of_all"), pl.col(cause)
    f, s = pl.col("incidence"), pl.col("before")
    # Where everybody at risk leaves at once, F(t) - F_j is 0 from then on.
    a = pl.when(n > d).then(d / (n * (n - d))).otherwise(0.0)
    b = s * d_k / n**2
    own = s**2 * d_k * (n - d_k) / n**3
    total = (
        f**2 * _so_far(a)
        - 2 * f * _so_far(a * f)
        + _so_far(a * f**2)
        + _so_far(own)
        - 2 * (f * _so_far(b) - _so_far(b * f))
    )
    return total.clip(lower_bound=0.0)


def _so_far(term: pl.Expr) -> pl.Expr:
    return term.cum_sum().over(KEY)


def _band() -> dict[str, pl.Expr]:
    """Return the 95 % band on the log(-log) scale; it shrinks to the curve at 0 and 1."""
    f = pl.col("incidence")
    is_inside = (f > 0) & (f < 1 - ROUNDING)
    width = Z_95 * pl.col("variance").sqrt() / (f * f.log())
    return {
        "incidence_low": pl.when(is_inside).then(f ** (-width).exp()).otherwise(f),
        "incidence_high": pl.when(is_inside).then(f ** width.exp()).otherwise(f),
    }
