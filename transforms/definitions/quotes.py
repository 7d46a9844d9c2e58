"""Each quote: its place in its maker's chain of versions, when it was live, and beside whom.

The live set of an RFQ is looked at in the moment that decides: at the reference accept, which is
the accept that got furthest, the earliest of those; without one just before the RFQ's end, and for
an open RFQ at the as-of time. It is every version live then (plus the accepted quote itself),
minus those that cross themselves.

A target cost T buys `floor_0.01(T / (p + 0.07 p (1 - p)))` contracts at price p = 1 - bid, as it
includes the requester's fee unless it is said to exclude it: then `floor_0.01(T / p)`. The formula
is inferred; it reproduces every published quote that we know.
"""

from decimal import Decimal

import polars as pl

from transforms.definitions.last_look import accept_ts, has_accept
from transforms.definitions.populations import BACKFILL, is_own
from transforms.definitions.rfqs import size_bucket, visibility_of
from transforms.definitions.units import CONTRACTS, DOLLARS, ONE_DOLLAR, duration
from transforms.settings import Settings

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
    shows no cancellation of it. One whose accept or cancellation was read did not, also where that
    is dated after the as-of time: it stood until then.
    """
    is_announced = pl.any_horizontal(
        pl.col("cancelled_ts").is_not_null(),
        pl.col("accepted_ts").is_not_null(),
        "has_stage_after_as_of",
    )
    last_pass_ts = pl.when(is_own()).then("last_received_pass_ts").otherwise("last_made_pass_ts")
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
            n_rival_makers=pl.when(_are_rivals_known()).then(
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
    the accepted side is `not_done_unknown`; where the bid that was hit is not known, whatever was
    live then.
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
        .when(pl.col("reference_bid").is_null())
        .then(pl.lit("not_done_unknown"))
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
    is_decided = pl.col("is_reference_executed") & is_own()
    return pl.when(pl.col("is_live_then") & is_decided).then(placed)


def _fate_without_trade() -> pl.Expr:
    cause = pl.col("end_cause")
    is_over = cause.is_not_null()
    return (
        pl.when(cause.is_in(["replaced", "withdrawn"]))
        .then(cause)
        .when(cause.eq_missing("lost") | (is_over & (pl.col("visibility").ne_missing("own"))))
        .then(pl.lit("not_done_unknown"))
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


def _are_rivals_known() -> pl.Expr:
    """Return whether it is known which other makers bid for what was hit.

    Only the requester sees rivals. Without an accept nothing was hit, and where the side or the
    accepted maker's bid for it is not shown, nobody knows what was.
    """
    is_hit_known = pl.col("reference_bid").is_not_null()
    return is_own() & ~pl.col("is_orphan") & ~pl.col("is_cover_unknown") & is_hit_known


def _competing_bids() -> pl.Expr:
    return pl.when("is_competitor").then("bid_on_side")


def requester_price() -> pl.Expr:
    """Return what the requester pays for the side it gets: 1 less the maker's bid that is hit."""
    return ONE_DOLLAR - _bid_on(pl.col("accepted_side"))


MICRODOLLARS = 1_000_000
FEE_PERCENT = 7
HUNDREDTH = pl.lit(Decimal("0.01"), dtype=CONTRACTS)


def quoted_contracts(side: str) -> pl.Expr:
    """Return the size behind the bid on *side*: the full RFQ, since quotes carry no size."""
    shown = pl.col(f"{side}_contracts")
    asked = pl.coalesce(pl.when(pl.col("contracts") > 0).then("contracts"), pl.col("rfq_contracts"))
    is_target_cost = pl.col("asked_dollars").is_not_null()
    otherwise = pl.when(is_target_cost).then(f"derived_{side}_contracts").otherwise(asked)
    return pl.coalesce(shown, otherwise).cast(CONTRACTS)


def derived_contracts(side: str) -> pl.Expr:
    """Return the size that the target cost buys if the bid on *side* is hit."""
    p = _micros(ONE_DOLLAR - pl.col(f"{side}_bid_dollars"))
    fee = p * (MICRODOLLARS - p) * FEE_PERCENT
    # Both cost and target are scaled to 1e-14 dollars: integers, so that the floor is exact.
    cost = p * 10**8 + pl.when("excludes_fees").then(0).otherwise(fee)
    hundredths = pl.when(cost > 0).then(_micros(pl.col("asked_dollars")) * 10**10 // cost)
    return (hundredths.cast(pl.Decimal(38, 2)) * HUNDREDTH).cast(CONTRACTS)


def _micros(dollars: pl.Expr) -> pl.Expr:
    return (dollars.cast(DOLLARS) * MICRODOLLARS).cast(pl.Int128)
