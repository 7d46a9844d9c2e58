"""Why quotes on our own RFQs lost to the one that was executed."""

import polars as pl

from transforms.definitions.last_look import accept_ts
from transforms.definitions.units import CENTS, DOLLARS, ONE_DOLLAR

COLUMNS = (
    *("quote_id", "rfq_id", "market_ticker", "series_ticker", "cohort_date", "capture", "n_legs"),
    *("size_bucket", "maker_id", "maker_id_won", "version", "is_effective", "created_ts"),
    *("end_ts", "end_cause", "accepted_side", "winner_accepted_ts", "bid_dollars"),
    *("winning_bid_dollars", "lost_by_cents", "reason"),
)


def lost_quotes(own_quote_facts: pl.LazyFrame) -> pl.LazyFrame:
    """The other quotes on an executed own RFQ: why each lost, and by how many cents.

    The reason is the first that holds, at the moment the winner was accepted: after_accept (it came
    later), withdrawn, replaced, lapsed_first (accepted before, not confirmed), failed_first
    (confirmed before, then cancelled by the exchange), unknown (it vanished before), crossed (its
    bids add up to more than $1), unknown (nobody knows which side was hit, or at what bid),
    no_bid_on_side, and then by price: worse_price, tied, better_price (passed over).

    A quote that was executed too did not lose, nor has one whose own accept is still pending or
    stuck: they have no row. For example, who loses how:

        select capture, maker_id, reason, count(*) as n_quotes, median(lost_by_cents) as p50_cents
        from marts.lost_quotes where is_effective group by all

    One row per losing quote on an executed RFQ of our own.
    """
    known = own_quote_facts.filter(~pl.col("is_orphan"))
    is_undecided = pl.col("outcome").eq_missing("pending")
    return (
        known.filter(pl.col("executed_ts").is_null(), ~is_undecided)
        .drop("accepted_side")
        .join(_winners(known), on="rfq_id", how="inner", validate="m:1")
        .with_columns(bid_dollars=_bid_on_side())
        .with_columns(reason=reason(), lost_by_cents=_lost_by_cents())
        .select(COLUMNS)
        .sort("rfq_id", "created_ts", "quote_id")
    )


def _winners(known: pl.LazyFrame) -> pl.LazyFrame:
    """The quote that decided each executed RFQ. One row per executed RFQ."""
    return known.filter("is_reference_accept", pl.col("executed_ts").is_not_null()).select(
        "rfq_id",
        "accepted_side",
        maker_id_won="maker_id",
        winner_accepted_ts=accept_ts(),
        winning_bid_dollars=(ONE_DOLLAR - pl.col("requester_price_dollars")).cast(DOLLARS),
    )


def _bid_on_side() -> pl.Expr:
    side = pl.col("accepted_side")
    return (
        pl.when(side == "yes")
        .then("yes_bid_dollars")
        .when(side == "no")
        .then((ONE_DOLLAR - pl.col("yes_ask_dollars")).cast(DOLLARS))
    )


def _lost_by_cents() -> pl.Expr:
    """Return how far the bid was below the winning one; below 0 where it was above."""
    return (100 * (pl.col("winning_bid_dollars") - pl.col("bid_dollars"))).cast(CENTS)


def reason() -> pl.Expr:
    """Return why the quote lost; what the RFQ's end cancelled had stood until then."""
    at, cause = pl.col("winner_accepted_ts"), pl.col("end_cause")
    bid, won = pl.col("bid_dollars"), pl.col("winning_bid_dollars")
    is_over = (pl.col("end_ts") <= at).fill_null(value=False)
    was_accepted = (accept_ts() <= at).fill_null(value=False)
    return (
        pl.when(pl.col("created_ts") > at)
        .then(pl.lit("after_accept"))
        .when(is_over & cause.is_in(["withdrawn", "replaced"]))
        .then(cause)
        .when(was_accepted & pl.col("is_lapsed"))
        .then(pl.lit("lapsed_first"))
        .when(was_accepted)
        .then(pl.lit("failed_first"))
        .when(is_over & (cause == "lost"))
        .then(pl.lit("unknown"))
        .when("is_self_crossed")
        .then(pl.lit("crossed"))
        .when(won.is_null())
        .then(pl.lit("unknown"))
        .when(bid.is_null())
        .then(pl.lit("no_bid_on_side"))
        .when(bid < won)
        .then(pl.lit("worse_price"))
        .when(bid == won)
        .then(pl.lit("tied"))
        .otherwise(pl.lit("better_price"))
    )
