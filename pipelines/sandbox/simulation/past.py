"""A seeded past for an empty market, and the truth about it, hidden rows and names included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import polars as pl

from pipelines.sandbox.accounts import Account, Party
from pipelines.sandbox.behavior import Behavior
from pipelines.sandbox.clock import to_us
from pipelines.sandbox.history import QUOTE_STATUSES, SIDES, History
from pipelines.sandbox.listings import market_ticker
from pipelines.sandbox.market import Market
from pipelines.sandbox.simulation.chance import Chance
from pipelines.sandbox.simulation.plan import DESK_NUMBER, MAKER_NUMBER, plan_rfqs, plan_trades
from pipelines.sandbox.simulation.quoting import plan_quotes
from pipelines.sandbox.simulation.settling import (
    CANCELLED,
    EXECUTED,
    settle_quotes,
    settle_rfqs,
    settle_trades,
)
from pipelines.sandbox.simulation.shapes import Shape, makers


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


RFQS_PER_SLICE = 100_000


@dataclass(frozen=True, slots=True)
class _Slice:
    rfqs: pl.DataFrame
    quotes: pl.DataFrame


def simulate(
    market: Market,
    *,
    seed: int,
    days: float,
    rfqs_per_day: int,
    until: datetime | None = None,
    shape: Shape | None = None,
) -> Ledger:
    """Fill *market* with *days* of activity that ends at *until*, by default the market's now.

    The accounts `desk` (asks for about 30 % of the RFQs) and `maker` (quotes many of them) are
    added unless there; everybody else is a stranger without a key. Same arguments, same market.
    """
    until = until or market.clock.now()
    shape = shape or Shape()
    count = round(days * rfqs_per_day)
    named = named_parties(market)
    chance = Chance(seed)
    since = until - timedelta(days=days)
    rfqs = plan_rfqs(chance, shape, market.behavior, count, since, until)
    slices = list(_slices(chance, shape, market.behavior, rfqs, to_us(until)))
    rfqs = pl.concat([part.rfqs for part in slices])
    quotes = pl.concat([part.quotes for part in slices]).with_row_index("number")
    # A market that ends at another moment is another market: its rows must not share ids.
    history = History(
        rfqs, quotes, seed + to_us(until), named, market.behavior.rfq_cancellation_reason
    )
    market.install(history, *history.unsettled())
    market.name = f"seed={seed} days={days:g} rfqs_per_day={rfqs_per_day} until={until.isoformat()}"
    return Ledger(history, rfqs, quotes)


def _slices(
    chance: Chance, shape: Shape, behavior: Behavior, rfqs: pl.DataFrame, until_us: int
) -> Iterator[_Slice]:
    """The plan for some RFQs at a time, so that a large market needs little memory at once."""
    quoting_makers = makers(chance.seed, MAKER_NUMBER)
    for offset in range(0, max(1, len(rfqs)), RFQS_PER_SLICE):
        part = rfqs.slice(offset, RFQS_PER_SLICE)
        quotes = plan_quotes(chance, shape, behavior, part, quoting_makers)
        planned = plan_trades(chance, shape, behavior, part, quotes)
        trades = settle_trades(planned, behavior, until_us)
        settled = settle_rfqs(part, trades, until_us)
        yield _Slice(settled, settle_quotes(chance, shape, quotes, settled, trades, until_us))


def named_parties(market: Market) -> dict[int, Party]:
    """The accounts that take part, by their numbers in the plan."""
    return {DESK_NUMBER: _account(market, "desk"), MAKER_NUMBER: _account(market, "maker")}


def _account(market: Market, name: str) -> Account:
    known = {account.name: account for account in market.accounts}
    return known.get(name) or market.add_account(name)
