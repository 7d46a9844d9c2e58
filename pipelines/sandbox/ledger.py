"""The truth about a simulated past, hidden rows and hidden names included."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import polars as pl

from pipelines.sandbox.history import QUOTE_STATUSES, SIDES, History
from pipelines.sandbox.listings import market_ticker
from pipelines.sandbox.settling import CANCELLED, EXECUTED

_US_COLUMNS = ("created_us", "updated_us", "accepted_us", "confirmed_us")


@dataclass(frozen=True)
class Ledger:
    """What really happened. The first two frames are the plan's own columns and cost nothing;
    `rfqs` and `quotes` spell them out with ids and names and are made when first asked for."""

    history: History
    rfq_columns: pl.DataFrame
    quote_columns: pl.DataFrame

    @property
    def rfq_count(self) -> int:
        return len(self.rfq_columns)

    @property
    def quote_count(self) -> int:
        """Quotes that were made, also those that left no row."""
        return len(self.quote_columns)

    @cached_property
    def rfqs(self) -> pl.DataFrame:
        """One row per RFQ: id, requester, market, size, times, and why it closed."""
        numbers = self.rfq_columns["number"]
        cause = (
            pl.when("executed")
            .then(pl.lit("executed"))
            .when("is_deleted")
            .then(pl.lit("deleted"))
            .when("is_closed")
            .then(pl.lit("expired"))
        )
        return self.rfq_columns.select(
            pl.Series("rfq_id", [self.history.rfq_id(number) for number in numbers]),
            self._names("requester_id", self.rfq_columns["requester"]),
            pl.Series("market_ticker", [market_ticker(n) for n in self.rfq_columns["market"]]),
            "executed",
            contracts=_scaled("contracts_hundredths", 2),
            target_cost_dollars=_scaled("target_cost_ticks", 4),
            created_ts=_utc("created_us"),
            closed_ts=_utc("end_us"),
            close_cause=cause,
        )

    @cached_property
    def quotes(self) -> pl.DataFrame:
        """One row per quote: ids, maker, bids, status and times; `is_vanished` left no row."""
        columns = self.quote_columns
        return columns.select(
            pl.Series("quote_id", [self.history.quote_id(number) for number in columns["number"]]),
            pl.Series("rfq_id", [self.history.rfq_id(number) for number in columns["rfq"]]),
            self._names("maker_id", columns["maker"]),
            "is_vanished",
            yes_bid_dollars=_scaled("yes_bid_ticks", 4),
            no_bid_dollars=_scaled("no_bid_ticks", 4),
            status=pl.col("status").replace_strict(dict(enumerate(QUOTE_STATUSES))),
            accepted_side=pl.col("accepted_side").replace_strict(dict(enumerate(SIDES))),
            created_ts=_utc("created_us"),
            updated_ts=_utc("updated_us"),
            accepted_ts=_utc("accepted_us"),
            confirmed_ts=_utc("confirmed_us"),
            executed_ts=pl.when(pl.col("status") == EXECUTED).then(_utc("updated_us")),
            cancelled_ts=pl.when(pl.col("status") == CANCELLED).then(_utc("updated_us")),
        )

    def _names(self, name: str, numbers: pl.Series) -> pl.Series:
        ids = {number: self.history.party(number).communications_id for number in numbers.unique()}
        return pl.Series(name, [ids[number] for number in numbers])


def _scaled(column: str, digits: int) -> pl.Expr:
    return pl.col(column).cast(pl.Decimal(18, digits)) / pl.lit(10**digits)


def _utc(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Datetime("us", "UTC"))
