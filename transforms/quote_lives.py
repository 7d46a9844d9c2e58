"""Each quote's place in its maker's chain of versions, and the interval in which it was live."""

import polars as pl

from transforms.known_rfqs import size_bucket, visibility_of
from transforms.last_look import has_accept
from transforms.partition import BACKFILL
from transforms.settings import Settings
from transforms.units import ONE_DOLLAR, duration

OF_THE_RFQ = (
    "visibility",
    "capture",
    "n_legs",
    "size_bucket",
    "cohort_date",
    "series_ticker",
    "requester_id_last",
    "confirm_window_s",
    "execution_timer_s",
    "winner_id",
    "lifetime_bucket",
)
RENAMED = ("market_ticker", "created_ts", "end_ts", "recorded_end_ts", "end_cause", "contracts")
RENAMED_SIGHT = ("last_seen_open_ts",)
RENAMED_SIZE = ("target_cost_dollars", "target_cost_excludes_fees")


def quote_lives(
    quotes: pl.LazyFrame, known_rfqs: pl.LazyFrame, passes: pl.LazyFrame, settings: Settings
) -> pl.LazyFrame:
    """Chain the versions and date the end of every quote. One row per quote.

    A version lives in [created, end), end = min(cancelled, accepted, next version by the same
    maker on the RFQ, RFQ end); one that vanished unannounced ends where it was last seen open.
    """
    return (
        quotes.join(_of_the_rfq(known_rfqs), on="rfq_id", how="left", validate="m:1")
        .with_columns(is_orphan=pl.col("rfq_created_ts").is_null())
        .with_columns(**_placed_by_itself())
        .with_columns(**_validity(settings))
        .pipe(_chained)
        .join(_last_passes(passes, settings), how="cross")
        .with_columns(lost_ts=_lost_ts())
        .with_columns(stop_ts=_stop_ts())
        .with_columns(end_cause=end_cause(settings))
        # A quote after the RFQ's end was never live: it ends as it begins.
        .with_columns(
            end_ts=pl.max_horizontal(
                "stop_ts", pl.when(pl.col("stop_ts").is_not_null()).then("created_ts")
            )
        )
    )


def end_cause(settings: Settings) -> pl.Expr:
    """Return what ended the quote, NULL while it is live.

    A cancellation within the skew tolerance of the next version or of the RFQ's recorded end, or
    later, comes from it; only an earlier one is a withdrawal. Where the end is not known, it is one
    if the RFQ was seen open later, else the cause is `unknown`; so it is where the RFQ is not held.
    """
    soon_after = pl.col("stop_ts") + duration(settings.skew_tol_s)
    rfq_is_over = pl.col("rfq_end_cause").is_not_null()
    rfq_is_over_at_unknown_time = rfq_is_over & pl.col("rfq_end_ts").is_null()
    is_end_unknown = pl.col("rfq_end_ts").is_null() & (
        rfq_is_over | pl.col("visibility").ne_missing("own")
    )
    outlived = (pl.col("rfq_last_seen_open_ts") > pl.col("cancelled_ts")).fill_null(False)
    rfq_is_lost = pl.col("rfq_end_cause") == "lost"
    is_cancelled = (pl.col("cancelled_ts") == pl.col("stop_ts")).fill_null(False)
    return (
        pl.when(pl.col("accepted_ts") == pl.col("stop_ts"))
        .then(pl.lit("accepted"))
        .when(pl.col("next_created_ts") <= soon_after)
        .then(pl.lit("replaced"))
        .when((pl.col("rfq_recorded_end_ts") <= soon_after) & ~rfq_is_lost)
        .then(pl.lit("rfq_end"))
        .when(is_cancelled & is_end_unknown.fill_null(False) & ~outlived)
        .then(pl.lit("unknown"))
        .when(is_cancelled)
        .then(pl.lit("withdrawn"))
        .when(rfq_is_over_at_unknown_time)
        .then(pl.lit("rfq_end"))
        .when(pl.col("stop_ts").is_not_null())
        .then(pl.lit("lost"))
    )


def _of_the_rfq(known_rfqs: pl.LazyFrame) -> pl.LazyFrame:
    own_names = {f"rfq_{name}": name for name in (*RENAMED, *RENAMED_SIGHT, *RENAMED_SIZE)}
    return known_rfqs.select("rfq_id", *OF_THE_RFQ, **own_names)


def _placed_by_itself() -> dict[str, pl.Expr]:
    """Place an accepted quote whose RFQ is gone by its own fields; its legs stay unknown.

    The exchange keeps accepted quotes for good and RFQs for a week.
    """
    own_fields = {
        "visibility": visibility_of(pl.col("is_on_own_rfq"), pl.col("is_made_by_viewer")),
        "capture": pl.lit(BACKFILL),
        "cohort_date": pl.col("created_ts").dt.date(),
        "series_ticker": pl.col("market_ticker").str.split("-").list.first(),
        "size_bucket": size_bucket(),
    }
    is_alone = pl.col("is_orphan") & has_accept()
    return {
        name: pl.when(is_alone).then(of).otherwise(pl.col(name)) for name, of in own_fields.items()
    }


def _validity(settings: Settings) -> dict[str, pl.Expr]:
    has_yes, has_no = (
        pl.col("yes_bid_dollars").is_not_null(),
        pl.col("no_bid_dollars").is_not_null(),
    )
    late = pl.col("created_ts") > pl.col("rfq_end_ts") + duration(settings.skew_tol_s)
    # An accept proves that the RFQ was alive, whatever the clocks say.
    is_after_close = late.fill_null(False) & ~has_accept()
    total = pl.col("yes_bid_dollars") + pl.col("no_bid_dollars")
    return {
        "is_two_sided": has_yes & has_no,
        "is_self_crossed": (total > ONE_DOLLAR).fill_null(False),
        "is_after_close": is_after_close,
        "is_valid_response": (has_yes | has_no) & ~is_after_close & ~pl.col("is_orphan"),
    }


def _chained(quotes: pl.LazyFrame) -> pl.LazyFrame:
    """Number the valid versions of each maker on each RFQ in order of creation."""
    chain = ("rfq_id", "maker_id", "is_valid_response")
    # Comparing neighbors of the sorted rows is several times faster than a window per chain.
    is_new = pl.any_horizontal(pl.col(key).ne_missing(pl.col(key).shift(1)) for key in chain)
    row, is_valid = pl.int_range(pl.len(), dtype=pl.Int64), pl.col("is_valid_response")
    is_last = pl.col("is_new_chain").shift(-1, fill_value=True)
    return (
        quotes.sort(*chain, "created_ts", "quote_id")
        .with_columns(is_new_chain=is_new | (row == 0), row=row)
        .with_columns(first_row=pl.when("is_new_chain").then("row").forward_fill())
        .with_columns(
            version=pl.when(is_valid).then(pl.col("row") - pl.col("first_row") + 1),
            next_created_ts=pl.when(is_valid & ~is_last).then(pl.col("created_ts").shift(-1)),
            is_effective=is_valid & is_last,
        )
    )


def _last_passes(passes: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    """When quotes were last read on either side; what came after the as-of time counts as then."""
    served = pl.min_horizontal("served_ts", pl.lit(settings.as_of))
    return passes.select(
        last_made_pass_ts=served.filter(pl.col("side") == "made").max(),
        last_received_pass_ts=served.filter(pl.col("side") == "received").max(),
    )


def _lost_ts() -> pl.Expr:
    """Return when a quote that vanished was last seen open; NULL for any other.

    It vanished where the exchange denies it, or where its RFQ is over and a pass served after that
    shows no cancellation of it.
    """
    is_announced = pl.any_horizontal(
        pl.col("cancelled_ts").is_not_null(), pl.col("accepted_ts").is_not_null()
    )
    last_pass_ts = (
        pl.when(pl.col("visibility") == "own")
        .then("last_received_pass_ts")
        .otherwise("last_made_pass_ts")
    )
    is_missing = (pl.col("status") == "open") & (last_pass_ts >= pl.col("rfq_end_ts"))
    return (
        pl.when(is_announced)
        .then(None)
        .when(pl.col("gone_ts").is_not_null())
        .then(pl.coalesce("last_seen_open_ts", "last_observed_ts"))
        .when(is_missing)
        .then("last_seen_open_ts")
    )


def _stop_ts() -> pl.Expr:
    return pl.min_horizontal(
        "cancelled_ts", "accepted_ts", "next_created_ts", "rfq_end_ts", "lost_ts"
    )
