"""Where the plan has got to at a given instant: the state of every RFQ and quote it has touched."""

from __future__ import annotations

import polars as pl

from pipelines.sandbox.behavior import Behavior
from pipelines.sandbox.simulation.chance import Chance
from pipelines.sandbox.simulation.plan import US
from pipelines.sandbox.simulation.shapes import Shape

OPEN, ACCEPTED, CONFIRMED, EXECUTED, CANCELLED = range(5)
"""Places in `history.QUOTE_STATUSES`."""


def settle_trades(trades: pl.DataFrame, behavior: Behavior, until_us: int) -> pl.DataFrame:
    """The accepts made by then, with `status` and whether they `is_settled` for good."""
    window_us = (
        pl.when(pl.col("market") < 0)
        .then(round(behavior.confirm_window_s * US))
        .otherwise(round(behavior.combo_confirm_window_s * US))
    )
    is_done = pl.col("done_us") <= until_us
    is_over = pl.col("accepted_us") + window_us < until_us
    # A row whose confirm is planned for later is still waiting, whatever the plan knows.
    confirmed_us = pl.when(pl.col("confirmed_us") <= until_us).then("confirmed_us")
    return (
        trades.filter(pl.col("accepted_us") <= until_us)
        .with_columns(confirmed_us=confirmed_us, done_us=pl.when(is_done).then("done_us"))
        .with_columns(status=_trade_status(), is_settled=_is_trade_settled(is_over))
        .drop("market", "natural_end_us", "has_failed")
    )


def _trade_status() -> pl.Expr:
    is_done = pl.col("done_us").is_not_null()
    done = pl.when("has_failed").then(CANCELLED).otherwise(EXECUTED)
    waiting = pl.when(pl.col("confirmed_us").is_null()).then(ACCEPTED).otherwise(CONFIRMED)
    return pl.when(is_done).then(done).otherwise(waiting).cast(pl.UInt8)


def _is_trade_settled(is_over: pl.Expr) -> pl.Expr:
    is_done = pl.col("done_us").is_not_null()
    return is_done | (pl.col("confirmed_us").is_null() & is_over)


def settle_rfqs(rfqs: pl.DataFrame, trades: pl.DataFrame, until_us: int) -> pl.DataFrame:
    """RFQs with the state that `History` serves; `end_us` is null while open."""
    executions = trades.filter(pl.col("status") == EXECUTED).select(
        number="rfq", executed_us="done_us"
    )
    is_executed = pl.col("executed_us").is_not_null()
    end_us = pl.coalesce("executed_us", "natural_end_us")
    return (
        rfqs.join(executions, on="number", how="left", validate="1:1", maintain_order="left")
        .with_columns(end_us=pl.when(end_us <= until_us).then(end_us), executed=is_executed)
        .with_columns(is_closed=pl.col("end_us").is_not_null())
        .with_columns(is_deleted=pl.col("is_deleted") & pl.col("is_closed") & ~is_executed)
        .select(
            *("number", "requester", "market", "excludes_fees", "obscured", "created_us"),
            *("end_us", "executed", "is_closed", "is_deleted"),
            pl.col("contracts_hundredths", "target_cost_ticks").cast(pl.Int32),
            updated_us=pl.coalesce("end_us", "created_us"),
            cancelled_us=pl.when("is_deleted").then("end_us"),
            is_settled="is_closed",
            is_listed="is_closed",
            is_durable=pl.lit(False),
        )
    )


def settle_quotes(
    chance: Chance,
    shape: Shape,
    quotes: pl.DataFrame,
    rfqs: pl.DataFrame,
    trades: pl.DataFrame,
    until_us: int,
) -> pl.DataFrame:
    """Quotes made by then, with the state that `History` serves."""
    vanishes = chance.uniform("vanish", pl.col("rfq")) < shape.vanished_share
    ends = rfqs.select(rfq="number", rfq_end_us="end_us", is_rfq_deleted="is_deleted")
    return (
        quotes.lazy()
        .join(ends.lazy(), on="rfq", validate="m:1")
        .filter(
            pl.col("created_us") <= until_us,
            pl.col("rfq_end_us").is_null() | (pl.col("created_us") < pl.col("rfq_end_us")),
        )
        .join(trades.lazy(), on=["rfq", "maker", "version"], how="left", validate="1:1")
        .with_columns(own_end_us=pl.min_horizontal("maker_end_us", "rfq_end_us"))
        .with_columns(own_end_us=pl.when(pl.col("own_end_us") <= until_us).then("own_end_us"))
        .with_columns(status=_status(), updated_us=_updated_us())
        .with_columns(
            is_vanished=(pl.col("status") == CANCELLED)
            & pl.col("accepted_us").is_null()
            & pl.col("is_rfq_deleted")
            & (pl.col("own_end_us") == pl.col("rfq_end_us"))
            & vanishes,
            is_settled=pl.col("is_settled").fill_null(pl.col("status") == CANCELLED),
        )
        .sort("rfq", "created_us", "maker", "version")
        .select(
            *("rfq", "requester", "maker", "version", "yes_bid_ticks", "no_bid_ticks", "status"),
            *("created_us", "updated_us", "accepted_us", "confirmed_us"),
            *("is_settled", "is_vanished"),
            accepted_side=pl.col("accepted_side").fill_null(0),
            is_listed=pl.col("is_settled") & ~pl.col("is_vanished"),
            is_durable=pl.col("status").is_in([ACCEPTED, EXECUTED]),
        )
        .collect()
    )


def _status() -> pl.Expr:
    is_over = pl.col("own_end_us").is_not_null()
    untouched = pl.when(is_over).then(CANCELLED).otherwise(OPEN).cast(pl.UInt8)
    return pl.col("status").fill_null(untouched)


def _updated_us() -> pl.Expr:
    touched_us = pl.coalesce("done_us", "confirmed_us", "accepted_us")
    return pl.coalesce(touched_us, "own_end_us", "created_us")
