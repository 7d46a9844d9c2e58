"""How soon RFQs are quoted, accepted, filled, and quotes confirmed or gone: competing risks."""

import math

import polars as pl

from transforms.definitions.clocks import causes, incidence, observations
from transforms.settings import Settings

# Bins grow by 2 %, so that a time read off a curve is late by no more than that.
BIN_GROWTH = 1.02
SHORTEST_S = 1e-6
THIN_BELOW = 10


def survival_curves(
    own_rfq_facts: pl.LazyFrame, own_quote_facts: pl.LazyFrame, settings: Settings
) -> pl.LazyFrame:
    """Give the Aalen-Johansen incidence at the upper edge of each time bin, exact there.

    `n_risk` counts those at risk as the bin begins, `n_events`, `n_competing` and `n_censored`
    those that leave within it; bins in which nothing happened have no row. `is_thin` marks where
    fewer than 10 are at risk: do not draw the curve there.
    Read ttfq and lifetime of `live`, fill and accept of `live` and `late`, confirm of all captures.
    A watched RFQ leaves ttfq at its last pass, and no one closes unquoted. Curves do not add up
    over captures: add the counts of the bins, then estimate.
    One row per clock, cause, capture, n_legs and time bin.
    """
    observed = observations(own_rfq_facts, own_quote_facts, settings)
    return (
        incidence(observed, causes(settings))
        .with_columns(time_bin=time_bin())
        .group_by("clock", "cause", "capture", "n_legs", "time_bin")
        .agg(
            pl.col("n_risk").max(),
            pl.col("n_events", "n_competing", "n_censored").sum(),
            pl.col("incidence", "incidence_low", "incidence_high", "survival", "km_incidence")
            .sort_by("time_s")
            .last(),
        )
        .with_columns(
            time_s=BIN_GROWTH ** pl.col("time_bin"), is_thin=pl.col("n_risk") < THIN_BELOW
        )
        .sort("clock", "cause", "capture", "n_legs", "time_bin")
    )


def time_bin() -> pl.Expr:
    """Return the bin of `time_s`: ceil(ln t / ln 1.02), so that t <= 1.02 ** bin."""
    bin_number = pl.col("time_s").clip(SHORTEST_S).log() / math.log(BIN_GROWTH)
    return bin_number.ceil().cast(pl.Int64)
