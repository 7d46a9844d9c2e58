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
    to the end of the bin, which on markets of a hundred RFQs and more moves incidence and band by
    0.002 at most, and `km_incidence`, where other causes are censoring, by 0.04.

    `n_risk` counts those at risk as the bin begins, `n_events`, `n_competing` and `n_censored`
    those that leave within it; bins in which nothing happened have no row. `is_thin` marks where
    fewer than 10 are at risk: do not draw the curve there.
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
        .with_columns(
            time_bin=bin_number.round().cast(pl.Int64), is_thin=pl.col("n_risk") < THIN_BELOW
        )
        .sort("clock", "cause", "capture", "n_legs", "time_bin")
    )
