"""The five clocks of an RFQ's life, and the incidence of each cause on them.

A clock says who is timed, until when, and which causes compete. Incidence is by Aalen and Johansen:
at each time t_j with n_j at risk and d_kj events of cause k, `CIF_k += S(t_j-) d_kj / n_j`, then
`S *= 1 - d_j / n_j`; the incidences of all causes and S add up to 1. Treating the other causes as
censoring (Kaplan-Meier) answers "if nothing else ever happened" and overstates.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from transforms.definitions.populations import (
    BACKFILL,
    LATE,
    LIVE,
    is_accepted,
    is_executed,
    is_own,
    is_quoted,
)
from transforms.definitions.statistics import Z_95
from transforms.definitions.units import elapsed_s
from transforms.settings import Settings

CAUSES = {
    "ttfq": ("quote", "closed_unquoted"),
    "fill": ("executed", "closed"),
    "accept": ("accepted", "ended"),
    "confirm": ("confirmed", "lapsed"),
    "lifetime": ("replaced", "withdrawn", "accepted", "rfq_end"),
}
ANY = (LIVE, LATE, BACKFILL)
# Time to quote and a quote's life need what came and went; what was accepted is kept for good.
CAPTURES = {
    "ttfq": (LIVE,),
    "fill": (LIVE, LATE),
    "accept": (LIVE, LATE),
    "confirm": ANY,
    "lifetime": (LIVE,),
}


def causes(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return the causes that compete on each clock.

    Between passes quotes may come and vanish unseen, so nobody is known to close unquoted.
    """
    return CAUSES if settings.is_watched else CAUSES | {"ttfq": ("quote",)}


def observations(
    rfq_facts: pl.LazyFrame, quote_facts: pl.LazyFrame, settings: Settings
) -> pl.LazyFrame:
    """Time every clock on our own RFQs: `time_s` and `cause`, a NULL cause for censored.

    One row per clock and RFQ (ttfq, fill, accept) or quote (confirm, lifetime). Rows whose
    duration is unknown (out of order, or skewed beyond tolerance) are left out. `capture` tells
    apart what each clock is to be read of, by `CAPTURES`. What `is_waiting` is timed up to the
    as-of time, and longer at each later one.
    """
    rfqs = rfq_facts.filter(is_own())
    quotes = quote_facts.filter(is_own())
    clocks = {
        "ttfq": _first_quotes(rfqs, settings),
        "fill": _fills(rfqs, settings),
        "accept": _accepts(rfqs, settings),
        "confirm": _confirms(quotes.filter("has_accept"), settings),
        "lifetime": _lifetimes(quotes.filter("is_valid_response"), settings),
    }
    return pl.concat(
        timed.select(
            *("cohort_date", "capture", "n_legs", "is_waiting", "cause"),
            pl.col("time_s").clip(0.0),
            clock=pl.lit(clock),
        ).filter(pl.col("time_s").is_not_null())
        for clock, timed in clocks.items()
    )


def _first_quotes(rfqs: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    """With passes an RFQ is cut at its last one: what came after it may have vanished unseen."""
    if not settings.is_watched:
        watched_s = elapsed_s("created_ts", "watched_until_ts")
        until_s = pl.coalesce(watched_s, _age_s(settings))
        is_seen = is_quoted() & (pl.col("time_to_first_quote_s") <= until_s)
        is_undated = is_quoted() & pl.col("time_to_first_quote_s").is_null()
        return rfqs.filter(~is_undated).with_columns(
            cause=pl.when(is_seen).then(pl.lit("quote")),
            time_s=pl.when(is_seen).then("time_to_first_quote_s").otherwise(until_s),
            is_waiting=~is_seen & watched_s.is_null() & _is_live(),
        )
    return rfqs.with_columns(
        cause=pl.when(is_quoted())
        .then(pl.lit("quote"))
        .when(_is_closed())
        .then(pl.lit("closed_unquoted")),
        time_s=pl.when(is_quoted()).then("time_to_first_quote_s").otherwise(_age_s(settings)),
        is_waiting=~is_quoted() & _is_live(),
    )


def _fills(rfqs: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    state = pl.col("state")
    return rfqs.with_columns(
        cause=pl.when(is_executed())
        .then(pl.lit("executed"))
        .when(_is_closed() & (state == "closed_unfilled"))
        .then(pl.lit("closed")),
        time_s=pl.when(is_executed())
        .then("time_to_fill_s")
        .when(state == "closed_unfilled")
        .then(_age_s(settings))
        .otherwise(elapsed_s("created_ts", pl.lit(settings.as_of))),
        is_waiting=~is_executed() & (state.ne_missing("closed_unfilled") | _is_live()),
    )


def _accepts(rfqs: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    return rfqs.with_columns(
        cause=pl.when(is_accepted())
        .then(pl.lit("accepted"))
        .when(_is_closed())
        .then(pl.lit("ended")),
        time_s=pl.when(is_accepted()).then("time_to_accept_s").otherwise(_age_s(settings)),
        is_waiting=~is_accepted() & _is_live(),
    )


def _confirms(quotes: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    """A lapse is dated at the end of the window, where the maker's right to confirm ended."""
    lapsed_s = pl.min_horizontal(
        pl.col("confirm_window_s").cast(pl.Float64), elapsed_s("accepted_ts", "cancelled_ts")
    )
    return quotes.with_columns(
        cause=pl.when("has_confirm")
        .then(pl.lit("confirmed"))
        .when("is_lapsed")
        .then(pl.lit("lapsed")),
        time_s=pl.when("has_confirm")
        .then("confirm_latency_s")
        .when("is_lapsed")
        .then(lapsed_s)
        .otherwise(elapsed_s("accepted_ts", pl.lit(settings.as_of))),
        is_waiting=~pl.any_horizontal("has_confirm", "is_lapsed"),
    )


def _lifetimes(quotes: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    return quotes.with_columns(
        # A quote that vanished was alive when it was last seen, and one that was cancelled for an
        # unknown cause until then: censored there, as no cause that competes is known to end it.
        cause=pl.when(pl.col("end_cause").is_in(CAUSES["lifetime"])).then("end_cause"),
        time_s=pl.when(_is_live())
        .then(elapsed_s("created_ts", pl.lit(settings.as_of)))
        .otherwise("quote_lifetime_s"),
        is_waiting=_is_live(),
    )


def _is_live() -> pl.Expr:
    """Return whether no end is known."""
    return pl.col("end_cause").is_null()


def _is_closed() -> pl.Expr:
    """Return whether the end was seen; an RFQ that merely vanished is censored instead."""
    return pl.col("end_cause").is_in(["closed", "executed"]).fill_null(False)


def _age_s(settings: Settings) -> pl.Expr:
    """Return the seconds from creation to the end, or to the as-of time where there is none."""
    end = pl.when(_is_live()).then(pl.lit(settings.as_of)).otherwise("end_ts")
    return elapsed_s(pl.col("created_ts"), end)


# A sum of fractions that ought to reach a share may miss it by a rounding error.
ROUNDING = 1e-12
OF_TIMES = ("clock", "capture", "n_legs")
OF_CURVE = (*OF_TIMES, "cause")


def incidence(
    observed: pl.LazyFrame, competing: Mapping[str, tuple[str, ...]] = CAUSES
) -> pl.LazyFrame:
    """Estimate the incidence of each cause from the times *observed*, as `incidence_of` does."""
    return incidence_of(observed.with_columns(n=pl.lit(1, pl.Int64)), competing)


def incidence_of(
    counts: pl.LazyFrame, competing: Mapping[str, tuple[str, ...]] = CAUSES
) -> pl.LazyFrame:
    """Estimate the incidence of each cause, of those *competing* on each clock.

    *counts* has the *n* of each clock, capture, n_legs, cause and time, in any number of rows.

    One row per clock, cause, capture, n_legs and time at which anything ended. `incidence_low` and
    `incidence_high` bound it with 95 % confidence; `km_incidence` is the naive 1 - Kaplan-Meier
    with the other causes as censoring.
    """
    events, at_risk = pl.col("n_events"), pl.col("n_risk")
    return (
        _events(counts, competing)
        .with_columns(
            incidence=(pl.col("before") * events / at_risk).cum_sum().over("curve"),
            km_incidence=1 - (1 - events / at_risk).cum_prod().over("curve"),
        )
        .with_columns(variance=_variance())
        .with_columns(**_band())
        .select(
            *OF_CURVE,
            *("time_s", "n_risk", "n_events", "n_censored", "survival"),
            *("incidence", "incidence_low", "incidence_high", "km_incidence"),
            n_competing=pl.col("n_events_of_all") - events,
        )
    )


def first_time_at(curve: pl.DataFrame, share: float, column: str = "incidence") -> float | None:
    """Return the first time at which *column* reaches *share*; None where its plateau is below."""
    reached = curve.filter(pl.col(column) >= share - ROUNDING)["time_s"]
    return min(reached.to_list(), default=None)


def _events(counts: pl.LazyFrame, competing: Mapping[str, tuple[str, ...]]) -> pl.LazyFrame:
    """Count the events of each cause at each time, 0 where it has none.

    Each curve in order of time. `curve` numbers the curves: windows by a number take half of the
    time of windows by four columns.
    """
    pairs = sorted((clock, cause) for clock, names in competing.items() for cause in names)
    times = _times(counts, sorted({cause for _, cause in pairs})).cache()
    return pl.concat(
        times.filter(pl.col("clock") == clock).select(
            *(*OF_TIMES, "time_s", "n_risk", "n_censored", "n_events_of_all", "survival", "before"),
            cause=pl.lit(cause),
            n_events=f"n_events_{cause}",
            curve=pl.col("stratum") * len(pairs) + number,
        )
        for number, (clock, cause) in enumerate(pairs)
    )


def _times(counts: pl.LazyFrame, causes: Sequence[str]) -> pl.LazyFrame:
    """Count risk, events and survival at each time. One row per clock, capture, n_legs and time.

    In this order; `stratum` numbers what comes before the time.
    """
    n = pl.col("n")
    is_other = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in OF_TIMES)
    leaving = pl.col("n_leaving").cum_sum(reverse=True).over("stratum")
    hazard = pl.col("n_events_of_all") / pl.col("n_risk")
    return (
        counts.group_by(*OF_TIMES, "time_s")
        .agg(
            n_leaving=n.sum(),
            n_censored=n.filter(pl.col("cause").is_null()).sum(),
            **{f"n_events_{cause}": n.filter(pl.col("cause") == cause).sum() for cause in causes},
        )
        .sort(*OF_TIMES, "time_s")
        .with_columns(stratum=is_other.cum_sum())
        .with_columns(n_risk=leaving, n_events_of_all=pl.col("n_leaving") - pl.col("n_censored"))
        .with_columns(survival=(1 - hazard).cum_prod().over("stratum"))
        .with_columns(before=pl.col("survival").shift(1, fill_value=1.0).over("stratum"))
    )


def _variance() -> pl.Expr:
    """Return the delta-method variance of the incidence F at t, over the times t_j <= t:

    `sum (F(t) - F_j)^2 d_j / (n_j (n_j - d_j)) + sum S_j-^2 d_kj (n_j - d_kj) / n_j^3
    - 2 sum (F(t) - F_j) S_j- d_kj / n_j^2`, with the powers of F(t) taken out of the sums.
    """
    n, d, d_k = pl.col("n_risk"), pl.col("n_events_of_all"), pl.col("n_events")
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
    return term.cum_sum().over("curve")


def _band() -> dict[str, pl.Expr]:
    """Return the 95 % band on the log(-log) scale; it shrinks to the curve at 0 and 1."""
    f = pl.col("incidence")
    is_inside = (f > 0) & (f < 1 - ROUNDING)
    width = Z_95 * pl.col("variance").sqrt() / (f * f.log())
    return {
        "incidence_low": pl.when(is_inside).then(f ** (-width).exp()).otherwise(f),
        "incidence_high": pl.when(is_inside).then(f ** width.exp()).otherwise(f),
    }
