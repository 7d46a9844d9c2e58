"""How many RFQs came in each hour, and how many of them while somebody looked."""

import polars as pl

from transforms.definitions.observed import observed, rfq_list
from transforms.definitions.populations import is_live
from transforms.definitions.statistics import count, rows
from transforms.settings import Settings


def arrivals(
    visible_rfq_facts: pl.LazyFrame,
    foreign_rfq_facts: pl.LazyFrame,
    read_stretches: pl.LazyFrame,
    settings: Settings,
) -> pl.LazyFrame:
    """RFQs held, everybody's, by the hour in which they were created.

    n_rfq_observed were created in a stretch of time that complete passes over the list of RFQs
    have read; of others, only those are held that something else has named. n_rfq_watched are
    `live`, of those whose quotes we see.

    One row per cohort_date and hour_start_ts in which an RFQ was created.
    """
    created, is_observed = pl.col("created_ts"), pl.col("is_observed")
    has_quotes = pl.col("visibility").is_in(["own", "quoted"])
    known = ("cohort_date", "created_ts", "is_combo")
    rfqs = pl.concat(
        [
            visible_rfq_facts.select(*known, is_ours=has_quotes, is_watched=has_quotes & is_live()),
            foreign_rfq_facts.select(*known, is_ours=False, is_watched=False),
        ]
    )
    return (
        _placed(rfqs, observed(read_stretches, [rfq_list(settings)], settings))
        .group_by("cohort_date", hour_start_ts=created.dt.truncate("1h"))
        .agg(
            n_rfq=rows(),
            n_rfq_combo=count(pl.col("is_combo")),
            n_rfq_observed=count(is_observed),
            n_rfq_combo_observed=count(pl.col("is_combo") & is_observed),
            n_rfq_own_or_quoted=count(pl.col("is_ours")),
            n_rfq_watched=count(pl.col("is_watched")),
            first_created_ts=created.min(),
            last_created_ts=created.max(),
        )
        .sort("hour_start_ts")
    )


def _placed(rfq_facts: pl.LazyFrame, stretches: pl.LazyFrame) -> pl.LazyFrame:
    """Say of each RFQ whether it was created in one of the *stretches*."""
    return (
        rfq_facts.sort("created_ts")
        .join_asof(stretches, left_on="created_ts", right_on="from_ts", check_sortedness=False)
        .with_columns(is_observed=pl.col("created_ts") <= pl.col("to_ts"))
    )
