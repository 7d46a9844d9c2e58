"""How soon RFQs are quoted, accepted, filled, and quotes confirmed or gone: competing risks."""

import math

import polars as pl

from transforms.definitions.clocks import causes, incidence_of, observations
from transforms.marts.curve_counts import BIN_GROWTH, KEY, counted
from transforms.settings import Settings

THIN_BELOW = 10


def survival_curves(
    curve_counts: pl.LazyFrame,
    waiting_own_rfq_facts: pl.LazyFrame,
    waiting_own_quote_facts: pl.LazyFrame,
    settings: Settings,
) -> pl.LazyFrame:
    """Give the Aalen-Johansen incidence at the upper edge of each time bin.

    It is exact there while nobody was censored in a bin with an event. Who was counts as at risk
    to the end of the bin, which lowers the incidence: by the more, the greater a share of those at
    risk it is. On the random markets of the tests that is 0.002 at most, and 0.04 of
    `km_incidence`, where other causes are censoring.

    `n_risk` counts those at risk as the bin begins, `n_events`, `n_competing` and `n_censored`
    those that leave within it; bins in which nothing happened have no row. `is_thin` marks where
    fewer than 10 are at risk besides those censored in the bin: do not draw the curve there.
    Read ttfq and lifetime of `live`, fill and accept of `live` and `late`, confirm of all captures.
    A watched RFQ leaves ttfq at its last pass, and no one closes unquoted. Curves do not add up
    over captures: add the counts of the bins, then estimate.
    One row per clock, cause, capture, n_legs and time bin.
    """
    observed = observations(waiting_own_rfq_facts, waiting_own_quote_facts, settings)
    waiting = counted(observed.filter("is_waiting"))
    counts = pl.concat([curve_counts.select(*KEY, "n"), waiting]).with_columns(
        time_s=BIN_GROWTH ** pl.col("time_bin")
    )
    bin_number = pl.col("time_s").log() / math.log(BIN_GROWTH)
    return (
        incidence_of(counts, causes(settings))
        .select(
            *("clock", "cause", "capture", "n_legs"),
            bin_number.round().cast(pl.Int64).alias("time_bin"),
            *("n_risk", "n_events", "n_competing", "n_censored"),
            *("incidence", "incidence_low", "incidence_high", "survival", "km_incidence"),
            "time_s",
            (pl.col("n_risk") - pl.col("n_censored") < THIN_BELOW).alias("is_thin"),
        )
        .sort("clock", "cause", "capture", "n_legs", "time_bin")
    )
