"""The competing quotes of an RFQ at the moment that decides, and how each of them fared.

The moment is the reference accept: the one that got furthest, the earliest of those. An RFQ
without one is looked at just before its end, an open one at the as-of time. The set is every
version live then (plus the accepted quote itself), minus those that cross themselves.
"""

import polars as pl

from transforms.last_look import accept_ts
from transforms.units import ONE_DOLLAR


def with_live_set(lives: pl.LazyFrame) -> pl.LazyFrame:
    """Add the reference accept and the quote's part in the live set. One row per quote."""
    return (
        lives.join(reference_accepts(lives), on="rfq_id", how="left", validate="m:1")
        .with_columns(
            is_reference_accept=pl.col("quote_id").eq_missing(pl.col("reference_quote_id")),
            is_live_then=_is_live_then(),
            bid_on_side=_bid_on(pl.col("reference_side")),
        )
        .with_columns(is_in_live_set=pl.col("is_live_then") & ~pl.col("is_self_crossed"))
        .with_columns(is_competitor=_is_competitor(), is_cover_unknown=_is_cover_unknown())
        .with_columns(
            cover_bid=pl.when(~pl.col("is_cover_unknown")).then(
                _competing_bids().max().over("rfq_id")
            ),
            n_rival_makers=pl.when(~pl.col("is_orphan") & ~pl.col("is_cover_unknown")).then(
                pl.col("maker_id")
                .filter(_competing_bids().is_not_null())
                .n_unique()
                .over("rfq_id")
                .cast(pl.Int64)
            ),
        )
        .with_columns(n_at_cover=(_competing_bids() == pl.col("cover_bid")).sum().over("rfq_id"))
    )


def reference_accepts(lives: pl.LazyFrame) -> pl.LazyFrame:
    """Pick the accept that decides an RFQ. One row per RFQ with an accept."""
    return (
        lives.filter("has_accept")
        .with_columns(stage=_stage(), reference_ts=accept_ts())
        .sort("stage", "reference_ts", "executed_ts", "quote_id", nulls_last=True)
        .group_by("rfq_id", maintain_order=True)
        .agg(
            pl.col("reference_ts").first(),
            reference_quote_id=pl.col("quote_id").first(),
            reference_maker_id=pl.col("maker_id").first(),
            reference_side=pl.col("accepted_side").first(),
            reference_bid=_bid_on(pl.col("accepted_side")).first(),
            is_reference_executed=pl.col("executed_ts").first().is_not_null(),
            is_reference_undecided=pl.col("is_undecided").first(),
        )
    )


def outcome() -> pl.Expr:
    """Return how the quote fared, in the vocabulary of FIX QuoteRespType (694).

    `tied` matches the winner's price, `cover` is the best of the others (`tied_cover` if shared),
    `done_away` lost to another quote, `not_traded` saw its RFQ close without a trade. Without one:
    a quote that came after its RFQ's end. Where a rival was lost before the accept, what lost on
    the accepted side is `not_done_unknown`.
    """
    own_fate = (
        pl.when(pl.col("executed_ts").is_not_null())
        .then(pl.lit("done"))
        .when(pl.col("is_undecided"))
        .then(pl.lit("pending"))
        .when(pl.col("is_lapsed"))
        .then(pl.lit("lapsed"))
        # Confirmed, then cancelled by the exchange. Such quotes have been seen to fill even so.
        .when(pl.col("has_accept"))
        .then(pl.lit("failed"))
    )
    fate = pl.coalesce(own_fate, _fate_in_competition(), _fate_without_trade())
    return pl.when(~pl.col("is_after_close")).then(fate)


def _fate_in_competition() -> pl.Expr:
    is_cover = pl.col("bid_on_side") == pl.col("cover_bid")
    placed = (
        pl.when(pl.col("is_self_crossed"))
        .then(pl.lit("done_away"))
        .when(pl.col("bid_on_side") == pl.col("reference_bid"))
        .then(pl.lit("tied"))
        .when(pl.col("is_cover_unknown") & pl.col("bid_on_side").is_not_null())
        .then(pl.lit("not_done_unknown"))
        .when(is_cover & (pl.col("n_at_cover") > 1))
        .then(pl.lit("tied_cover"))
        .when(is_cover)
        .then(pl.lit("cover"))
        .otherwise(pl.lit("done_away"))
    )
    is_decided = pl.col("is_reference_executed") & (pl.col("visibility") == "own")
    return pl.when(pl.col("is_live_then") & is_decided).then(placed)


def _fate_without_trade() -> pl.Expr:
    cause = pl.col("end_cause")
    is_over = cause.is_not_null()
    return (
        pl.when(cause.is_in(["replaced", "withdrawn"]))
        .then(cause)
        .when(cause.eq_missing("lost") | (is_over & (pl.col("visibility").ne_missing("own"))))
        .then(pl.lit("not_done_unknown"))
        .when(~pl.col("is_valid_response") & ~pl.col("is_orphan"))
        .then(pl.lit("not_traded"))
        .when(~is_over)
        .then(pl.lit("live"))
        .when(pl.col("is_reference_executed"))
        .then(pl.lit("done_away"))
        .when(pl.col("is_reference_undecided"))
        .then(pl.lit("pending"))
        .otherwise(pl.lit("not_traded"))
    )


def _stage() -> pl.Expr:
    """Return how far an accept got, 0 for executed: the smaller, the more it decides."""
    return (
        pl.when(pl.col("executed_ts").is_not_null())
        .then(0)
        .when(pl.col("confirmed_ts").is_not_null())
        .then(1)
        .when("is_accept_pending")
        .then(2)
        .otherwise(3)
    )


def _is_live_then() -> pl.Expr:
    created, end, rfq_end = pl.col("created_ts"), pl.col("end_ts"), pl.col("rfq_end_ts")
    at, is_endless = pl.col("reference_ts"), pl.col("end_ts").is_null()
    at_accept = (created <= at) & (is_endless | (end > at))
    # A cancellation that came with the RFQ's end may be stamped a little before it.
    lasted = is_endless | (end >= rfq_end) | (pl.col("end_cause") == "rfq_end")
    before_end = (created < rfq_end) & lasted
    is_live = (
        pl.when(at.is_not_null())
        .then(at_accept)
        .when(rfq_end.is_not_null())
        .then(before_end)
        .otherwise(is_endless)
    )
    return (is_live & pl.col("is_valid_response")).fill_null(False) | (
        pl.col("quote_id").eq_missing(pl.col("reference_quote_id"))
    )


def _bid_on(side: pl.Expr) -> pl.Expr:
    return pl.when(side == "yes").then("yes_bid_dollars").when(side == "no").then("no_bid_dollars")


def _is_competitor() -> pl.Expr:
    is_rival = pl.col("maker_id").ne_missing(pl.col("reference_maker_id"))
    return pl.col("is_in_live_set") & is_rival & pl.col("reference_ts").is_not_null()


def _is_cover_unknown() -> pl.Expr:
    """Return whether a rival was lost before the accept: nobody knows if its bid still stood."""
    at = pl.col("reference_ts")
    is_replaced = (pl.col("next_created_ts") <= at).fill_null(False)
    is_rival = pl.col("maker_id").ne_missing(pl.col("reference_maker_id"))
    is_lost = pl.col("end_cause").eq_missing("lost") & (pl.col("end_ts") <= at)
    counts = pl.col("is_valid_response") & ~pl.col("is_self_crossed")
    is_lost_rival = is_lost & is_rival & counts & ~is_replaced & (pl.col("created_ts") <= at)
    return is_lost_rival.fill_null(False).any().over("rfq_id")


def _competing_bids() -> pl.Expr:
    return pl.when("is_competitor").then("bid_on_side")


def requester_price() -> pl.Expr:
    """Return what the requester pays for the side it gets: 1 less the maker's bid that is hit."""
    return ONE_DOLLAR - _bid_on(pl.col("accepted_side"))
