"""What the curves are made of: how many ended when and by what, by the day of the RFQ."""

import math

import polars as pl

from transforms.definitions.clocks import observations
from transforms.definitions.statistics import rows
from transforms.settings import Settings

# Bins grow by 2 %, so that a time read off a curve is late by no more than that.
BIN_GROWTH = 1.02
SHORTEST_S = 1e-6
KEY = ("cohort_date", "clock", "capture", "n_legs", "cause", "time_bin")


def curve_counts(
    rfq_facts: pl.LazyFrame, quote_facts: pl.LazyFrame, settings: Settings
) -> pl.LazyFrame:
    """Count our own RFQs and quotes that wait no longer, by what ended the wait and its time bin.

    The cause is NULL for those that were last seen waiting, and for quotes that were cancelled for
    an unknown one. What still waits at the as-of time is in no row. Add the counts of the days,
    then estimate; `marts.survival_curves` does for all.
    One row per cohort_date, clock, capture, n_legs, cause and time_bin.
    """
    return counts_in_order(settled_counts(rfq_facts, quote_facts, settings))


def settled_counts(
    rfq_facts: pl.LazyFrame, quote_facts: pl.LazyFrame, settings: Settings
) -> pl.LazyFrame:
    """Count what a later as-of time does not time anew. One row per `KEY`."""
    return counted(observations(rfq_facts, quote_facts, settings).filter(~pl.col("is_waiting")))


def counted(observed: pl.LazyFrame) -> pl.LazyFrame:
    """Count the times *observed*. One row per `KEY`."""
    return observed.with_columns(time_bin=time_bin()).group_by(KEY).agg(n=rows())


def counts_in_order(counts: pl.LazyFrame) -> pl.LazyFrame:
    """Return the *counts*, sorted."""
    return counts.sort(KEY)


def time_bin() -> pl.Expr:
    """Return the bin of `time_s`: ceil(ln t / ln 1.02), so that t <= 1.02 ** bin."""
    bin_number = pl.col("time_s").clip(SHORTEST_S).log() / math.log(BIN_GROWTH)
    return bin_number.ceil().cast(pl.Int64)
