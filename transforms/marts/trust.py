"""Is this day's record whole?"""

from datetime import timedelta

import polars as pl

from transforms.definitions.observed import QUOTE_LISTS, gaps, observed, rfq_list
from transforms.definitions.statistics import rate
from transforms.definitions.units import in_seconds
from transforms.settings import Settings

# Quote figures are of what was watched: below this share they rest on the fewer part of the RFQs.
LEAST_SHARE_WATCHED = 0.5
_HOUR_S = 3600
_DAY = timedelta(days=1)


def trust(
    arrivals: pl.LazyFrame,
    read_stretches: pl.LazyFrame,
    coverage: pl.LazyFrame,
    looked_hours: pl.LazyFrame,
    settings: Settings,
) -> pl.LazyFrame:
    """How much of a day was observed, watched and missed, and what that comes to.

    A moment is observed where complete passes over the RFQs, the quotes made and the quotes
    received have read it. Of the verdicts the first holds whose needs are met:

    | verdict | needs                                                                          |
    |---------|--------------------------------------------------------------------------------|
    | missing | no moment of the day was observed                                              |
    | clean   | no gap, no open RFQ missed of those listed in the comparisons of the day, and  |
    |         | of the RFQs whose quotes we see half or more were watched, or there were none  |
    | partial | nothing                                                                        |

    The last day counts up to as_of. A day that a first run has read afterwards has no gap, but
    nothing of it was watched: its fill rates hold, its quote figures do not. Looks of a watch are
    told hour by hour: in those it looks at both sides' quotes every few seconds.

    One row per cohort_date on which an RFQ is held, or from the first of them on was there to read.
    """
    lists = [rfq_list(settings), *QUOTE_LISTS]
    days = _days(arrivals, observed(read_stretches, lists, settings), settings)
    return (
        days.join(
            _unread(days, gaps(read_stretches, lists, settings)), on="cohort_date", how="left"
        )
        .join(_held(arrivals), on="cohort_date", how="left", validate="1:1")
        .join(_compared(coverage), on="cohort_date", how="left", validate="1:1")
        .join(_looked(days, looked_hours), on="cohort_date", how="left", validate="1:1")
        .with_columns(
            pl.col("n_gaps", "n_rfq", "n_rfq_own_or_quoted", "n_rfq_watched").fill_null(0)
        )
        .with_columns(unread=pl.col("unread").fill_null(timedelta()))
        .with_columns(
            share_watched=rate(pl.col("n_rfq_watched"), pl.col("n_rfq_own_or_quoted")),
            share_missed=rate(pl.col("open_rfqs_missed"), pl.col("open_rfqs_listed")),
            is_unobserved=pl.col("unread") >= pl.col("ends") - pl.col("begins"),
        )
        .select(
            "cohort_date",
            hours_elapsed=_hours(pl.col("ends") - pl.col("begins")),
            hours_observed=_hours(pl.col("ends") - pl.col("begins") - pl.col("unread")),
            n_gaps="n_gaps",
            longest_gap_s=in_seconds(pl.col("longest_gap")),
            n_rfq="n_rfq",
            n_rfq_own_or_quoted="n_rfq_own_or_quoted",
            n_rfq_watched="n_rfq_watched",
            share_watched="share_watched",
            open_rfqs_listed="open_rfqs_listed",
            open_rfqs_missed="open_rfqs_missed",
            share_missed="share_missed",
            verdict=verdict(),
            hours_looked=pl.col("looked_s_by_hour").list.sum() / _HOUR_S,
            looked_s_by_hour="looked_s_by_hour",
            longest_pause_s_by_hour="longest_pause_s_by_hour",
        )
        .sort("cohort_date")
    )


def verdict() -> pl.Expr:
    """Return `missing`, `clean` or `partial`, as the mart's page says."""
    is_watched = pl.col("share_watched").fill_null(1.0) >= LEAST_SHARE_WATCHED
    is_clean = (pl.col("n_gaps") == 0) & (pl.col("share_missed").fill_null(0.0) == 0) & is_watched
    return (
        pl.when("is_unobserved")
        .then(pl.lit("missing"))
        .when(is_clean)
        .then(pl.lit("clean"))
        .otherwise(pl.lit("partial"))
    )


def _days(arrivals: pl.LazyFrame, stretches: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    """Every day of which an RFQ is held, and those since that something was read of, or was not."""
    last = pl.lit((settings.as_of - timedelta.resolution).date())
    first_held = arrivals.select(first_held=pl.col("cohort_date").min())
    first_read = stretches.select(first_read=pl.col("from_ts").min().dt.date())
    since = (
        pl.concat([first_held, first_read], how="horizontal")
        .select(
            cohort_date=pl.date_ranges(
                pl.max_horizontal(
                    *(pl.col(c).fill_null(last) for c in ("first_held", "first_read"))
                ),
                last,
            )
        )
        .explode("cohort_date")
    )
    day = pl.col("cohort_date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return (
        pl.concat([arrivals.select("cohort_date"), since])
        .drop_nulls()
        .unique()
        .with_columns(begins=day, ends=pl.min_horizontal(day + _DAY, pl.lit(settings.as_of)))
    )


def _unread(days: pl.LazyFrame, stretches: pl.LazyFrame) -> pl.LazyFrame:
    """How much of each day none of the *stretches* leaves. One row per day with a gap."""
    gap = pl.min_horizontal("ends", "to_ts") - pl.max_horizontal("begins", "from_ts")
    return (
        days.join(stretches, how="cross")
        .with_columns(gap=gap)
        .filter(pl.col("gap") > timedelta())
        .group_by("cohort_date")
        .agg(
            n_gaps=pl.len().cast(pl.Int64),
            unread=pl.col("gap").sum(),
            longest_gap=pl.col("gap").max(),
        )
    )


def _held(arrivals: pl.LazyFrame) -> pl.LazyFrame:
    return arrivals.group_by("cohort_date").agg(
        pl.col("n_rfq", "n_rfq_own_or_quoted", "n_rfq_watched").sum()
    )


def _compared(coverage: pl.LazyFrame) -> pl.LazyFrame:
    """What the comparisons of each day with the list of open RFQs have found."""
    return coverage.group_by(cohort_date=pl.col("checked_ts").dt.date()).agg(
        pl.col("open_rfqs_listed", "open_rfqs_missed").sum()
    )


def _looked(days: pl.LazyFrame, looked_hours: pl.LazyFrame) -> pl.LazyFrame:
    """How much of each of the 24 hours of each day was looked at. One row per day."""
    hour = pl.col("hour_start_ts")
    looked = looked_hours.select(
        "looked_s",
        "longest_pause_s",
        cohort_date=hour.dt.date(),
        hour=hour.dt.hour().cast(pl.Int64),
    )
    return (
        days.select("cohort_date")
        .join(pl.LazyFrame({"hour": range(24)}), how="cross")
        .join(looked, on=["cohort_date", "hour"], how="left", validate="1:1")
        .sort("cohort_date", "hour")
        .group_by("cohort_date", maintain_order=True)
        .agg(
            looked_s_by_hour=pl.col("looked_s").fill_null(0.0),
            longest_pause_s_by_hour=pl.col("longest_pause_s"),
        )
    )


def _hours(span: pl.Expr) -> pl.Expr:
    return in_seconds(span) / _HOUR_S
