"""Every RFQ with its state, best prices, cover and durations."""

import polars as pl

from transforms.definitions.outcome_buckets import fates, outcome_bucket
from transforms.definitions.populations import is_own, is_terminal
from transforms.definitions.rfqs import known_rfqs
from transforms.definitions.units import CONTRACTS, DOLLARS, elapsed_s, skew_corrected_s
from transforms.settings import Settings

COLUMNS = (
    *("rfq_id", "market_ticker", "series_ticker", "event_ticker", "requester_id_first"),
    *("requester_id_last", "visibility", "capture", "n_legs", "is_combo", "size_mode"),
    *("contracts", "target_cost_dollars", "size_bucket", "cohort_date", "created_ts", "end_ts"),
    *("state", "is_matured", "is_filled_after_lapse", "n_quotes_raw", "n_quotes_effective"),
    *("n_makers", "n_live_makers_at_accept", "time_to_first_quote_s", "time_to_accept_s"),
    *("time_to_fill_s", "best_yes_bid", "best_yes_ask", "composite_spread"),
    *("is_composite_crossed", "best_yes_bid_at_accept", "best_yes_ask_at_accept"),
    *("composite_spread_at_accept", "requester_side", "requester_price_dollars"),
    *("executed_contracts", "effective_spread", "cover_bid", "cover_distance"),
    *("cover_savings_dollars", "premium_dollars", "payout_notional_dollars", "has_accept"),
    *("has_confirm", "maker_id_won", "end_cause", "is_end_upper_bound", "n_executed_quotes"),
    *("exchange_status", "out_of_bounds", "is_first_seen_open", "executed_ts", "is_end_moved"),
    *("is_cover_unknown", "is_decided", "last_seen_open_ts", "first_quote_ts"),
    *("watched_until_ts", "lifetime_bucket", "is_shown_late", "outcome_bucket", "n_live_makers"),
)
# What only the requester sees in full: on anybody else's RFQ it would describe our own quotes.
SEEN_BY_REQUESTER = (
    *("n_quotes_raw", "n_quotes_effective", "n_makers", "n_live_makers_at_accept"),
    *("time_to_first_quote_s", "first_quote_ts", "best_yes_bid", "best_yes_ask", "cover_bid"),
    "n_live_makers",
)
# NULL where there is no quote and the RFQ is not ours: nine RFQs in ten.
TOLD_BY_QUOTES = (
    *SEEN_BY_REQUESTER,
    *("time_to_accept_s", "time_to_fill_s", "composite_spread", "best_yes_bid_at_accept"),
    *("best_yes_ask_at_accept", "composite_spread_at_accept", "requester_side"),
    *("requester_price_dollars", "executed_contracts", "effective_spread", "cover_distance"),
    *("cover_savings_dollars", "premium_dollars", "payout_notional_dollars", "maker_id_won"),
    "executed_ts",
)


def rfq_facts(
    rfqs: pl.LazyFrame,
    quotes: pl.LazyFrame,
    quote_facts: pl.LazyFrame,
    passes: pl.LazyFrame,
    open_sweeps: pl.LazyFrame,
    settings: Settings,
) -> pl.LazyFrame:
    """Measure every RFQ known at `settings.as_of`. One row per RFQ."""
    return (
        known_rfqs(rfqs, quotes, passes, open_sweeps, settings)
        .join(_of_quotes(quote_facts), on="rfq_id", how="left", validate="1:1")
        .pipe(_gaps_closed)
        .pipe(_timed, settings)
        .pipe(_priced)
        .with_columns(state=state(), exchange_status="status")
        .with_columns(is_decided=is_decided(settings), outcome_bucket=outcome_bucket(settings))
        .select(COLUMNS)
    )


def _of_quotes(quote_facts: pl.LazyFrame) -> pl.LazyFrame:
    """What the quotes tell of each RFQ. One row per quoted RFQ: few of all there are."""
    return (
        _responses(quote_facts)
        .join(_accepts(quote_facts), on="rfq_id", how="left", validate="1:1")
        .join(_decided(quote_facts), on="rfq_id", how="left", validate="1:1")
        .join(fates(quote_facts), on="rfq_id", how="left", validate="1:1")
    )


def _responses(quote_facts: pl.LazyFrame) -> pl.LazyFrame:
    """Count the answers and take the best prices of the live set. One row per quoted RFQ."""
    is_valid, in_set = pl.col("is_valid_response"), pl.col("is_in_live_set")
    return quote_facts.group_by("rfq_id").agg(
        n_quotes_raw=pl.len().cast(pl.Int64),
        n_quotes_effective=pl.col("is_effective").sum().cast(pl.Int64),
        n_makers=pl.col("maker_id").filter(is_valid).n_unique().cast(pl.Int64),
        n_live_makers=pl.col("maker_id").filter(in_set).n_unique().cast(pl.Int64),
        time_to_first_quote_s=pl.col("response_latency_s").min(),
        first_quote_ts=pl.col("created_ts").filter(is_valid).min(),
        best_yes_bid=pl.col("yes_bid_dollars").filter(in_set).max(),
        best_yes_ask=pl.col("yes_ask_dollars").filter(in_set).min(),
    )


def _accepts(quote_facts: pl.LazyFrame) -> pl.LazyFrame:
    """Follow the accepts of each RFQ in order. One row per RFQ with an accept."""
    is_waiting = pl.col("executed_ts").is_null() & pl.col("cancelled_ts").is_null()
    return (
        quote_facts.filter("has_accept")
        .sort("accepted_ts", "quote_id", nulls_last=True)
        .group_by("rfq_id", maintain_order=True)
        .agg(
            pl.col("has_accept").any(),
            pl.col("has_confirm").any(),
            pl.col("is_accept_pending").any(),
            is_confirm_pending=(pl.col("confirmed_ts").is_not_null() & is_waiting).any(),
            first_accepted_ts=pl.col("accepted_ts").first(),
            is_first_accept_monotone=pl.col("is_monotone").first(),
            first_lapsed_ts=pl.col("accepted_ts").filter("is_lapsed").min(),
        )
    )


def _decided(quote_facts: pl.LazyFrame) -> pl.LazyFrame:
    """The reference accept: the executed quote, else the accept that got furthest."""
    is_executed = pl.col("executed_ts").is_not_null()
    return quote_facts.filter("is_reference_accept").select(
        "rfq_id",
        "requester_side",
        "requester_price_dollars",
        "executed_contracts",
        "premium_dollars",
        "payout_notional_dollars",
        "cover_bid",
        "is_cover_unknown",
        bid_taken=1 - pl.col("requester_price_dollars"),
        n_live_makers_at_accept=1 + pl.col("n_rival_makers"),
        reference_accepted_ts="accepted_ts",
        maker_id_won=pl.when(is_executed).then("maker_id"),
        is_winner_monotone=pl.col("is_monotone"),
    )


def _gaps_closed(rfqs: pl.LazyFrame) -> pl.LazyFrame:
    """Say 0 and false where nothing was there to count, and nothing where we could not see."""
    counts = (
        *("n_quotes_raw", "n_quotes_effective", "n_makers", "n_live_makers"),
        "n_executed_quotes",
    )
    stages = ("has_accept", "has_confirm", "is_accept_pending", "is_confirm_pending")
    flags = (*stages, "is_cover_unknown")
    return rfqs.with_columns(
        pl.col(counts).fill_null(0), pl.col(flags).fill_null(False)
    ).with_columns(pl.when(is_own()).then(pl.col(name)).alias(name) for name in SEEN_BY_REQUESTER)


def state() -> pl.Expr:
    """Return the RFQ's state: executed > confirmed_pending > accepted_pending > closed > open.

    One of somebody else that is over without a visible execution is `closed_unknown`.
    """
    return (
        pl.when(pl.col("end_cause").eq_missing("executed"))
        .then(pl.lit("executed"))
        .when("is_confirm_pending")
        .then(pl.lit("confirmed_pending"))
        .when("is_accept_pending")
        .then(pl.lit("accepted_pending"))
        .when(pl.col("end_cause").is_null())
        .then(pl.lit("open"))
        .when(is_own())
        .then(pl.lit("closed_unfilled"))
        .otherwise(pl.lit("closed_unknown"))
    )


def is_decided(settings: Settings) -> pl.Expr:
    """Return whether the RFQ is settled for a hit ratio.

    One of somebody else is once its execution or its closing was read by the as-of time, won and
    lost by the same test: we know sooner of what we win.
    """
    read = pl.col("first_executed_observed_ts", "first_closed_observed_ts") <= settings.as_of
    seen = (read, pl.col("gone_ts").is_not_null(), pl.col("is_out_of_sight"))
    is_seen_over = pl.any_horizontal(*(each.fill_null(False) for each in seen))
    return is_terminal() & (is_own() | is_seen_over)


def _timed(rfqs: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    to_accept_s = skew_corrected_s(
        elapsed_s("created_ts", "first_accepted_ts"), settings.skew_tol_s
    )
    to_fill_s = skew_corrected_s(elapsed_s("created_ts", "executed_ts"), settings.skew_tol_s)
    return rfqs.with_columns(
        time_to_accept_s=pl.when("is_first_accept_monotone").then(to_accept_s),
        time_to_fill_s=pl.when("is_winner_monotone").then(to_fill_s),
        is_filled_after_lapse=(
            pl.col("first_lapsed_ts") < pl.col("reference_accepted_ts")
        ).fill_null(False)
        & pl.col("executed_ts").is_not_null(),
    )


def _priced(rfqs: pl.LazyFrame) -> pl.LazyFrame:
    spread = (pl.col("best_yes_ask") - pl.col("best_yes_bid")).cast(DOLLARS)
    distance = (pl.col("bid_taken") - pl.col("cover_bid")).cast(DOLLARS)
    best = pl.col("best_yes_bid", "best_yes_ask", "n_live_makers")
    return rfqs.with_columns(pl.when(~pl.col("is_cover_unknown")).then(best)).with_columns(
        composite_spread=spread,
        is_composite_crossed=(spread < 0).fill_null(False),
        best_yes_bid_at_accept=pl.when("has_accept").then("best_yes_bid"),
        best_yes_ask_at_accept=pl.when("has_accept").then("best_yes_ask"),
        composite_spread_at_accept=pl.when("has_accept").then(spread),
        effective_spread=effective_spread().cast(DOLLARS),
        cover_distance=distance,
        cover_savings_dollars=(distance * pl.col("executed_contracts")).cast(DOLLARS),
        executed_contracts=pl.col("executed_contracts").cast(CONTRACTS),
    )


def effective_spread() -> pl.Expr:
    """Return 2 (p - mid) of the side that the requester gets, mid of the best bid and offer."""
    twice_mid = pl.col("best_yes_bid") + pl.col("best_yes_ask")
    twice_mid_of_side = (
        pl.when(pl.col("requester_side") == "buy_yes").then(twice_mid).otherwise(2 - twice_mid)
    )
    return 2 * pl.col("requester_price_dollars") - twice_mid_of_side
