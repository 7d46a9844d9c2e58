"""The maker's last look: how long it has to confirm, how long the exchange then waits, and what
became of each accept. A lapsed accept keeps the status `accepted` forever, so only the clock tells.
"""

from datetime import datetime

import polars as pl

from transforms.definitions.partition import MARKET_DAY
from transforms.definitions.units import duration, elapsed_s
from transforms.settings import Settings

STANDARD_CONFIRM_S, STANDARD_TIMER_S = 30, 15
FAST_CONFIRM_S, FAST_TIMER_S = 3, 1
# An execution comes no earlier than its timer, so one nearer to 1 s than to 15 s speaks for the
# fast timer. The exchange does not list its fast markets; every combo is one.
FAST_EXECUTION_BELOW_S = (FAST_TIMER_S + STANDARD_TIMER_S) / 2
STUCK_AFTER_S = 5


def fast_markets(
    quoted_markets: pl.LazyFrame, quotes: pl.LazyFrame, settings: Settings
) -> pl.LazyFrame:
    """Tell the markets whose window or timer was fast, by what they showed on a UTC day.

    Each is fast where an execution came early and nothing of its own speaks against it. Windows
    change over time, so a day speaks for itself alone. *quoted_markets* places each RFQ.

    One row per cohort_date and market_ticker with a fast execution.
    """
    seen = quotes.drop("market_ticker").join(quoted_markets, on="rfq_id", validate="m:1")
    return (
        seen.group_by(MARKET_DAY)
        .agg(**_evidence(settings))
        .filter("is_seen_fast")
        .select(
            *MARKET_DAY,
            is_window_fast=~pl.col("is_window_seen_slow").fill_null(False),
            is_timer_fast=~pl.col("is_timer_seen_slow").fill_null(False),
        )
        .sort(MARKET_DAY)
    )


def with_windows(rfqs: pl.LazyFrame, fast_markets: pl.LazyFrame) -> pl.LazyFrame:
    """Add the confirm window and the execution timer of each RFQ, in whole seconds.

    Every combo is fast.
    """
    is_fast = {
        name: pl.col("is_combo") | pl.col(name).fill_null(False)
        for name in ("is_window_fast", "is_timer_fast")
    }
    return (
        rfqs.join(fast_markets, on=MARKET_DAY, how="left", validate="m:1")
        .with_columns(**is_fast)
        .with_columns(**_windows())
    )


def _evidence(settings: Settings) -> dict[str, pl.Expr]:
    return {
        "is_seen_fast": waited_s().is_between(0, FAST_EXECUTION_BELOW_S, closed="left").any(),
        "is_window_seen_slow": is_confirmed_slowly(settings).any(),
        "is_timer_seen_slow": is_executed_slowly().any(),
    }


def waited_s() -> pl.Expr:
    """Return the seconds from confirmation to execution."""
    return elapsed_s("confirmed_ts", "executed_ts")


def is_against_fast(settings: Settings) -> pl.Expr:
    """Return whether the quote took longer than a fast market allows."""
    return (is_confirmed_slowly(settings) | is_executed_slowly()).fill_null(False)


def is_confirmed_slowly(settings: Settings) -> pl.Expr:
    """Return whether the confirmation came after the fast window was over."""
    return elapsed_s("accepted_ts", "confirmed_ts") > FAST_CONFIRM_S + settings.skew_tol_s


def is_executed_slowly() -> pl.Expr:
    """Return whether the execution came too late for the fast timer."""
    return waited_s() >= FAST_EXECUTION_BELOW_S


def _windows() -> dict[str, pl.Expr]:
    window = pl.when("is_window_fast").then(FAST_CONFIRM_S).otherwise(STANDARD_CONFIRM_S)
    timer = pl.when("is_timer_fast").then(FAST_TIMER_S).otherwise(STANDARD_TIMER_S)
    return {"confirm_window_s": window, "execution_timer_s": timer}


def shown_timer_s(settings: Settings) -> pl.Expr:
    """Return the timer that an execution's own latency shows, in whole seconds."""
    is_standard = waited_s() >= STANDARD_TIMER_S - settings.skew_tol_s
    return pl.when(is_standard).then(STANDARD_TIMER_S).otherwise(FAST_TIMER_S)


def has_accept() -> pl.Expr:
    """Return whether the requester accepted; a later stage implies it."""
    return _reached("accepted_ts", "confirmed_ts", "executed_ts")


def has_confirm() -> pl.Expr:
    """Return whether the maker confirmed; an execution implies it."""
    return _reached("confirmed_ts", "executed_ts")


def accept_ts() -> pl.Expr:
    """Return when the requester accepted; where only a later stage is dated, by then."""
    return pl.coalesce("accepted_ts", "confirmed_ts", "executed_ts")


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
