"""A simulated future: the market goes on by itself while its clock moves.

The same plan as for a simulated past, but carried out action by action under the exchange's
rules. Nothing runs in the background: actions that fell due happen when somebody looks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from pipelines.sandbox.accounts import Party, stranger
from pipelines.sandbox.book import Book
from pipelines.sandbox.clock import from_us, to_us
from pipelines.sandbox.listings import CountedIds, market_ticker
from pipelines.sandbox.market import Market
from pipelines.sandbox.orders import QuoteOrder, RfqOrder
from pipelines.sandbox.refusal import Refused
from pipelines.sandbox.rows import Quote, Rfq, Side
from pipelines.sandbox.simulation.chance import Chance
from pipelines.sandbox.simulation.counterparties import Case, Counterparties, Key, Planned, key_of
from pipelines.sandbox.simulation.past import named_parties
from pipelines.sandbox.simulation.plan import MAKER_NUMBER, plan_rfqs, plan_trades
from pipelines.sandbox.simulation.quoting import plan_quotes
from pipelines.sandbox.simulation.shapes import Shape, makers

PLANNED_AHEAD = timedelta(minutes=10)
# Planning costs 0.1 s however little there is to plan, so days that pass at once are planned so.
ACT_SEEDS = 1_000_003
MOST_PLANNED = timedelta(days=1)


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
    beside their simulated selves. What holders of any key do is answered by `Counterparties`.
    """
    play = PlannedMarket(market, seed, rfqs_per_day, ahead, shape or Shape())
    market.drive(play.start)


class PlannedMarket:
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

    def start(self, book: Book, now_us: int) -> None:
        """Begin to plan, and from now on tell the simulated parties what visitors do."""
        book.new_id = CountedIds(self._seed + now_us)
        quoting = makers(self._seed, MAKER_NUMBER)
        # The acts count from 0 up; what visitors begin is drawn apart from all of them.
        chance = Chance(self._seed - ACT_SEEDS)
        self._others = Counterparties(book, self._shape, chance, quoting, self._party)
        self._market.audience = self._others
        self.begin(book, now_us)

    def begin(self, book: Book, now_us: int) -> None:
        """Plan from *now_us* and set the next planning to where this one ends."""
        self._others.forget_closed()
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
        # Stretch 0 draws as `simulate` would, so a market that has such a past begins with 1.
        chance = Chance(self._seed + self._act * ACT_SEEDS)
        makers_now = makers(self._seed, MAKER_NUMBER)
        rfqs = plan_rfqs(chance, self._shape, book.behavior, count, since, until)
        quotes = plan_quotes(chance, self._shape, book.behavior, rfqs, makers_now)
        trades = plan_trades(chance, self._shape, book.behavior, rfqs, quotes)
        act = PlannedStretch(book, self._party, chance, self._others)
        for rfq in rfqs.iter_rows(named=True):
            act.stage_rfq(rfq)
        for quote in quotes.iter_rows(named=True):
            act.stage_quote(quote)
        for trade in trades.iter_rows(named=True):
            act.stage_trade(trade)

    def _party(self, number: int) -> Party:
        return self._parties.get(number) or stranger(number)


class PlannedStretch:
    """One stretch of the plan, with the real rows its planned ones became.

    An RFQ that a visitor quotes is taken over by *others*: its requester then decides anew.
    """

    def __init__(
        self, book: Book, party: Callable[[int], Party], chance: Chance, others: Counterparties
    ) -> None:
        self._book = book
        self._party = party
        self._chance = chance
        self._others = others
        self._offers: defaultdict[int, list[Planned]] = defaultdict(list)
        self._trades: defaultdict[int, list[Planned]] = defaultdict(list)
        self._taken_over: set[int] = set()
        self._made: set[Key] = set()
        """The accepts that were made: another one on the same quote has its own last look."""
        self._rfqs: dict[int, Rfq] = {}
        self._quotes: dict[Key, Quote] = {}

    def stage_rfq(self, plan: Planned) -> None:
        self._set(plan["created_us"], self._create_rfq, plan)
        if plan["is_deleted"]:
            self._set(plan["natural_end_us"], self._delete, plan)

    def stage_quote(self, plan: Planned) -> None:
        self._offers[plan["rfq"]].append(plan)
        self._set(plan["created_us"], self._create_quote, plan)
        if plan["maker_end_us"] is not None:
            self._set(plan["maker_end_us"], self._withdraw, plan)

    def stage_trade(self, plan: Planned) -> None:
        self._trades[plan["rfq"]].append(plan)
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

    def _create_rfq(self, plan: Planned, now_us: int) -> None:
        order = RfqOrder(
            market_ticker(plan["market"]),
            plan["contracts_hundredths"],
            plan["target_cost_ticks"],
            plan["excludes_fees"],
            plan["obscured"],
        )
        requester = self._party(plan["requester"])
        rfq = self._book.open_rfq(requester, order, True, now_us)
        self._rfqs[plan["number"]] = rfq
        # Kept with the RFQ alone from here on, so that they go when it is over.
        offers, trades = (rows.pop(plan["number"], []) for rows in (self._offers, self._trades))
        self._others.plan(rfq, partial(self._take_over, rfq, plan, offers, trades))

    def _take_over(
        self, rfq: Rfq, plan: Planned, offers: list[Planned], trades: list[Planned], now_us: int
    ) -> Case:
        """The RFQ as the plan has carried it out by *now_us*; its accepts to come are off."""
        number = plan["number"]
        self._taken_over.add(number)
        made = [trade for trade in trades if trade["accepted_us"] <= now_us]
        look_us = plan["decide_us"] or 0
        for trade in made:
            look_us = self._others.next_look_us(rfq, trade)
        return Case(
            *(rfq, self._chance, number, plan["market"], plan["natural_end_us"]),
            wants_trade=plan["wants_trade"],
            look_us=look_us,
            attempt=len(made),
            offers=offers,
            quotes=self._quotes,
            used={key_of(trade) for trade in made},
        )

    def _delete(self, plan: Planned, now_us: int) -> None:
        self._book.delete_rfq(self._rfqs[plan["number"]], now_us)

    def _create_quote(self, plan: Planned, now_us: int) -> None:
        order = QuoteOrder(plan["yes_bid_ticks"], plan["no_bid_ticks"])
        rfq, maker = self._rfqs[plan["rfq"]], self._party(plan["maker"])
        self._quotes[key_of(plan)] = self._book.open_quote(maker, rfq, order, now_us)

    def _withdraw(self, plan: Planned, now_us: int) -> None:
        quote = self._quotes[key_of(plan)]
        if quote.status == "open":
            self._book.cancel_quote(quote, now_us)

    def _accept(self, plan: Planned, now_us: int) -> None:
        if plan["rfq"] in self._taken_over:
            return
        side: Side = "yes" if plan["accepted_side"] == 1 else "no"
        self._book.accept(self._quotes[key_of(plan)], side, now_us)
        self._made.add(key_of(plan))

    def _confirm(self, plan: Planned, now_us: int) -> None:
        if key_of(plan) not in self._made:
            return
        quote = self._quotes[key_of(plan)]
        self._book.confirm(quote, now_us)
        if plan["has_failed"]:
            self._book.doomed.add(quote.id)
