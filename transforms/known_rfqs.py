"""What is known of each RFQ before its quotes are ranked: class, size, end, last-look windows."""

from datetime import timedelta
from itertools import pairwise

import polars as pl

from transforms.last_look import infer_fast_markets, windows
from transforms.settings import Settings

# The exchange keeps cancelled quotes for 7 days after their last update. An RFQ that was first
# seen later shows its winners only, which would inflate every rate per quote.
CANCELLED_QUOTES_KEPT = timedelta(days=7)

BACKFILL = "backfill"
CONTRACT_EDGES = (1, 10, 50, 100, 500, 1000, 5000)
DOLLAR_EDGES = (10, 50, 250, 1000, 5000)


def known_rfqs(rfqs: pl.LazyFrame, quotes: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    """Classify, size and end every RFQ known at `settings.as_of`. One row per RFQ.

    End: execution of the winner, else cancellation, else the last update of a closed RFQ (an upper
    bound), else the last sight of one that the exchange no longer knows (`lost`), else none.
    """
    return (
        rfqs.join(_winners(quotes), on="rfq_id", how="left", validate="1:1")
        .join(_viewers_part(quotes), on="rfq_id", how="left", validate="1:1")
        .with_columns(
            size_mode=size_mode(),
            cohort_date=pl.col("created_ts").dt.date(),
            visibility=visibility(),
            capture=capture(),
            end_cause=end_cause(),
        )
        .with_columns(
            contracts=pl.when(pl.col("size_mode") == "contracts").then("contracts"),
            end_ts=end_ts(),
            is_end_upper_bound=is_end_upper_bound(),
            is_matured=pl.col("created_ts")
            <= settings.as_of - timedelta(seconds=settings.maturity_s),
        )
        .with_columns(size_bucket=size_bucket())
        .pipe(infer_fast_markets, quotes, settings)
        .with_columns(**windows())
    )


def size_mode() -> pl.Expr:
    """Return `target_cost` where the requester named dollars; its own contracts mean nothing."""
    is_target_cost = pl.col("target_cost_dollars").is_not_null()
    return pl.when(is_target_cost).then(pl.lit("target_cost")).otherwise(pl.lit("contracts"))


def visibility() -> pl.Expr:
    """Return whose eyes we have: the requester's, one maker's, or a passer-by's."""
    is_own = pl.col("is_own") | pl.col("has_quote_on_own_rfq").fill_null(False)
    return visibility_of(is_own, pl.col("has_quote_by_viewer").fill_null(False))


def visibility_of(is_own: pl.Expr, is_quoted: pl.Expr) -> pl.Expr:
    """Return `own`, `quoted` or `foreign`: the viewer asked, the viewer quoted, or neither."""
    return (
        pl.when(is_own)
        .then(pl.lit("own"))
        .when(is_quoted)
        .then(pl.lit("quoted"))
        .otherwise(pl.lit("foreign"))
    )


def capture() -> pl.Expr:
    """Return `live` where losing quotes were still kept when the RFQ was first seen."""
    in_time = pl.col("first_observed_ts") <= pl.col("created_ts") + CANCELLED_QUOTES_KEPT
    return pl.when(in_time).then(pl.lit("live")).otherwise(pl.lit(BACKFILL))


def end_cause() -> pl.Expr:
    """Return why the RFQ is over, NULL while it is not."""
    return (
        pl.when(pl.col("executed_ts").is_not_null())
        .then(pl.lit("executed"))
        .when(pl.col("status") == "closed")
        .then(pl.lit("closed"))
        .when(pl.col("gone_ts").is_not_null())
        .then(pl.lit("lost"))
    )


def end_ts() -> pl.Expr:
    """Return when the RFQ was over; NULL for a closed one that shows no time."""
    return (
        pl.when(pl.col("end_cause") == "executed")
        .then("executed_ts")
        .when(pl.col("end_cause") == "closed")
        .then(pl.coalesce("cancelled_ts", "updated_ts"))
        .when(pl.col("end_cause") == "lost")
        .then("last_observed_ts")
    )


def is_end_upper_bound() -> pl.Expr:
    """Return whether the end is dated by an update that may have come later."""
    return pl.col("end_cause").eq_missing("closed") & pl.col("cancelled_ts").is_null()


def size_bucket() -> pl.Expr:
    """Return the fixed size bucket, lower edge included: contracts or dollars asked for."""
    by_dollars = _bucket(pl.col("target_cost_dollars"), DOLLAR_EDGES, "${}", " target cost")
    by_contracts = _bucket(pl.col("contracts"), CONTRACT_EDGES, "{}", " contracts")
    return pl.coalesce(by_dollars, by_contracts, pl.lit("unknown"))


def _bucket(size: pl.Expr, edges: tuple[int, ...], mark: str, unit: str) -> pl.Expr:
    names = [mark.format(edge) for edge in edges]
    spans = [f"{low}-{high}" for low, high in pairwise(names)]
    labels = [pl.lit(text + unit) for text in (f"under {names[0]}", *spans, f"{names[-1]}+")]
    steps = zip(edges, labels, strict=False)
    return pl.coalesce(
        *(pl.when(size < edge).then(label) for edge, label in steps),
        pl.when(size >= edges[-1]).then(labels[-1]),
    )


def _winners(quotes: pl.LazyFrame) -> pl.LazyFrame:
    """The first accepted of the executed quotes. One row per executed RFQ.

    More than one execution is an alarm, not a second fill: the earliest accept counts.
    """
    return (
        quotes.filter(pl.col("executed_ts").is_not_null())
        .sort("accepted_ts", "executed_ts", "quote_id", nulls_last=True)
        .group_by("rfq_id", maintain_order=True)
        .agg(
            winner_id=pl.col("quote_id").first(),
            executed_ts=pl.col("executed_ts").first(),
            n_executed_quotes=pl.len().cast(pl.Int64),
        )
    )


def _viewers_part(quotes: pl.LazyFrame) -> pl.LazyFrame:
    return quotes.group_by("rfq_id").agg(
        has_quote_on_own_rfq=pl.col("is_on_own_rfq").any(),
        has_quote_by_viewer=pl.col("is_made_by_viewer").any(),
    )
