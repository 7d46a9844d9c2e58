"""How many RFQs came in each hour."""

import polars as pl

from transforms.partition import count, rows


def arrivals(rfq_facts: pl.LazyFrame) -> pl.LazyFrame:
    """RFQs held, everybody's, by the hour in which they were created.

    One row per cohort_date and hour_start_ts in which an RFQ was created.
    """
    created = pl.col("created_ts")
    return (
        rfq_facts.group_by("cohort_date", hour_start_ts=created.dt.truncate("1h"))
        .agg(
            n_rfq=rows(),
            n_rfq_combo=count(pl.col("is_combo")),
            first_created_ts=created.min(),
            last_created_ts=created.max(),
        )
        .sort("hour_start_ts")
    )
