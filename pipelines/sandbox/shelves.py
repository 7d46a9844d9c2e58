"""Finding rows: one by id or a page of a list, out of the live book and the settled past."""

from __future__ import annotations

from dataclasses import replace
from heapq import merge
from itertools import islice

from pipelines.sandbox.book import Book
from pipelines.sandbox.faults import Faults
from pipelines.sandbox.history import History
from pipelines.sandbox.lists import read_page
from pipelines.sandbox.live import LiveRows
from pipelines.sandbox.parties import Party
from pipelines.sandbox.queries import ALWAYS_US, Key, QuoteFilters, RfqFilters, binding
from pipelines.sandbox.refusal import Refused, not_found
from pipelines.sandbox.rows import Quote, Rfq


class Shelves:
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
        self, caller: Party, filters: RfqFilters, limit: int, cursor: str | None, now_us: int
    ) -> tuple[list[Rfq], str | None]:
        """One page of RFQs and the cursor behind it."""
        source = self._source()[0]

        def rows_after(key: Key | None, count: int) -> list[Rfq]:
            live = (r for r in source.after(key) if filters.admits(r) and self._shows(r, now_us))
            past = self._past_rfqs(key, filters, count, now_us)
            return list(islice(merge(live, past, key=_place), count))

        return read_page(rows_after, limit, cursor, binding(caller.user_id, filters), self._faults)

    def quotes(
        self, caller: Party, filters: QuoteFilters, limit: int, cursor: str | None, now_us: int
    ) -> tuple[list[Quote], str | None]:
        """One page of quotes and the cursor behind it."""
        source = self._source()[1]

        def rows_after(key: Key | None, count: int) -> list[Quote]:
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
