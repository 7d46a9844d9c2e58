"""The maker's last look: how long it has to confirm, how long the exchange then waits, and what
became of each accept. A lapsed accept keeps the status `accepted` forever, so only the clock tells.
"""

from datetime import datetime

import polars as pl

from transforms.units import duration, elapsed_s

STANDARD_CONFIRM_S, STANDARD_TIMER_S = 30, 15
FAST_CONFIRM_S, FAST_TIMER_S = 3, 1
# An execution comes no earlier than its timer, so one nearer to 1 s than to 15 s proves the
# fast timer. The exchange does not list its fast markets; every combo is one.
FAST_EXECUTION_BELOW_S = (FAST_TIMER_S + STANDARD_TIMER_S) / 2
STUCK_AFTER_S = 5


def infer_fast_markets(rfqs: pl.LazyFrame, quotes: pl.LazyFrame) -> pl.LazyFrame:
    """Add `is_fast`: a combo, or a market seen executing on the fast timer that UTC day.

    Windows change over time, so a day speaks for itself alone.
    """
    waited_s = elapsed_s("confirmed_ts", "executed_ts")
    seen_fast = (
        quotes.filter(waited_s.is_between(0, FAST_EXECUTION_BELOW_S, closed="left"))
        .join(rfqs.select("rfq_id", "cohort_date", rfq_market="market_ticker"), on="rfq_id")
        .select("cohort_date", market_ticker="rfq_market", seen_fast=pl.lit(True))
        .unique()
    )
    return rfqs.join(
        seen_fast, on=["cohort_date", "market_ticker"], how="left", validate="m:1"
    ).with_columns(is_fast=pl.col("is_combo") | pl.col("seen_fast").fill_null(False))


def windows() -> dict[str, pl.Expr]:
    """Return the confirm window and the execution timer of each RFQ, in whole seconds."""
    is_fast = pl.col("is_fast")
    return {
        "confirm_window_s": pl.when(is_fast).then(FAST_CONFIRM_S).otherwise(STANDARD_CONFIRM_S),
        "execution_timer_s": pl.when(is_fast).then(FAST_TIMER_S).otherwise(STANDARD_TIMER_S),
    }


def has_accept() -> pl.Expr:
    """Return whether the requester accepted; a later stage implies it."""
    return _reached("accepted_ts", "confirmed_ts", "executed_ts")


def has_confirm() -> pl.Expr:
    """Return whether the maker confirmed; an execution implies it."""
    return _reached("confirmed_ts", "executed_ts")


def is_accept_pending(as_of: datetime) -> pl.Expr:
    """Return whether the maker may still confirm: until accepted_ts + window, inclusive."""
    deadline = pl.col("accepted_ts") + pl.duration(seconds="confirm_window_s")
    is_unresolved = ~has_confirm() & pl.col("cancelled_ts").is_null()
    return has_accept() & is_unresolved & (as_of <= deadline)


def is_lapsed() -> pl.Expr:
    """Return whether the accept ended without a confirmation."""
    return pl.col("has_accept") & ~has_confirm() & ~pl.col("is_accept_pending")


def is_awaiting_execution() -> pl.Expr:
    """Return whether the quote is confirmed and neither executed nor cancelled."""
    is_over = _reached("executed_ts", "cancelled_ts")
    return pl.col("confirmed_ts").is_not_null() & ~is_over


def is_confirmed_stuck(as_of: datetime) -> pl.Expr:
    """Return whether an execution is more than 5 s overdue: an anomaly, not a lapse."""
    due = pl.col("confirmed_ts") + pl.duration(seconds="execution_timer_s")
    overdue = as_of > due + duration(STUCK_AFTER_S)
    return is_awaiting_execution() & overdue


def is_monotone() -> pl.Expr:
    """Return whether the lifecycle timestamps are in order, as far as they are there."""
    chain = ("created_ts", "accepted_ts", "confirmed_ts", "executed_ts")
    steps = [
        pl.col(later) >= pl.max_horizontal(*chain[:position])
        for position, later in enumerate(chain)
        if position
    ]
    return pl.all_horizontal(*(step.fill_null(True) for step in steps))


def _reached(*stages: str) -> pl.Expr:
    return pl.any_horizontal(*(pl.col(stage).is_not_null() for stage in stages))
