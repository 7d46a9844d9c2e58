"""A seeded past for an empty market: days of requests, quotes and trades in seconds.

The plan is made in columns. Rows that are over become the market's history; rows that can still
change at the end of the plan become live ones, under the same rules as any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from pipelines.sandbox.behavior import Behavior
from pipelines.sandbox.chance import Chance
from pipelines.sandbox.clock import to_us
from pipelines.sandbox.history import History
from pipelines.sandbox.ledger import Ledger
from pipelines.sandbox.market import Market
from pipelines.sandbox.parties import Account, Party
from pipelines.sandbox.planning import DESK_NUMBER, MAKER_NUMBER, plan_rfqs
from pipelines.sandbox.quoting import plan_quotes
from pipelines.sandbox.settling import settle_quotes, settle_rfqs, settle_trades
from pipelines.sandbox.shapes import Shape, makers
from pipelines.sandbox.trading import plan_trades

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
