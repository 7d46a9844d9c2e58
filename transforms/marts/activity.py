"""When RFQs arrive."""

import polars as pl

from transforms.definitions.observed import observed, rfq_list
from transforms.definitions.statistics import MIN_N_FOR_RATE, rate
from transforms.settings import Settings

EXCHANGE_TIMEZONE = "America/New_York"
_MINUTE_US = 60_000_000


def activity(
    arrivals: pl.LazyFrame, read_stretches: pl.LazyFrame, settings: Settings
) -> pl.LazyFrame:
    """RFQ arrivals by hour of the week on the exchange's clock (New York).

    Everybody's in scope market, our own in scope self.

    observed_minutes is how much of this hour of the week complete passes over the list of RFQs have
    read, from the first RFQ held to as_of. What nobody has read is neither in them nor, with the
    RFQs that are known of it all the same, in n_rfq: an outage does not read as quiet. Add both
    columns over hours, then divide. The hour that autumn repeats is counted twice in both, the one
    spring skips in neither.

    One row per hour_of_week (0 = Monday 00:00 to 167) of which something was observed.
    """
    # New York is whole hours away from UTC, so an hour of UTC is one hour of its clock.
    counted = arrivals.group_by(hour_of_week=_hour_of_week("hour_start_ts")).agg(
        n_rfq=pl.col("n_rfq_observed").sum(), n_rfq_combo=pl.col("n_rfq_combo_observed").sum()
    )
    stretches = observed(read_stretches, [rfq_list(settings)], settings)
    return (
        _observed_minutes(stretches, arrivals)
        .join(counted, on="hour_of_week", how="left", validate="1:1")
        .with_columns(pl.col("n_rfq", "n_rfq_combo").fill_null(0))
        .with_columns(
            weekday=pl.col("hour_of_week") // 24 + 1,
            hour=pl.col("hour_of_week") % 24,
            rfqs_per_observed_minute=rate(pl.col("n_rfq"), pl.col("observed_minutes")),
            is_rfqs_per_observed_minute_suppressed=pl.col("n_rfq") < MIN_N_FOR_RATE,
        )
        .sort("hour_of_week")
    )


def _hour_of_week(column: str) -> pl.Expr:
    local = pl.col(column).dt.convert_time_zone(EXCHANGE_TIMEZONE)
    return (local.dt.weekday().cast(pl.Int64) - 1) * 24 + local.dt.hour()


def _observed_minutes(stretches: pl.LazyFrame, arrivals: pl.LazyFrame) -> pl.LazyFrame:
    """Cut the *stretches* by hour, and at the first RFQ: before it there may be no market."""
    first = arrivals.select(first_ts=pl.col("first_created_ts").min()).drop_nulls()
    starts = pl.datetime_ranges(pl.col("from_ts").dt.truncate("1h"), "to_ts", interval="1h")
    observed_us = (
        pl.min_horizontal("to_ts", pl.col("start") + pl.duration(hours=1))
        - pl.max_horizontal("from_ts", "start")
    ).dt.total_microseconds()
    return (
        stretches.join(first, how="cross")
        .with_columns(from_ts=pl.max_horizontal("from_ts", "first_ts"))
        .filter(pl.col("from_ts") < pl.col("to_ts"))
        .with_columns(start=starts)
        .explode("start")
        .filter(pl.col("start") < pl.col("to_ts"))
        .group_by(hour_of_week=_hour_of_week("start"))
        .agg(observed_minutes=observed_us.sum() / _MINUTE_US)
    )
