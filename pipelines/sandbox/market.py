"""The pretend exchange's state: accounts, RFQs and quotes, and what each caller may see and do.

The same methods serve HTTP and tests; what the exchange would refuse raises `Refused`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import merge
from itertools import islice
from typing import Protocol
from uuid import uuid4

from pipelines.sandbox.accounts import Accounts, Party
from pipelines.sandbox.behavior import Behavior
from pipelines.sandbox.book import Book, Event
from pipelines.sandbox.clock import Clock, SystemClock, from_us, to_us
from pipelines.sandbox.faults import Faults
from pipelines.sandbox.history import History
from pipelines.sandbox.listing_pages import (
    ALWAYS_US,
    Key,
    LiveRows,
    QuoteFilters,
    RfqFilters,
    binding,
    check_limit,
    read_page,
)
from pipelines.sandbox.orders import (
    QuoteOrder,
    RfqOrder,
    bid_ticks,
    requested_contracts,
    requested_target_cost,
)
from pipelines.sandbox.refusal import Refused, invalid, not_found
from pipelines.sandbox.rows import Quote, Rfq
from pipelines.sandbox.visibility import Row, visible_quote, visible_rfq

Now = Callable[[], int]
"""The time in microseconds, with everything done that fell due."""


class RowFinder:
    """Every RFQ and quote that exists now, wherever it is kept."""

    def __init__(self, book: Book, faults: Faults) -> None:
        self.history: History | None = None
        self._book = book
        self._faults = faults
        self._replica: tuple[LiveRows[Rfq], LiveRows[Quote]] | None = None

    def rfq(self, rfq_id: str, now_us: int) -> Rfq:
        """The RFQ with this id; 404 if there is none any more."""
        rfq = self._book.rfqs.get(rfq_id)
        if rfq is None and self.history is not None:
            rfq = self.history.rfq(rfq_id, self._cutoff_us(now_us))
        if rfq is None or rfq_id in self._faults.vanished:
            raise not_found()
        return rfq

    def quote(self, caller: Party, quote_id: str, rfq_id: str | None, now_us: int) -> Quote:
        """The quote with this id; 404 unless *caller* made it or the RFQ, or on another RFQ."""
        quote = self._book.quotes.get(quote_id)
        if quote is None and self.history is not None:
            quote = self.history.quote(quote_id, self._cutoff_us(now_us))
        if quote is None or quote_id in self._faults.vanished:
            raise not_found()
        parties = (quote.maker.user_id, quote.rfq.requester.user_id)
        if caller.user_id not in parties or rfq_id not in (None, quote.rfq.id):
            raise not_found()
        return quote

    def rfqs(
        self, caller: Party, filters: RfqFilters, limit: int, cursor: str | None, now: Now
    ) -> tuple[list[Rfq], str | None]:
        """One page of RFQs and the cursor behind it, *now* being after the script before it."""
        source = self._source()[0]

        def rows_after(key: Key | None, count: int) -> list[Rfq]:
            now_us = now()
            live = (r for r in source.after(key) if filters.admits(r) and self._shows(r, now_us))
            past = self._past_rfqs(key, filters, count, now_us)
            return list(islice(merge(live, past, key=_place), count))

        return read_page(rows_after, limit, cursor, binding(caller.user_id, filters), self._faults)

    def quotes(
        self, caller: Party, filters: QuoteFilters, limit: int, cursor: str | None, now: Now
    ) -> tuple[list[Quote], str | None]:
        """One page of quotes and the cursor behind it, *now* being after the script before it."""
        source = self._source()[1]

        def rows_after(key: Key | None, count: int) -> list[Quote]:
            now_us = now()
            live = (q for q in source.after(key) if filters.admits(q) and self._shows(q, now_us))
            past = self._past_quotes(key, filters, count, now_us)
            return list(islice(merge(live, past, key=_place), count))

        most = self._book.behavior.unbounded_quotes_limit
        is_unbounded = filters.low_us <= -ALWAYS_US and filters.high_us >= ALWAYS_US
        if most is not None and is_unbounded and len(rows_after(None, most + 1)) > most:
            raise Refused(504, "gateway_timeout", "service in fail-fast")
        return read_page(rows_after, limit, cursor, binding(caller.user_id, filters), self._faults)

    def fall_behind(self, reads: int) -> None:
        """Let the next *reads* list calls be answered by a replica that stops here."""
        self._replica = (
            self._book.rfqs.copy(replace),
            self._book.quotes.copy(lambda quote: replace(quote, rfq=replace(quote.rfq))),
        )
        self._faults.stale_reads = reads

    def _source(self) -> tuple[LiveRows[Rfq], LiveRows[Quote]]:
        if self._replica is not None and self._faults.stale_reads > 0:
            self._faults.stale_reads -= 1
            return self._replica
        return self._book.rfqs, self._book.quotes

    def _shows(self, row: Rfq | Quote, now_us: int) -> bool:
        late_us = round(self._faults.late_visibility_s * 1_000_000)
        return row.created_us <= now_us - late_us and row.id not in self._faults.vanished

    def _past_rfqs(
        self, key: Key | None, filters: RfqFilters, count: int, now_us: int
    ) -> list[Rfq]:
        if self.history is None:
            return []
        count += len(self._faults.vanished)
        rows = self.history.rfqs_after(key, filters, self._cutoff_us(now_us), count)
        return [row for row in rows if row.id not in self._faults.vanished]

    def _past_quotes(
        self, key: Key | None, filters: QuoteFilters, count: int, now_us: int
    ) -> list[Quote]:
        if self.history is None:
            return []
        count += len(self._faults.vanished)
        rows = self.history.quotes_after(key, filters, self._cutoff_us(now_us), count)
        return [row for row in rows if row.id not in self._faults.vanished]

    def _cutoff_us(self, now_us: int) -> int:
        """Closed and cancelled rows updated before this instant are purged."""
        return now_us - round(self._book.behavior.retention_s * 1_000_000) + 1


def _place(row: Rfq | Quote) -> Key:
    return -row.updated_us, row.id


MAX_RFQS_PER_PAGE = 100
MAX_QUOTES_PER_PAGE = 500

UNSCOPED_MESSAGE = "Either creator_user_id or rfq_creator_user_id must be filled."
UNSCOPED_CODE = UNSCOPED_MESSAGE.replace(" ", "_")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list as its caller sees it; `cursor` is None on the last."""

    rows: list[Row]
    cursor: str | None


class Audience(Protocol):
    """Acts on what those do who hold a key, at the instant at which they do it."""

    def rfq_opened(self, rfq: Rfq, now_us: int) -> None: ...

    def quote_opened(self, quote: Quote, now_us: int) -> None: ...

    def quote_withdrawn(self, quote: Quote, now_us: int) -> None: ...

    def quote_accepted(self, quote: Quote, now_us: int) -> None: ...


class Market(Accounts):
    """An exchange without HTTP. Safe to drive from several threads."""

    has_uuids_only = True
    """Whether ids that are not UUIDs are refused with 400 instead of not found."""

    def __init__(self, clock: Clock | None = None, behavior: Behavior | None = None) -> None:
        super().__init__()
        self.clock: Clock = clock or SystemClock()
        self.name = f"begun empty, {uuid4().hex[:8]}"
        """Which market this is: named by what was simulated or recorded, else like no other."""
        self.faults = Faults()
        self.events: deque[Event] = deque(maxlen=1_000_000)
        """What happened since the start, oldest first; a simulated past is in its `Ledger`."""
        self.leapt_to_us = 0
        """Where the clock was last moved to: whoever plans ahead may plan up to there at once."""
        self._book = Book(behavior or Behavior(), self.faults, self._note)
        self._finder = RowFinder(self._book, self.faults)
        self.audience: Audience | None = None
        """Who is told what is done through the methods below, by those who hold a key."""
        self._lock = threading.RLock()

    @property
    def behavior(self) -> Behavior:
        """The switches in force; assign a `replace`d copy to change one."""
        return self._book.behavior

    @behavior.setter
    def behavior(self, behavior: Behavior) -> None:
        self._book.behavior = behavior

    def install(self, history: History, rfqs: list[Rfq], quotes: list[Quote]) -> None:
        """Take over a past: what is settled as columns, what can still change as objects."""
        with self._lock:
            if self._finder.history is not None:
                msg = "the market already has a past; simulate another one in a new Market"
                raise ValueError(msg)
            self._finder.history = history
            self._book.adopt(rfqs, quotes)

    @property
    def has_past(self) -> bool:
        """Whether a simulated past was installed."""
        return self._finder.history is not None

    @contextmanager
    def _present(self) -> Iterator[int]:
        """Hold the market still with everything done that fell due; gives the time in us."""
        with self._lock:
            yield self._now_us()

    def _now_us(self) -> int:
        """The time, with everything done that fell due by then."""
        now_us = to_us(self.clock.now())
        self._book.timers.run_until(now_us)
        return now_us

    def _note(self, at_us: int, kind: str, row: Rfq | Quote) -> None:
        self.events.append(Event.of(at_us, kind, row))

    # RFQs

    def create_rfq(
        self,
        requester: Party,
        *,
        market_ticker: str,
        rest_remainder: bool = False,
        contracts: int | None = None,
        contracts_fp: str | None = None,
        target_cost_dollars: str | None = None,
        target_cost_centi_cents: int | None = None,
        target_cost_excludes_fees: bool = False,
        obscure_creator_id: bool = False,
        replace_existing: bool = False,
        subaccount: int | None = None,
        subtrader_id: str | None = None,
    ) -> str:
        """Ask the market for quotes; returns the RFQ's id."""
        if subtrader_id:
            raise invalid("subtrader_id is for FCM members only")
        order = RfqOrder(
            market_ticker,
            requested_contracts(contracts, contracts_fp),
            requested_target_cost(target_cost_centi_cents, target_cost_dollars),
            target_cost_excludes_fees,
            obscure_creator_id,
            rest_remainder,
            subaccount,
        )
        with self._present() as now_us:
            rfq = self._book.open_rfq(requester, order, replace_existing, now_us)
            if self.audience:
                self.audience.rfq_opened(rfq, now_us)
            return rfq.id

    def delete_rfq(self, requester: Party, rfq_id: str) -> None:
        """Close an own open RFQ."""
        with self._present() as now_us:
            rfq = self._finder.rfq(rfq_id, now_us)
            if rfq.requester.user_id != requester.user_id:
                raise not_found()
            self._book.delete_rfq(rfq, now_us)

    def get_rfq(self, caller: Party, rfq_id: str) -> Row:
        """One RFQ as *caller* sees it."""
        with self._present() as now_us:
            return visible_rfq(self._finder.rfq(rfq_id, now_us), caller, self.behavior)

    def get_rfqs(
        self,
        caller: Party,
        filters: RfqFilters | None = None,
        *,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """One page of RFQs, the whole market's unless filtered, last updated first."""
        filters = filters or RfqFilters()
        size = check_limit(limit, MAX_RFQS_PER_PAGE)
        with self._present():
            rfqs, after = self._finder.rfqs(caller, filters, size, cursor, self._now_us)
            return Page([visible_rfq(rfq, caller, self.behavior) for rfq in rfqs], after)

    # Quotes

    def create_quote(
        self,
        maker: Party,
        *,
        rfq_id: str,
        yes_bid: str,
        no_bid: str,
        rest_remainder: bool = False,
        post_only: bool = False,
        subaccount: int | None = None,
    ) -> str:
        """Offer to buy YES at *yes_bid* and NO at *no_bid*, either "0"; returns the quote's id."""
        bids = bid_ticks("yes_bid", yes_bid), bid_ticks("no_bid", no_bid)
        order = QuoteOrder(*bids, rest_remainder, post_only, subaccount)
        with self._present() as now_us:
            rfq = self._finder.rfq(rfq_id, now_us)
            quote = self._book.open_quote(maker, rfq, order, now_us)
            if self.audience:
                self.audience.quote_opened(quote, now_us)
            return quote.id

    def delete_quote(self, maker: Party, quote_id: str, rfq_id: str | None = None) -> None:
        """Withdraw an own open quote; 404 once it is accepted."""
        with self._present() as now_us:
            quote = self._finder.quote(maker, quote_id, rfq_id, now_us)
            if quote.maker.user_id != maker.user_id or quote.status != "open":
                raise not_found()
            self._book.cancel_quote(quote, now_us)
            if self.audience:
                self.audience.quote_withdrawn(quote, now_us)

    def accept_quote(
        self, requester: Party, quote_id: str, accepted_side: str, rfq_id: str | None = None
    ) -> None:
        """Take one side of a quote on an own RFQ: "yes" sells YES to the maker's yes_bid."""
        if accepted_side not in ("yes", "no"):
            raise invalid("accepted_side must be yes or no")
        with self._present() as now_us:
            quote = self._finder.quote(requester, quote_id, rfq_id, now_us)
            if quote.rfq.requester.user_id != requester.user_id:
                raise not_found()
            self._book.accept(quote, "yes" if accepted_side == "yes" else "no", now_us)
            if self.audience:
                self.audience.quote_accepted(quote, now_us)

    def confirm_quote(self, maker: Party, quote_id: str, rfq_id: str | None = None) -> None:
        """Stand by an accepted quote within the last-look window; it then executes by itself."""
        with self._present() as now_us:
            quote = self._finder.quote(maker, quote_id, rfq_id, now_us)
            if quote.maker.user_id != maker.user_id:
                raise not_found()
            self._book.confirm(quote, now_us)

    def get_quote(self, caller: Party, quote_id: str, rfq_id: str | None = None) -> Row:
        """One quote as its maker or its requester sees it; 404 for anybody else."""
        with self._present() as now_us:
            return visible_quote(self._finder.quote(caller, quote_id, rfq_id, now_us), caller)

    def get_quotes(
        self,
        caller: Party,
        filters: QuoteFilters,
        *,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """One page of quotes on own RFQs or by oneself, last updated first."""
        size = check_limit(limit, MAX_QUOTES_PER_PAGE)
        self.check_scope(caller, filters)
        with self._present():
            quotes, after = self._finder.quotes(caller, filters, size, cursor, self._now_us)
            return Page([visible_quote(quote, caller) for quote in quotes], after)

    def check_scope(self, caller: Party, filters: QuoteFilters) -> None:
        """403 unless the quotes asked for are the caller's on one side."""
        named = {filters.maker, filters.requester} - {None}
        if not named:
            raise Refused(self.behavior.unscoped_quotes_status, UNSCOPED_CODE, UNSCOPED_MESSAGE)
        if caller.user_id not in named:
            raise Refused(403, "forbidden", "the creator ids belong to another user")

    # Driving

    def drive(self, begin: Callable[[Book, int], None]) -> None:
        """Hand the book and the time to something that acts on the market from now on."""
        with self._present() as now_us:
            begin(self._book, now_us)

    def advance(self, seconds: float) -> datetime:
        """Move the clock on, and let all that falls due by then happen; tells the new time."""
        if seconds < 0:
            msg = f"the market's clock goes forward only, was told to move by {seconds:g} s"
            raise ValueError(msg)
        with self._lock:
            self.clock.advance(seconds)
            self.leapt_to_us = to_us(self.clock.now())
            with self._present() as now_us:
                return from_us(now_us)

    def fall_behind(self, reads: int) -> None:
        """Let the next *reads* list calls be answered by a replica that stops here."""
        with self._present():
            self._finder.fall_behind(reads)

    def executions_since(self, since: datetime) -> list[datetime]:
        """When each trade went through that did so from then on, in no order."""
        with self._present():
            since_us, past = to_us(since), self._finder.history
            live = [e.at_us for e in self.events if e.kind == "quote_executed"]
            times_us = [at_us for at_us in live if at_us >= since_us]
            times_us += past.executions_since(since_us) if past else []
            return [from_us(at_us) for at_us in times_us]

    def open_rfq_count(self) -> int:
        """RFQs open now."""
        with self._present():
            return sum(rfq.status == "open" for rfq in self._book.rfqs)
