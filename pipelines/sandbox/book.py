"""The rules of the exchange over the rows that can still change, and what is due when.

Nothing runs in the background: whoever looks at the market first has everything carried out that
fell due. Times are microseconds. One event is noted per transition.
"""

from __future__ import annotations

import heapq
import itertools
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal, Self

from pipelines.sandbox.accounts import Party
from pipelines.sandbox.behavior import Behavior
from pipelines.sandbox.faults import Faults
from pipelines.sandbox.listing_pages import LiveRows
from pipelines.sandbox.listings import listing
from pipelines.sandbox.orders import QuoteOrder, RfqOrder, check_quote, check_rfq
from pipelines.sandbox.refusal import Refused, invalid, not_found
from pipelines.sandbox.rows import HUNDREDTHS_PER_CONTRACT, TICKS_PER_DOLLAR, Quote, Rfq, Side


def us(seconds: float) -> int:
    return round(seconds * 1_000_000)


def last_look_end_us(quote: Quote, behavior: Behavior) -> int:
    """The last instant at which the maker of an accepted quote can confirm."""
    is_combo = quote.rfq.listing.is_combo
    window_s = behavior.combo_confirm_window_s if is_combo else behavior.confirm_window_s
    return (quote.accepted_us or 0) + us(window_s)


def execution_due_us(quote: Quote, behavior: Behavior) -> int:
    """When a confirmed quote executes."""
    is_combo = quote.rfq.listing.is_combo
    delay_s = behavior.combo_execution_delay_s if is_combo else behavior.execution_delay_s
    return (quote.confirmed_us or 0) + us(delay_s)


def is_running(quote: Quote, behavior: Behavior, now_us: int) -> bool:
    """Whether an accept still awaits its confirm, or a confirm its execution."""
    if quote.status == "accepted":
        return now_us <= last_look_end_us(quote, behavior)
    return quote.status == "confirmed"


def check_takes_quotes(rfq: Rfq, behavior: Behavior, now_us: int) -> None:
    """409 unless the RFQ is open and, on a combo, its quote window is."""
    if rfq.status != "open":
        raise Refused(409, "rfq_closed", "rfq closed")
    if behavior.quote_window_s is None or not rfq.listing.is_combo:
        return
    late_us = now_us - rfq.created_us - us(behavior.quote_window_s)
    if late_us > us(behavior.quote_timeout_s):
        raise Refused(409, "rfq_closed", "rfq closed")
    if late_us > 0:
        raise Refused(409, "quote_timed_out", "quote timed out")


Action = Callable[[int], None]
"""Called with the instant it was due, in microseconds."""


class Timers:
    """Actions by due time; equal times in the order they were set."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, Action]] = []
        self._ticket = itertools.count()

    def set(self, due_us: int, action: Action) -> None:
        heapq.heappush(self._due, (due_us, next(self._ticket), action))

    def run_until(self, now_us: int) -> None:
        """Run what is due, including what those actions set."""
        while self._due and self._due[0][0] <= now_us:
            due_us, _, action = heapq.heappop(self._due)
            action(due_us)


def check_balance(
    user_id: str, cost_ticks: int, quotes: Iterable[Quote], behavior: Behavior, now_us: int
) -> None:
    """400 unless what is left to the account covers *cost_ticks*.

    Left is the balance minus price times size of every trade that runs or has executed. Nothing
    settles in the sandbox, so money that was spent does not come back.
    """
    if behavior.balance_dollars is None:
        return
    spent_ticks = sum(
        _share_ticks(quote, user_id)
        for quote in quotes
        if quote.status == "executed" or is_running(quote, behavior, now_us)
    )
    if spent_ticks + cost_ticks > round(behavior.balance_dollars * TICKS_PER_DOLLAR):
        raise Refused(400, "insufficient_balance", "insufficient balance")


def quote_cost_ticks(quote: Quote) -> int:
    """What the maker pays if the dearer side of the quote is taken."""
    return max(_maker_ticks(quote, quote.yes_bid_ticks), _maker_ticks(quote, quote.no_bid_ticks))


def accept_cost_ticks(quote: Quote, bid_ticks: int) -> int:
    """What the requester pays who takes *bid*: one minus it for each contract."""
    price_ticks = TICKS_PER_DOLLAR - bid_ticks
    return -(-price_ticks * quote.size_hundredths(bid_ticks) // HUNDREDTHS_PER_CONTRACT)


def _maker_ticks(quote: Quote, bid_ticks: int) -> int:
    return -(-bid_ticks * quote.size_hundredths(bid_ticks) // HUNDREDTHS_PER_CONTRACT)


def _share_ticks(quote: Quote, user_id: str) -> int:
    bid_ticks = quote.bid_ticks(quote.accepted_side or "yes")
    if quote.maker.user_id == user_id:
        return _maker_ticks(quote, bid_ticks)
    if quote.rfq.requester.user_id == user_id:
        return accept_cost_ticks(quote, bid_ticks)
    return 0


@dataclass(frozen=True, slots=True)
class Event:
    """One transition as it happened, whoever may see it.

    `party_id` is the communications id of the quote's maker, or else of the RFQ's requester.
    """

    at_us: int
    kind: str
    rfq_id: str
    quote_id: str | None
    party_id: str

    @classmethod
    def of(cls, at_us: int, kind: str, row: Rfq | Quote) -> Self:
        if isinstance(row, Rfq):
            return cls(at_us, kind, row.id, None, row.requester.communications_id)
        return cls(at_us, kind, row.rfq.id, row.id, row.maker.communications_id)


EXECUTION_FAILED = "execution failed"

Observer = Callable[[int, str, Rfq | Quote], None]
"""Told of every transition: when (microseconds), what, and the row after it."""


class Book:
    """Live RFQs and quotes and everything that may happen to them. Times are microseconds."""

    def __init__(self, behavior: Behavior, faults: Faults, observer: Observer) -> None:
        self.behavior = behavior
        self.faults = faults
        self.rfqs: LiveRows[Rfq] = LiveRows()
        self.quotes: LiveRows[Quote] = LiveRows()
        self.timers = Timers()
        self.new_id: Callable[[str], str] = lambda _kind: str(uuid.uuid4())
        """Makes the id of a new row of a kind, "rfq" or "quote"."""
        self.doomed: set[str] = set()
        """Ids of confirmed quotes whose execution will fail."""
        self._quotes_on: defaultdict[str, list[Quote]] = defaultdict(list)
        self._open: defaultdict[str, dict[str, Rfq]] = defaultdict(dict)
        self._observe = observer

    def open_rfq(self, requester: Party, order: RfqOrder, replace: bool, now_us: int) -> Rfq:
        check_rfq(order)
        market = listing(order.market_ticker)
        own = self._open[requester.user_id]
        same_market = [rfq for rfq in own.values() if rfq.listing.ticker == market.ticker]
        if same_market and not replace:
            raise Refused(409, "already_exists", "already exists")
        if len(own) - len(same_market) >= self.behavior.max_open_rfqs:
            raise Refused(409, "too_many_open_rfqs", "too many open rfqs")
        for rfq in same_market:
            self.close_rfq(rfq, now_us, "deleted")
        rfq = Rfq(
            id=self.new_id("rfq"),
            requester=requester,
            listing=market,
            contracts_hundredths=order.contracts_hundredths,
            target_cost_ticks=order.target_cost_ticks,
            created_us=now_us,
            updated_us=now_us,
            excludes_fees=order.excludes_fees,
            obscured=order.obscured,
            rest_remainder=order.rest_remainder,
            subaccount=order.subaccount,
        )
        self.adopt([rfq], [])
        self._observe(now_us, "rfq_created", rfq)
        return rfq

    def adopt(self, rfqs: list[Rfq], quotes: list[Quote]) -> None:
        """Take over rows in whatever state they are and set what is due on them."""
        self.rfqs.extend(rfqs)
        self.quotes.extend(quotes)
        for rfq in rfqs:
            if rfq.status == "open":
                self._open[rfq.requester.user_id][rfq.id] = rfq
                due_us = rfq.created_us + us(self.behavior.rfq_lifetime_s)
                self.timers.set(due_us, partial(self._expire, rfq))
        for quote in quotes:
            self._quotes_on[quote.rfq.id].append(quote)
            if quote.status == "confirmed":
                self._set_execution(quote)

    def delete_rfq(self, rfq: Rfq, now_us: int) -> None:
        if rfq.status != "open":
            raise not_found()
        if any(quote.status == "confirmed" for quote in self._quotes_on[rfq.id]):
            raise invalid("a quote of this rfq is confirmed and executes")
        self.close_rfq(rfq, now_us, "deleted")

    def close_rfq(
        self, rfq: Rfq, now_us: int, cause: Literal["deleted", "expired", "executed"]
    ) -> None:
        rfq.status = "closed"
        rfq.executed = rfq.executed or cause == "executed"
        if cause == "deleted":
            rfq.cancelled_us = now_us
            rfq.cancellation_reason = self.behavior.rfq_cancellation_reason
        self._open[rfq.requester.user_id].pop(rfq.id, None)
        self.rfqs.touch(rfq, now_us)
        self._observe(now_us, f"rfq_{cause}", rfq)
        self.timers.set(now_us + us(self.behavior.retention_s), partial(self._purge_rfq, rfq))
        fate = self.behavior.quotes_of_closed_rfq
        if cause == "deleted":
            fate = self.behavior.quotes_of_deleted_rfq
        for quote in [quote for quote in self._quotes_on[rfq.id] if quote.status == "open"]:
            self.cancel_quote(quote, now_us)
            if fate == "vanish":
                self._forget_quote(quote)

    def open_quote(self, maker: Party, rfq: Rfq, order: QuoteOrder, now_us: int) -> Quote:
        check_quote(order, rfq.listing, self.behavior.enforce_price_grid)
        if rfq.requester.user_id == maker.user_id:
            raise invalid("cannot quote your own rfq")
        check_takes_quotes(rfq, self.behavior, now_us)
        quote = Quote(
            id=self.new_id("quote"),
            rfq=rfq,
            maker=maker,
            yes_bid_ticks=order.yes_bid_ticks,
            no_bid_ticks=order.no_bid_ticks,
            created_us=now_us,
            updated_us=now_us,
            rest_remainder=order.rest_remainder,
            post_only=order.post_only,
            subaccount=order.subaccount,
        )
        cost_ticks = quote_cost_ticks(quote)
        check_balance(maker.user_id, cost_ticks, self.quotes, self.behavior, now_us)
        for older in self._replaced_by(maker, rfq):
            self.cancel_quote(older, now_us)
        self.adopt([], [quote])
        self._observe(now_us, "quote_created", quote)
        return quote

    def _replaced_by(self, maker: Party, rfq: Rfq) -> list[Quote]:
        rfqs = [rfq]
        if self.behavior.requote_replaces == "market":
            rfqs = [other for other in self.rfqs if other.listing.ticker == rfq.listing.ticker]
        return [
            quote
            for other in rfqs
            for quote in self._quotes_on[other.id]
            if quote.status == "open" and quote.maker.user_id == maker.user_id
        ]

    def cancel_quote(self, quote: Quote, now_us: int, reason: str | None = None) -> None:
        quote.status = "cancelled"
        quote.cancelled_us = now_us
        quote.cancellation_reason = reason
        self.quotes.touch(quote, now_us)
        self._observe(now_us, "quote_cancelled", quote)
        due_us = now_us + us(self.behavior.retention_s)
        self.timers.set(due_us, partial(self._purge_quote, quote))

    def accept(self, quote: Quote, side: Side, now_us: int) -> None:
        if quote.status != "open" or quote.rfq.status != "open":
            raise not_found()
        bid_ticks = quote.bid_ticks(side)
        if not bid_ticks:
            raise invalid(f"the quote does not offer {side}")
        if self.behavior.one_accept_at_a_time and self.has_running(quote.rfq, now_us):
            raise Refused(409, "already_exists", "another quote of this rfq is accepted")
        cost_ticks = accept_cost_ticks(quote, bid_ticks)
        requester = quote.rfq.requester
        check_balance(requester.user_id, cost_ticks, self.quotes, self.behavior, now_us)
        quote.status = "accepted"
        quote.accepted_side = side
        quote.accepted_us = now_us
        self.quotes.touch(quote, now_us)
        self._observe(now_us, "quote_accepted", quote)

    def quotes_on(self, rfq: Rfq) -> list[Quote]:
        """The quotes on an RFQ, oldest first."""
        return list(self._quotes_on.get(rfq.id, ()))

    def has_running(self, rfq: Rfq, now_us: int) -> bool:
        """Whether an accept on the RFQ still awaits its confirm or its execution."""
        return any(is_running(quote, self.behavior, now_us) for quote in self._quotes_on[rfq.id])

    def confirm(self, quote: Quote, now_us: int) -> None:
        if quote.status != "accepted":
            raise not_found()
        if now_us > last_look_end_us(quote, self.behavior):
            raise Refused(400, "expired", "expired")
        if quote.rfq.status != "open":
            raise Refused(409, "rfq_closed", "rfq closed")
        quote.status = "confirmed"
        quote.confirmed_us = now_us
        self.quotes.touch(quote, now_us)
        self._observe(now_us, "quote_confirmed", quote)
        self._set_execution(quote)

    def _set_execution(self, quote: Quote) -> None:
        due_us = execution_due_us(quote, self.behavior)
        self.timers.set(due_us, partial(self._execute, quote))

    def _execute(self, quote: Quote, now_us: int) -> None:
        if self._fails(quote):
            self.cancel_quote(quote, now_us, EXECUTION_FAILED)
            return
        quote.status = "executed"
        quote.executed_us = now_us
        self.quotes.touch(quote, now_us)
        self._observe(now_us, "quote_executed", quote)
        self.close_rfq(quote.rfq, now_us, "executed")

    def _fails(self, quote: Quote) -> bool:
        if self.faults.failing_executions:
            self.faults.failing_executions -= 1
            return True
        is_doomed = quote.id in self.doomed
        self.doomed.discard(quote.id)
        return is_doomed

    def _expire(self, rfq: Rfq, now_us: int) -> None:
        if rfq.status == "open":
            self.close_rfq(rfq, now_us, "expired")

    def _purge_rfq(self, rfq: Rfq, now_us: int) -> None:
        is_due = rfq.updated_us + us(self.behavior.retention_s) <= now_us
        if is_due and self.rfqs.get(rfq.id) is rfq:
            self.rfqs.remove(rfq)
            self._quotes_on.pop(rfq.id, None)

    def _purge_quote(self, quote: Quote, now_us: int) -> None:
        if self.quotes.get(quote.id) is quote:
            self._forget_quote(quote)

    def _forget_quote(self, quote: Quote) -> None:
        self.quotes.remove(quote)
        if quote.rfq.id in self._quotes_on:
            self._quotes_on[quote.rfq.id].remove(quote)
