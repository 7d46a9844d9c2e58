"""What the simulated parties do about visitors, who act with a key of their own.

Makers answer a visitor's RFQ as they would answer any other, and confirm what a visitor accepts or
let it lapse. A requester whose RFQ a visitor quotes gives up its plan and weighs what there is, by
the same rules and the same draws. RFQs that no visitor touches go on as planned.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import count
from typing import Any

import polars as pl

from pipelines.sandbox.accounts import Party, stranger_number
from pipelines.sandbox.book import Book, us
from pipelines.sandbox.listings import nearest_number
from pipelines.sandbox.orders import QuoteOrder
from pipelines.sandbox.refusal import Refused
from pipelines.sandbox.rows import TICKS_PER_DOLLAR, Quote, Rfq, Side
from pipelines.sandbox.simulation.chance import Chance
from pipelines.sandbox.simulation.plan import (
    ATTEMPTS,
    DESK_NUMBER,
    MAKER_NUMBER,
    PAUSE_US,
    US,
    Round,
)
from pipelines.sandbox.simulation.quoting import QUOTE_SCHEMA, fair, plan_quotes
from pipelines.sandbox.simulation.shapes import DECISION_S, Maker, Shape

Planned = dict[str, Any]
"""One row of a plan, by column."""
Key = tuple[int, int, int]
"""Which quote of a plan: the RFQ's number, the maker's, and the version."""

FIRST_VISITOR_NUMBER = 4_000_000_000
# Simulated makers bid at the worst 0.11 dollars less than a contract is worth.
WORST_DOLLARS = 0.15
# How often a requester looks whether what it accepted is through.
RUNNING_US = US


@dataclass
class Case:
    """One RFQ that a visitor made or quoted: its dice, and what its requester has in mind.

    *offers* are rows as the plan of quotes has them, and *quotes* what became of those.
    """

    rfq: Rfq
    chance: Chance
    number: int
    market: int
    natural_end_us: int
    wants_trade: bool = False
    look_us: int = 0
    attempt: int = 0
    offers: list[Planned] = field(default_factory=list)
    quotes: dict[Key, Quote] = field(default_factory=dict)
    used: set[Key] = field(default_factory=set)
    ticket: int = 0
    """Counts what changed the requester's mind: an accept set before that is off."""

    @cached_property
    def fair(self) -> float:
        """What all makers hold a contract for, in dollars."""
        asked = pl.DataFrame({"number": [self.number], "market": [self.market]})
        return float(asked.select(fair(self.chance)).item())

    def draw(self, stream: str) -> float:
        """The number between 0 and 1 that the plan would draw for this RFQ."""
        return self.chance.draw(stream, self.number)


class Counterparties:
    """Told by the market what visitors do; acts on it through the book's timers."""

    def __init__(
        self,
        book: Book,
        shape: Shape,
        chance: Chance,
        makers: list[Maker],
        party: Callable[[int], Party],
    ) -> None:
        self._book = book
        self._shape = shape
        self._chance = chance
        self._makers = {maker.number: maker for maker in makers}
        self._party = party
        self._numbers = {party(number).user_id: number for number in (DESK_NUMBER, MAKER_NUMBER)}
        self._ordinals = count()
        self._planned: dict[str, Callable[[int], Case]] = {}
        self._cases: dict[str, Case] = {}
        self._visitors_rfqs: set[str] = set()
        self._visitors_quotes: set[str] = set()

    def plan(self, rfq: Rfq, case: Callable[[int], Case]) -> None:
        """Note a simulated RFQ; *case* takes it over from its plan at an instant."""
        self._planned[rfq.id] = case

    def forget_closed(self) -> None:
        """Drop what was kept for RFQs that are over."""
        open_ids = {rfq.id for rfq in self._book.rfqs if rfq.status == "open"}
        for kept in (self._planned, self._cases):
            for rfq_id in kept.keys() - open_ids:
                del kept[rfq_id]
        self._visitors_rfqs &= open_ids
        self._visitors_quotes &= {quote.id for quote in self._book.quotes}

    # What visitors did

    def rfq_opened(self, rfq: Rfq, now_us: int) -> None:
        """Let the makers answer, each after its own time."""
        self._visitors_rfqs.add(rfq.id)
        case = self._new_case(rfq)
        asked = pl.DataFrame(
            {
                "number": [case.number],
                "requester": [self._number(rfq.requester) or FIRST_VISITOR_NUMBER],
                "market": [case.market],
                "contracts_hundredths": [rfq.contracts_hundredths],
                "target_cost_ticks": [rfq.target_cost_ticks],
                "created_us": [now_us],
                "natural_end_us": [case.natural_end_us],
            },
            schema_overrides={"number": pl.UInt32, "requester": pl.UInt32},
        )
        makers = list(self._makers.values())
        quotes = plan_quotes(case.chance, self._shape, self._book.behavior, asked, makers)
        for offer in quotes.iter_rows(named=True):
            self._book.timers.set(offer["created_us"], partial(self._create_quote, case, offer))

    def quote_opened(self, quote: Quote, now_us: int) -> None:
        """Let the requester, if it is a simulated one, weigh the quote beside the others."""
        self._visitors_quotes.add(quote.id)
        if not self._is_simulated(quote.rfq):
            return
        case = self._case(quote.rfq, now_us)
        offer = self._visitors_quote(case, quote)
        case.offers.append(offer)
        case.quotes[key_of(offer)] = quote
        if not case.wants_trade and self._is_bargain(case, quote):
            case.wants_trade, case.look_us = True, now_us
        self._weigh(case, now_us)

    def quote_withdrawn(self, quote: Quote, now_us: int) -> None:
        """Let the requester choose again."""
        if self._is_simulated(quote.rfq):
            self._weigh(self._case(quote.rfq, now_us), now_us)

    def quote_accepted(self, quote: Quote, now_us: int) -> None:
        """Let a simulated maker have its last look at what a visitor accepted."""
        number = self._number(quote.maker)
        if number not in self._makers or quote.id in self._visitors_quotes:
            return
        case = self._case(quote.rfq, now_us)
        accepted = pl.LazyFrame(
            {
                "rfq": [case.number],
                "market": [case.market],
                "accepted_us": [now_us],
                "confirm_share": [self._makers[number].confirm_share],
            }
        )
        look = self._round(case).last_look(accepted).collect().row(0, named=True)
        case.attempt += 1
        self._set_confirm(quote, look)
        if self._is_simulated(quote.rfq):
            # Its holder has acted for a simulated requester, who goes on once that has lapsed.
            case.look_us = max(case.look_us, self._lapse_us(quote.rfq, now_us))
            self._weigh(case, now_us)

    # Requesters

    def _weigh(self, case: Case, now_us: int) -> None:
        """Choose what to take and when, as far as can be seen now."""
        case.ticket += 1
        if not case.wants_trade or case.attempt >= ATTEMPTS or case.rfq.status != "open":
            return
        _note_ends(case)
        for look_us in (case.look_us, max(case.look_us, now_us)):
            chosen = self._chosen(case, look_us)
            if chosen is not None and chosen["accepted_us"] > now_us:
                # Kept, so that who quotes again and again cannot put the decision off for ever.
                case.look_us = look_us
                take = partial(self._take, case, case.ticket, chosen)
                self._book.timers.set(chosen["accepted_us"], take)
                return

    def _chosen(self, case: Case, look_us: int) -> Planned | None:
        offers = [offer for offer in case.offers if key_of(offer) not in case.used]
        if not offers:
            return None
        waiting = pl.DataFrame(
            {"rfq": [case.number], "look_us": [look_us]}, schema_overrides={"rfq": pl.UInt32}
        )
        quotes = pl.DataFrame(offers, schema=QUOTE_SCHEMA)
        taken = self._round(case).accepts(waiting, quotes)
        return taken.row(0, named=True) if len(taken) else None

    def _take(self, case: Case, ticket: int, chosen: Planned, now_us: int) -> None:
        if ticket != case.ticket or case.rfq.status != "open":
            return
        if self._book.has_running(case.rfq, now_us):
            self._look_again(case, ticket, now_us)
            return
        side: Side = "yes" if chosen["accepted_side"] == 1 else "no"
        case.used.add(key_of(chosen))
        try:
            quote = case.quotes[key_of(chosen)]
            self._book.accept(quote, side, now_us)
        except (Refused, KeyError):
            # The maker was not allowed to make it, or took it back: on to the next best.
            self._weigh(case, now_us)
            return
        case.attempt += 1
        case.look_us = self._lapse_us(case.rfq, now_us)
        if quote.id not in self._visitors_quotes:
            self._set_confirm(quote, chosen)
        self._book.timers.set(case.look_us, partial(self._look_again, case, ticket))

    def _look_again(self, case: Case, ticket: int, now_us: int) -> None:
        """Once an accept has lapsed or failed; while one still runs, a little later."""
        if ticket != case.ticket or case.rfq.status != "open":
            return
        if self._book.has_running(case.rfq, now_us):
            due_us = now_us + RUNNING_US
            self._book.timers.set(due_us, partial(self._look_again, case, ticket))
            return
        self._weigh(case, now_us)

    def _is_bargain(self, case: Case, quote: Quote) -> bool:
        """Whether one who did not mean to trade does: the price is better than fair."""
        if case.draw("bargain") >= self._shape.bargain_share:
            return False
        if case.draw(f"side {case.attempt}") < self._shape.buy_yes_share:
            return quote.no_bid_ticks / TICKS_PER_DOLLAR > 1 - case.fair
        return quote.yes_bid_ticks / TICKS_PER_DOLLAR > case.fair

    def _visitors_quote(self, case: Case, quote: Quote) -> Planned:
        """The quote as a row of the plan; nobody takes a bid that is far from fair."""
        least = {"yes": case.fair - WORST_DOLLARS, "no": 1 - case.fair - WORST_DOLLARS}
        number = self._number(quote.maker) or FIRST_VISITOR_NUMBER
        return {
            "rfq": case.number,
            "requester": self._number(case.rfq.requester) or FIRST_VISITOR_NUMBER,
            "maker": number,
            # No plan has so many versions of a maker's quote.
            "version": 1_000 + len(case.offers),
            "market": case.market,
            "yes_bid_ticks": _at_least(quote.yes_bid_ticks, least["yes"]),
            "no_bid_ticks": _at_least(quote.no_bid_ticks, least["no"]),
            "created_us": quote.created_us,
            "maker_end_us": None,
            "natural_end_us": case.natural_end_us,
            # Whether the visitor confirms is seen when it does.
            "confirm_share": 0.0,
        }

    def next_look_us(self, rfq: Rfq, trade: Planned) -> int:
        """When the requester of a planned *trade* looks again if that comes to nothing."""
        if trade["has_failed"] and trade["done_us"] is not None:
            return int(trade["done_us"]) + PAUSE_US
        return self._lapse_us(rfq, trade["accepted_us"])

    # Makers

    def _create_quote(self, case: Case, offer: Planned, now_us: int) -> None:
        order = QuoteOrder(offer["yes_bid_ticks"], offer["no_bid_ticks"])
        with suppress(Refused):
            quote = self._book.open_quote(self._party(offer["maker"]), case.rfq, order, now_us)
            if offer["maker_end_us"] is not None:
                self._book.timers.set(offer["maker_end_us"], partial(self._withdraw, quote))

    def _withdraw(self, quote: Quote, now_us: int) -> None:
        if quote.status == "open":
            self._book.cancel_quote(quote, now_us)

    def _set_confirm(self, quote: Quote, look: Planned) -> None:
        if look["confirmed_us"] is not None:
            confirm = partial(self._confirm, quote, look["has_failed"])
            self._book.timers.set(look["confirmed_us"], confirm)

    def _confirm(self, quote: Quote, fails: bool, now_us: int) -> None:
        with suppress(Refused):
            self._book.confirm(quote, now_us)
            if fails:
                self._book.doomed.add(quote.id)

    # Cases

    def _case(self, rfq: Rfq, now_us: int) -> Case:
        if rfq.id not in self._cases:
            planned = self._planned.get(rfq.id)
            case = planned(now_us) if planned else self._found(rfq)
            self._cases[rfq.id] = case
        return self._cases[rfq.id]

    def _new_case(self, rfq: Rfq) -> Case:
        end_us = rfq.created_us + us(self._book.behavior.rfq_lifetime_s)
        case = Case(
            *(rfq, self._chance, next(self._ordinals), nearest_number(rfq.listing.ticker), end_us)
        )
        self._cases[rfq.id] = case
        return case

    def _found(self, rfq: Rfq) -> Case:
        """An RFQ of the past that is still open: its requester has a mind of its own from now."""
        case = self._new_case(rfq)
        is_desk = self._number(rfq.requester) == DESK_NUMBER
        share = self._shape.desk_trade_share if is_desk else self._shape.stranger_trade_share
        case.wants_trade = case.draw("wants") < share
        case.look_us = rfq.created_us + us(DECISION_S.value(case.draw("decision")))
        for quote in self._book.quotes_on(rfq):
            maker = self._makers.get(self._number(quote.maker) or 0)
            if quote.status == "open" and maker and quote.id not in self._visitors_quotes:
                offer = self._visitors_quote(case, quote) | {"confirm_share": maker.confirm_share}
                case.offers.append(offer)
                case.quotes[key_of(offer)] = quote
        return case

    def _is_simulated(self, rfq: Rfq) -> bool:
        """Whether a simulated requester decides on this RFQ, and no visitor."""
        is_known = self._number(rfq.requester) is not None
        return rfq.id in self._planned or (is_known and rfq.id not in self._visitors_rfqs)

    def _number(self, party: Party) -> int | None:
        """The number of a simulated party; None for a visitor."""
        number = self._numbers.get(party.user_id)
        return stranger_number(party.name) if number is None else number

    def _round(self, case: Case) -> Round:
        return Round(case.chance, self._shape, self._book.behavior, case.attempt)

    def _lapse_us(self, rfq: Rfq, accepted_us: int) -> int:
        """When a requester looks again whose accept at *accepted_us* nobody confirms."""
        behavior = self._book.behavior
        is_combo = rfq.listing.is_combo
        window_s = behavior.combo_confirm_window_s if is_combo else behavior.confirm_window_s
        return accepted_us + us(window_s) + PAUSE_US


def _note_ends(case: Case) -> None:
    """Give each offer that was withdrawn meanwhile the instant of that."""
    for offer in case.offers:
        quote = case.quotes.get(key_of(offer))
        if quote is not None and quote.status == "cancelled":
            offer["maker_end_us"] = quote.cancelled_us


def _at_least(bid_ticks: int, least_dollars: float) -> int:
    """The bid, or 0 for one that is not offered to anybody's good."""
    return bid_ticks if bid_ticks / TICKS_PER_DOLLAR >= least_dollars else 0


def key_of(plan: Planned) -> Key:
    """Which quote a row of quotes or trades is about."""
    return plan["rfq"], plan["maker"], plan["version"]
