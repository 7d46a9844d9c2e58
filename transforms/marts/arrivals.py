"""How many RFQs came in each hour, and how many of them in a time that was read without a gap."""

import polars as pl

from transforms.definitions.observed import observed, rfq_list
from transforms.definitions.populations import is_live, is_own
from transforms.definitions.statistics import count
from transforms.settings import Settings


def arrivals(
    visible_rfq_facts: pl.LazyFrame,
    foreign_minutes: pl.LazyFrame,
    read_stretches: pl.LazyFrame,
    settings: Settings,
) -> pl.LazyFrame:
    """RFQs held, everybody's, by the hour in which they were created.

    n_rfq_listed are those that the list of RFQs shows: all, in scope self our own. Of these
    n_rfq_observed were created in a stretch of time that complete passes over that list have read;
    of others, only those are held that something else has named. n_rfq_watched are `live`, of those
    whose quotes we see.

    One row per cohort_date and hour_start_ts in which an RFQ was created.
    """
    rfqs = pl.concat([_one_by_one(visible_rfq_facts), _by_minute(foreign_minutes)]).with_columns(
        is_listed=pl.col("is_own") | pl.lit(settings.scope == "market")
    )
    n_rfq, n_rfq_combo = pl.col("n_rfq"), pl.col("n_rfq_combo")
    return (
        _placed(rfqs, observed(read_stretches, [rfq_list(settings)], settings))
        .group_by("cohort_date", hour_start_ts=pl.col("first_created_ts").dt.truncate("1h"))
        .agg(
            n_rfq=n_rfq.sum(),
            n_rfq_combo=n_rfq_combo.sum(),
            n_rfq_listed=n_rfq.filter("is_listed").sum(),
            n_rfq_observed=n_rfq.filter("is_observed").sum(),
            n_rfq_combo_observed=n_rfq_combo.filter("is_observed").sum(),
            n_rfq_own_or_quoted=count(pl.col("is_ours")),
            n_rfq_watched=count(pl.col("is_watched")),
            first_created_ts=pl.col("first_created_ts").min(),
            last_created_ts=pl.col("last_created_ts").max(),
        )
        .sort("hour_start_ts")
    )


def _one_by_one(rfq_facts: pl.LazyFrame) -> pl.LazyFrame:
    has_quotes = pl.col("visibility").is_in(["own", "quoted"])
    return rfq_facts.select(
        "cohort_date",
        n_rfq=pl.lit(1, pl.Int64),
        n_rfq_combo=pl.col("is_combo").fill_null(value=False).cast(pl.Int64),
        first_created_ts="created_ts",
        last_created_ts="created_ts",
        is_own=is_own(),
        is_ours=has_quotes,
        is_watched=has_quotes & is_live(),
    )


def _by_minute(foreign_minutes: pl.LazyFrame) -> pl.LazyFrame:
    """Nobody shows us a quote on these. Those of one row are observed, or none of them is."""
    return foreign_minutes.select(
        *("cohort_date", "n_rfq", "n_rfq_combo", "first_created_ts", "last_created_ts"),
        is_own=pl.lit(value=False),
        is_ours=pl.lit(value=False),
        is_watched=pl.lit(value=False),
    )


def _placed(rfqs: pl.LazyFrame, stretches: pl.LazyFrame) -> pl.LazyFrame:
    """Say of each row whether the list shows its RFQs and was read of when they were created."""
    return (
        rfqs.sort("first_created_ts")
        .join_asof(
            stretches, left_on="first_created_ts", right_on="from_ts", check_sortedness=False
        )
        .with_columns(
            is_observed=pl.col("is_listed") & (pl.col("first_created_ts") <= pl.col("to_ts"))
        )
    )
