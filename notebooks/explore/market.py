"""The charts of everybody's RFQs, and of how whole their record is."""

from collections.abc import Iterator
from functools import partial

import polars as pl

from notebooks.explore.view import View
from notebooks.report.chart import MOST_ROWS, Wanted
from notebooks.report.charts import LEGS, arrivals
from notebooks.report.drawing import bars, heat, once, rates

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HOURS = [str(hour) for hour in range(24)]
_ALL_TIME = "Of all that is held: the days and filters above do not apply."


def market(view: View) -> Iterator[Wanted]:
    """When RFQs come, how large they are, of how many legs, in which series."""
    whose = "Everybody's" if view.scope.sees_market else "Your own"
    yield Wanted(
        "hour_of_week",
        "RFQs a minute, by hour of the week",
        f"{whose}, per minute that was observed, by New York's clock; an empty hour was observed by"
        f" nobody. {_ALL_TIME}",
        "When",
        "select weekday, hour, n_rfq as n, observed_minutes, rfqs_per_observed_minute"
        " from marts.activity where observed_minutes > 0 order by weekday, hour",
        _week,
        n="",
    )
    yield arrivals(view.scope)
    for name, by, order, title in (
        ("sizes", "size_bucket", "value like '%cost', marts.bucket_start(value)", "Sizes"),
        ("legs", LEGS, "marts.bucket_start(value) nulls last", "Legs"),
        ("top_series", "left(series_ticker, 60)", f"n desc, value limit {MOST_ROWS}", "Top series"),
    ):
        yield Wanted(
            name,
            f"{title} of RFQs",
            f"{view.scope.whose} of the window.",
            "What",
            f"select {by} as value, count(*) as n, n / sum(n) over () as share from asked"
            f" where is_now group by value order by {order}",
            partial(bars, by="value", n="n", beside="share", mark="%"),
            n="",
        )


def _week(rows: pl.DataFrame) -> str:
    most = float(rows["rfqs_per_observed_minute"].max() or 1)  # type: ignore[arg-type]
    rate = pl.col("rfqs_per_observed_minute")
    shown = rows.with_columns(
        x=pl.col("hour").cast(pl.String),
        y=pl.col("weekday").map_elements(lambda n: _WEEKDAYS[n - 1], return_dtype=pl.String),
        share=rate / most,
        mark=pl.lit(""),
        told=pl.format(
            "weekday {}, {} h: {} a minute, n {}", "weekday", "hour", rate.round(3), "n"
        ),
    )
    return heat(shown, _HOURS, list(_WEEKDAYS), 22)


def trust(view: View) -> Iterator[Wanted]:
    """Which hours are on record, which are not, and what was rejected or contradicts itself."""
    yield view.of_report("coverage")
    yield Wanted(
        "coverage_by_hour",
        "On record, by day and hour",
        "Each UTC hour in which RFQs were created: the fuller the square, the more of them were"
        " created in a time that was read without a gap, then or afterwards. An empty place has no"
        f" RFQ. {_ALL_TIME}" + ("" if view.scope.sees_market else " Of your own RFQs alone."),
        "Coverage",
        "select cohort_date as day, extract(hour from hour_start_ts)::bigint as hour,"
        " n_rfq_listed as n, n_rfq_observed, n_rfq_observed / n as share_observed"
        " from marts.arrivals where n > 0"
        " and cohort_date > (select max(cohort_date) from marts.arrivals) - 35"
        " order by day, hour",
        _hours,
        n="",
    )
    yield Wanted(
        "gaps",
        "Gaps in the record",
        f"UTC days with a gap: how many, and the longest. {_ALL_TIME}",
        "Gaps",
        "select cohort_date as day, verdict, n_gaps as n, longest_gap_s, hours_observed,"
        " hours_elapsed from marts.trust where n_gaps > 0 or hours_observed < hours_elapsed"
        " order by day desc limit 60",
        partial(bars, by="day", n="n", beside="hours_observed", mark=" h"),
        n="",
    )
    yield Wanted(
        "missed",
        "Open RFQs that were missed",
        f"UTC days on which what we held was compared with the exchange's own list. {_ALL_TIME}",
        "Gaps",
        "select cohort_date as day, open_rfqs_listed as n, open_rfqs_missed as n_missed,"
        " n_missed / nullif(n, 0) as missed_share, marts.wilson_low(n_missed, n) as low,"
        " marts.wilson_high(n_missed, n) as high from marts.trust where open_rfqs_listed > 0"
        " order by day desc limit 60",
        partial(rates, by="day", rate="missed_share", is_lying=True),
    )
    yield Wanted(
        "watched",
        "Watched live, of RFQs whose quotes you see",
        "By UTC day: a quote may vanish when its RFQ ends, so what nobody watched is missing."
        f" {_ALL_TIME}",
        "Gaps",
        "select cohort_date as day, n_rfq_own_or_quoted as n, n_rfq_watched as n_watched,"
        " n_watched / nullif(n, 0) as watched_share, marts.wilson_low(n_watched, n) as low,"
        " marts.wilson_high(n_watched, n) as high from marts.trust where n_rfq_own_or_quoted > 0"
        " order by day desc limit 60",
        partial(rates, by="day", rate="watched_share", is_lying=True),
    )
    yield Wanted(
        "quality",
        "Checks that are not zero",
        f"How many rows each is about; what it means stands in the rows. {_ALL_TIME}",
        "Quality",
        'select check_name as "check", "count" as n, n_checked, share, meaning'
        ' from marts.data_quality where "count" > 0 order by n desc, check_name',
        partial(bars, by="check", n="n", beside="share", mark="%"),
        n="",
    )


def _hours(rows: pl.DataFrame) -> str:
    shown = rows.with_columns(
        x=pl.col("hour").cast(pl.String),
        y=pl.col("day").dt.strftime("%-d %b"),
        share=pl.col("share_observed"),
        mark=pl.lit(""),
        told=pl.format("{}, {} h: {} of {} seen", "day", "hour", "n_rfq_observed", "n"),
    )
    return heat(shown, _HOURS, once(shown["y"]), 15)
