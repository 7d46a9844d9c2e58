"""A simulated future: the market goes on by itself while its clock moves.

The same plan as for a simulated past, but carried out action by action under the exchange's
rules. Nothing runs in the background: actions that fell due happen when somebody looks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pipelines.sandbox.book import Book
from pipelines.sandbox.chance import Chance
from pipelines.sandbox.clock import from_us, to_us
from pipelines.sandbox.listings import market_ticker
from pipelines.sandbox.market import Market
from pipelines.sandbox.orders import QuoteOrder, RfqOrder
from pipelines.sandbox.parties import Party, stranger
from pipelines.sandbox.planning import MAKER_NUMBER, plan_rfqs
from pipelines.sandbox.quoting import plan_quotes
from pipelines.sandbox.refusal import Refused
from pipelines.sandbox.rows import Quote, Rfq, Side
from pipelines.sandbox.shapes import Shape, makers
from pipelines.sandbox.simulate import named_parties
from pipelines.sandbox.trading import plan_trades

PLANNED_AHEAD = timedelta(minutes=10)
# Planning costs 0.1 s however little there is to plan, so days that pass at once are planned so.
MOST_PLANNED = timedelta(days=1)

Planned = dict[str, Any]


def unfold(
    market: Market,
    *,
    seed: int,
    rfqs_per_day: float,
    ahead: timedelta = PLANNED_AHEAD,
    shape: Shape | None = None,
) -> None:
    """Let requesters and makers act on *market* from now on, at *rfqs_per_day* of its clock.

    Makers with the same *seed* behave as in a simulated past, and what they meet is new. The
    accounts `desk` and `maker` take part and are added unless there; their holders may act
    beside their simulated selves.
    """
    play = Play(market, seed, rfqs_per_day, ahead, shape or Shape())
    market.drive(play.begin)


class Play:
    """Plans some minutes ahead, again and again, and acts out what was planned."""

    def __init__(
        self, market: Market, seed: int, rfqs_per_day: float, ahead: timedelta, shape: Shape
    ) -> None:
        self._market = market
        self._parties = named_parties(market)
        self._seed = seed
        self._rfqs_per_day = rfqs_per_day
        self._ahead = ahead
        self._shape = shape
        self._act = int(market.has_past)
        self._owed = 0.0

    def begin(self, book: Book, now_us: int) -> None:
        """Plan from *now_us* and set the next planning to where this one ends."""
        since = from_us(now_us)
        leap = timedelta(microseconds=self._market.leapt_to_us - now_us)
        ahead = max(self._ahead, min(leap, MOST_PLANNED))
        until = since + ahead
        self._owed += self._rfqs_per_day * (ahead / timedelta(days=1))
        count, self._owed = int(self._owed), self._owed % 1
        if count:
            self._plan(book, count, since, until)
        self._act += 1
        book.timers.set(to_us(until), partial(self.begin, book))

    def _plan(self, book: Book, count: int, since: datetime, until: datetime) -> None:
        # Act 0 draws as `simulate` would, so a market that has such a past begins with act 1.
        chance = Chance(self._seed + self._act * 1_000_003)
        makers_now = makers(self._seed, MAKER_NUMBER)
        rfqs = plan_rfqs(chance, self._shape, book.behavior, count, since, until)
        quotes = plan_quotes(chance, self._shape, book.behavior, rfqs, makers_now)
        trades = plan_trades(chance, self._shape, book.behavior, rfqs, quotes)
        act = Act(book, self._party)
        for rfq in rfqs.iter_rows(named=True):
            act.stage_rfq(rfq)
        for quote in quotes.iter_rows(named=True):
            act.stage_quote(quote)
        for trade in trades.iter_rows(named=True):
            act.stage_trade(trade)

    def _party(self, number: int) -> Party:
        return self._parties.get(number) or stranger(number)


class Act:
    """One stretch of the plan, with the real rows its planned ones became."""

    def __init__(self, book: Book, party: Callable[[int], Party]) -> None:
        self._book = book
        self._party = party
        self._rfqs: dict[int, Rfq] = {}
        self._quotes: dict[tuple[int, int, int], Quote] = {}

    def stage_rfq(self, plan: Planned) -> None:
        self._set(plan["created_us"], self._ask, plan)
        if plan["is_deleted"]:
            self._set(plan["natural_end_us"], self._delete, plan)

    def stage_quote(self, plan: Planned) -> None:
        self._set(plan["created_us"], self._offer, plan)
        if plan["maker_end_us"] is not None:
            self._set(plan["maker_end_us"], self._withdraw, plan)

    def stage_trade(self, plan: Planned) -> None:
        self._set(plan["accepted_us"], self._accept, plan)
        if plan["confirmed_us"] is not None:
            self._set(plan["confirmed_us"], self._confirm, plan)

    def _set(self, due_us: int, act: Callable[[Planned, int], None], plan: Planned) -> None:
        self._book.timers.set(due_us, partial(self._perform, act, plan))

    def _perform(self, act: Callable[[Planned, int], None], plan: Planned, now_us: int) -> None:
        # Somebody with a key may have changed what this was planned on; then it just fails,
        # as any other participant's call would.
        with suppress(Refused, KeyError):
            act(plan, now_us)

    def _ask(self, plan: Planned, now_us: int) -> None:
        order = RfqOrder(
            market_ticker(plan["market"]),
            plan["contracts_hundredths"],
            plan["target_cost_ticks"],
            plan["excludes_fees"],
            plan["obscured"],
        )
        requester = self._party(plan["requester"])
        self._rfqs[plan["number"]] = self._book.open_rfq(requester, order, True, now_us)

    def _delete(self, plan: Planned, now_us: int) -> None:
        self._book.delete_rfq(self._rfqs[plan["number"]], now_us)

    def _offer(self, plan: Planned, now_us: int) -> None:
        order = QuoteOrder(plan["yes_bid_ticks"], plan["no_bid_ticks"])
        rfq, maker = self._rfqs[plan["rfq"]], self._party(plan["maker"])
        self._quotes[_key(plan)] = self._book.open_quote(maker, rfq, order, now_us)

    def _withdraw(self, plan: Planned, now_us: int) -> None:
        quote = self._quotes[_key(plan)]
        if quote.status == "open":
            self._book.cancel_quote(quote, now_us)

    def _accept(self, plan: Planned, now_us: int) -> None:
        side: Side = "yes" if plan["accepted_side"] == 1 else "no"
        self._book.accept(self._quotes[_key(plan)], side, now_us)

    def _confirm(self, plan: Planned, now_us: int) -> None:
        quote = self._quotes[_key(plan)]
        self._book.confirm(quote, now_us)
        if plan["has_failed"]:
            self._book.doomed.add(quote.id)


def _key(plan: Planned) -> tuple[int, int, int]:
    return plan["rfq"], plan["maker"], plan["version"]
