"""When RFQs arrive."""

import polars as pl

from transforms.intervals import MIN_N_FOR_RATE, rate

EXCHANGE_TIMEZONE = "America/New_York"
_HOUR_US = 3_600_000_000
_MINUTE_US = 60_000_000


def activity(arrivals: pl.LazyFrame) -> pl.LazyFrame:
    """RFQ arrivals, everybody's, by hour of the week on the exchange's clock (New York).

    spanned_minutes is how long this hour of the week lasted between the first and the last RFQ
    held. It assumes extraction without gaps: hours nobody recorded count as quiet, so
    rfqs_per_spanned_minute is a lower bound. Add both columns over hours, then divide. The hour
    that autumn repeats is counted twice in both, the one spring skips in neither.

    One row per hour_of_week (0 = Monday 00:00 to 167) within the span.
    """
    # New York is whole hours away from UTC, so an hour of UTC is one hour of its clock.
    counted = arrivals.group_by(hour_of_week=_hour_of_week("hour_start_ts")).agg(
        pl.col("n_rfq", "n_rfq_combo").sum()
    )
    return (
        _spanned_minutes(arrivals)
        .join(counted, on="hour_of_week", how="left", validate="1:1")
        .with_columns(pl.col("n_rfq", "n_rfq_combo").fill_null(0))
        .with_columns(
            weekday=pl.col("hour_of_week") // 24 + 1,
            hour=pl.col("hour_of_week") % 24,
            rfqs_per_spanned_minute=rate(pl.col("n_rfq"), pl.col("spanned_minutes")),
            is_rfqs_per_spanned_minute_suppressed=pl.col("n_rfq") < MIN_N_FOR_RATE,
        )
        .sort("hour_of_week")
    )


def _hour_of_week(column: str) -> pl.Expr:
    local = pl.col(column).dt.convert_time_zone(EXCHANGE_TIMEZONE)
    return (local.dt.weekday().cast(pl.Int64) - 1) * 24 + local.dt.hour()


def _spanned_minutes(arrivals: pl.LazyFrame) -> pl.LazyFrame:
    span = arrivals.select(
        first=pl.col("first_created_ts").min(), last=pl.col("last_created_ts").max()
    ).drop_nulls()
    starts = pl.datetime_ranges(pl.col("first").dt.truncate("1h"), "last", interval="1h")
    seconds_of = (
        pl.min_horizontal("last", pl.col("start") + pl.duration(hours=1))
        - pl.max_horizontal("first", "start")
    ).dt.total_microseconds()
    return (
        span.with_columns(start=starts)
        .explode("start")
        .drop_nulls("start")
        .group_by(hour_of_week=_hour_of_week("start"))
        .agg(spanned_minutes=seconds_of.sum() / _MINUTE_US)
    )
