"""How long each step of an RFQ takes, from request to execution."""

import polars as pl

from transforms.definitions.partition import CAPTURE_PARTITION, MARKET_DAY, UNKNOWN_MAKER
from transforms.definitions.populations import is_accepted, is_own, is_quoted, is_terminal
from transforms.definitions.statistics import count, distribution, millionths
from transforms.definitions.watched import with_shares_watched


def response_latencies(visible_rfq_facts: pl.LazyFrame, quote_facts: pl.LazyFrame) -> pl.LazyFrame:
    """Durations by clock, with the cases that have none, in seconds.

    | clock       | from, to                                 | competing          | censored    |
    |-------------|------------------------------------------|--------------------|-------------|
    | first_quote | RFQ created, first quote of any maker    | closed unquoted    | still open  |
    | response    | RFQ created, first quote of this maker   | unknown            | unknown     |
    | accept      | RFQ created, first accept                | closed unaccepted  | still open  |
    | confirm     | accepted, confirmed                      | lapsed             | in window   |
    | execute     | confirmed, executed                      | stuck, cancelled   | in timer    |

    Quantiles are of the n that happened: read them beside n_competing and n_censored (confirm
    never exceeds its window, for instance: the slow ones lapse). `response` is conditional on
    responding; response rates are in `marts.makers`. n_unusable happened but has no usable
    duration: created before its RFQ beyond the clock tolerance, or a chain out of order.

    confirm and execute count accepted quotes whose RFQ is gone, too: n_legs NULL, backfill.
    first_quote and accept belong to the RFQ: maker_id is NULL and visibility is `own`. Combos run
    on shorter windows, so do not pool n_legs = 1 with the rest, nor `capture = 'backfill'`.
    p90 is NULL under 50 durations and p99 under 500. Beside `live` stands which share of the
    market's own RFQs of that day was watched, by lifetime. Merge with the histograms (within 1 %):

        select maker_id, sum(n) as n,
            marts.histogram_quantile(list(latency_histogram), 0.99) as p99_s
        from marts.response_latencies where clock = 'response' group by maker_id

    One row per cohort_date, market_ticker, series_ticker (an attribute of the market), visibility,
    n_legs, size_bucket, capture, maker_id (NULL: the RFQ as a whole) and clock.
    """
    key = (*CAPTURE_PARTITION, "maker_id", "clock")
    clocks = [*_rfq_clocks(visible_rfq_facts.filter(is_own())), *_quote_clocks(quote_facts)]
    return (
        pl.concat(clocks)
        .group_by(key)
        .agg(
            n=count(pl.col("latency").is_not_null()),
            n_competing=_known_unless_response(count(pl.col("fate") == "competing")),
            n_censored=_known_unless_response(count(pl.col("fate") == "censored")),
            n_unusable=count(pl.col("fate") == "unusable"),
            latency_sum_us=millionths(pl.col("latency")).sum(),
            **distribution("latency", "_s", (50, 90, 99)),
        )
        .pipe(with_shares_watched, visible_rfq_facts, MARKET_DAY)
        .sort(key)
    )


def _known_unless_response(n: pl.Expr) -> pl.Expr:
    """A maker that did not respond leaves no row, so how many did not is not 0 but unknown."""
    return pl.when(pl.col("clock").first() != "response").then(n)


def _rfq_clocks(own: pl.LazyFrame) -> list[pl.LazyFrame]:
    unfinished = pl.when(is_terminal()).then(pl.lit("competing")).otherwise(pl.lit("censored"))
    happened = {"first_quote": is_quoted(), "accept": is_accepted()}
    latency = {"first_quote": "time_to_first_quote_s", "accept": "time_to_accept_s"}
    return [
        _clock(
            own.with_columns(maker_id=pl.lit(None, pl.String)),
            clock,
            pl.col(latency[clock]),
            pl.when(happened[clock]).then(pl.lit("unusable")).otherwise(unfinished),
        )
        for clock in happened
    ]


def _quote_clocks(quote_facts: pl.LazyFrame) -> list[pl.LazyFrame]:
    quotes = quote_facts.with_columns(maker_id=pl.col("maker_id").fill_null(UNKNOWN_MAKER))
    first = quotes.filter(pl.col("is_valid_response"), pl.col("version") == 1)
    accepted, confirmed = quotes.filter("has_accept"), quotes.filter("has_confirm")
    return [
        _clock(first, "response", pl.col("response_latency_s"), pl.lit("unusable")),
        _clock(accepted, "confirm", pl.col("confirm_latency_s"), _unconfirmed()),
        _clock(confirmed, "execute", pl.col("execution_latency_s"), _unexecuted()),
    ]


def _unconfirmed() -> pl.Expr:
    return (
        pl.when("is_lapsed")
        .then(pl.lit("competing"))
        .when("is_accept_pending")
        .then(pl.lit("censored"))
        .otherwise(pl.lit("unusable"))
    )


def _unexecuted() -> pl.Expr:
    is_over = pl.any_horizontal("is_confirmed_stuck", pl.col("cancelled_ts").is_not_null())
    return (
        pl.when(pl.col("executed_ts").is_not_null())
        .then(pl.lit("unusable"))
        .when(is_over)
        .then(pl.lit("competing"))
        .otherwise(pl.lit("censored"))
    )


def _clock(frame: pl.LazyFrame, clock: str, latency: pl.Expr, without: pl.Expr) -> pl.LazyFrame:
    """One row per start of *clock*: its duration, or what there is instead of one."""
    return frame.select(
        *CAPTURE_PARTITION,
        "maker_id",
        clock=pl.lit(clock),
        latency=latency,
        fate=pl.when(latency.is_null()).then(without),
    )
