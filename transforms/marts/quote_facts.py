"""Every quote with its outcome, prices and durations."""

import polars as pl

from transforms.definitions.last_look import (
    has_accept,
    has_confirm,
    is_accept_pending,
    is_against_fast,
    is_awaiting_execution,
    is_confirmed_stuck,
    is_lapsed,
    is_monotone,
    shown_timer_s,
    with_windows,
)
from transforms.definitions.quotes import (
    derived_contracts,
    outcome,
    quote_lives,
    quoted_contracts,
    requester_price,
    with_live_set,
)
from transforms.definitions.rfqs import known_rfqs
from transforms.definitions.units import (
    CONTRACTS,
    DOLLARS,
    ONE_DOLLAR,
    elapsed_s,
    price,
    skew_corrected_s,
)
from transforms.settings import Settings

COLUMNS = (
    *("quote_id", "rfq_id", "market_ticker", "maker_id", "version", "is_effective"),
    *("is_self_crossed", "is_two_sided", "outcome", "yes_bid_dollars", "yes_ask_dollars"),
    *("quote_spread", "relative_spread", "logit_spread", "created_ts", "end_ts", "end_cause"),
    *("response_latency_s", "quote_lifetime_s", "quote_dwell_s", "confirm_latency_s"),
    *("execution_latency_s", "execution_excess_s", "is_after_close", "is_negative_latency"),
    *("is_confirmed_stuck", "is_orphan", "accepted_side", "accepted_ts", "is_accept_pending"),
    *("is_accept_matured", "is_lapsed", "requester_side", "requester_price_dollars"),
    *("executed_contracts", "is_valid_response", "is_monotone", "cohort_date", "visibility"),
    *("capture", "n_legs", "size_bucket", "series_ticker", "confirmed_ts", "executed_ts"),
    *("cancelled_ts", "confirm_window_s", "is_self_quote", "is_made_by_viewer"),
    *("is_reference_accept", "is_in_live_set", "cover_bid", "n_rival_makers"),
    *("derived_yes_contracts", "derived_no_contracts", "has_accept", "has_confirm"),
    *("exchange_status", "out_of_bounds", "is_against_fast", "premium_dollars"),
    *("payout_notional_dollars", "is_cover_unknown", "last_seen_open_ts"),
    *("lifetime_bucket", "is_shown_late"),
)


def quote_facts(
    quoted_rfqs: pl.LazyFrame,
    quotes: pl.LazyFrame,
    passes: pl.LazyFrame,
    open_sweeps: pl.LazyFrame,
    fast_markets: pl.LazyFrame,
    settings: Settings,
) -> pl.LazyFrame:
    """Measure every quote known at `settings.as_of`, orphans included. One row per quote."""
    known = known_rfqs(quoted_rfqs, quotes, passes, open_sweeps, settings)
    return (
        quote_lives(quotes, with_windows(known, fast_markets), passes, settings)
        .pipe(_followed_up, settings)
        .pipe(with_live_set)
        .pipe(_sized)
        .pipe(_priced)
        .pipe(_timed, settings)
        .with_columns(
            outcome=outcome(),
            # The RFQ's own, so that both are in one partition whatever the quote says.
            market_ticker=pl.when("is_orphan").then("market_ticker").otherwise("rfq_market_ticker"),
            is_self_quote=_is_self_quote(),
            exchange_status="status",
        )
        .select(COLUMNS)
        .sort("rfq_id", "created_ts", "quote_id")
    )


def _followed_up(quotes: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    """Say what became of each accept by `settings.as_of`."""
    return (
        quotes.with_columns(
            # An orphan's legs are unknown: the longer window calls nothing lapsed too early.
            confirm_window_s=pl.col("confirm_window_s").fill_null(30),
            execution_timer_s=pl.col("execution_timer_s").fill_null(15),
            has_accept=has_accept(),
            has_confirm=has_confirm(),
            is_monotone=is_monotone(),
            is_against_fast=is_against_fast(settings),
        )
        .with_columns(
            is_accept_pending=is_accept_pending(settings.as_of).fill_null(False),
            is_confirmed_stuck=is_confirmed_stuck(settings.as_of).fill_null(False),
        )
        .with_columns(
            is_lapsed=is_lapsed(),
            is_accept_matured=pl.col("has_accept") & ~pl.col("is_accept_pending"),
            is_undecided=pl.col("is_accept_pending") | is_awaiting_execution(),
        )
    )


def _sized(quotes: pl.LazyFrame) -> pl.LazyFrame:
    sides = ("yes", "no")
    return (
        quotes.with_columns(
            asked_dollars=pl.coalesce("target_cost_dollars", "rfq_target_cost_dollars"),
            excludes_fees=pl.coalesce(
                "target_cost_excludes_fees", "rfq_target_cost_excludes_fees", pl.lit(False)
            ),
        )
        .with_columns(**{f"derived_{side}_contracts": derived_contracts(side) for side in sides})
        .with_columns(executed_contracts=_executed_contracts())
    )


def _executed_contracts() -> pl.Expr:
    side, is_executed = pl.col("accepted_side"), pl.col("executed_ts").is_not_null()
    return (
        pl.when(is_executed & (side == "yes"))
        .then(quoted_contracts("yes"))
        .when(is_executed & (side == "no"))
        .then(quoted_contracts("no"))
        .cast(CONTRACTS)
    )


def _priced(quotes: pl.LazyFrame) -> pl.LazyFrame:
    is_pair = pl.col("is_two_sided") & ~pl.col("is_self_crossed")
    ask = (ONE_DOLLAR - pl.col("no_bid_dollars")).cast(DOLLARS)
    spread = ONE_DOLLAR - pl.col("yes_bid_dollars") - pl.col("no_bid_dollars")
    return (
        quotes.with_columns(
            yes_ask_dollars=ask,
            quote_spread=pl.when(is_pair).then(spread).cast(DOLLARS),
            requester_side=requester_side(),
            requester_price_dollars=requester_price().cast(DOLLARS),
        )
        .with_columns(_no_ask=ONE_DOLLAR - pl.col("yes_bid_dollars"))
        .with_columns(
            relative_spread=2
            * price("quote_spread")
            / (pl.col("yes_bid_dollars") + pl.col("yes_ask_dollars")).cast(pl.Float64),
            logit_spread=pl.when(pl.col("quote_spread").is_not_null()).then(logit_spread()),
            premium_dollars=(pl.col("requester_price_dollars") * pl.col("executed_contracts")).cast(
                DOLLARS
            ),
            payout_notional_dollars=pl.col("executed_contracts").cast(DOLLARS),
        )
    )


def requester_side() -> pl.Expr:
    """Return the side that the requester buys: accepted_side names the maker's bid that is hit."""
    side = pl.col("accepted_side")
    return pl.when(side == "no").then(pl.lit("buy_yes")).when(side == "yes").then(pl.lit("buy_no"))


def logit_spread() -> pl.Expr:
    """Return logit(ask) - logit(bid), logit x = ln(x / (1 - x)).

    NULL unless both are strictly inside (0, 1). A quote and its mirror image with YES and NO
    swapped have the same.
    """
    bid, ask = pl.col("yes_bid_dollars"), pl.col("yes_ask_dollars")
    is_inside = (bid < ONE_DOLLAR) & (ask > 0) & (ask < ONE_DOLLAR)
    yes_side = price("yes_ask_dollars").log() - price("yes_bid_dollars").log()
    no_side = price("_no_ask").log() - price("no_bid_dollars").log()
    return pl.when(is_inside).then(yes_side + no_side)


def _timed(quotes: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    raw_latency_s = elapsed_s("rfq_created_ts", "created_ts")
    is_first = pl.col("version").eq_missing(1)
    lifetime_s = elapsed_s("created_ts", "end_ts")
    return quotes.with_columns(
        is_negative_latency=(is_first & (raw_latency_s < 0)).fill_null(False),
        response_latency_s=pl.when(is_first).then(
            skew_corrected_s(raw_latency_s, settings.skew_tol_s)
        ),
        quote_lifetime_s=_in_order(pl.when(~pl.col("is_after_close")).then(lifetime_s)),
        quote_dwell_s=_in_order(elapsed_s("created_ts", "accepted_ts")),
        confirm_latency_s=_in_order(elapsed_s("accepted_ts", "confirmed_ts")),
        execution_latency_s=_in_order(elapsed_s("confirmed_ts", "executed_ts")),
    ).with_columns(
        execution_excess_s=_in_order(
            elapsed_s(
                pl.col("confirmed_ts") + pl.duration(seconds=shown_timer_s(settings)),
                pl.col("executed_ts"),
            )
        )
    )


def _in_order(duration_s: pl.Expr) -> pl.Expr:
    """Return *duration_s*, or NULL where the quote's timestamps are out of order."""
    return pl.when("is_monotone").then(duration_s)


def _is_self_quote() -> pl.Expr:
    requester = pl.coalesce("requester_id", "requester_id_last")
    return (pl.col("maker_id") == requester).fill_null(False)
