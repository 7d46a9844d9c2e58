"""Rows that can no longer change, as columns in list order.

A frame is paged by binary search, and an id is found in constant time. Rows become objects only for
the page that shows them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import neg
from typing import Any, Final

import polars as pl

from pipelines.sandbox.accounts import Party, stranger
from pipelines.sandbox.listing_pages import ALWAYS_US, Key, QuoteFilters, RfqFilters
from pipelines.sandbox.listings import IdSpace, market_number, market_numbers, numbered_listing
from pipelines.sandbox.rows import Quote, QuoteStatus, Rfq, Side

_KEPT_INDEXES = 64

Window = tuple[int, int]
"""Lowest and highest updated_us, both inclusive."""


@dataclass(frozen=True, slots=True)
class Match:
    """A condition on rows and the name its index is remembered by."""

    name: Hashable
    mask: pl.Expr


@dataclass(frozen=True, slots=True)
class _Index:
    """Positions of the rows that match a filter, in list order, with their update times."""

    positions: pl.Series
    updated_us: pl.Series

    def between(self, low_us: int, high_us: int) -> tuple[int, int]:
        """The places of the rows in a window; `search_sorted` of a column is 50 times slower."""
        first = bisect_left(self.updated_us, -high_us, key=neg)
        return first, bisect_right(self.updated_us, -low_us, lo=first, key=neg)


class Columns:
    """One frame in list order, its ids, and the filters it was asked for lately."""

    def __init__(self, frame: pl.DataFrame, ids: IdSpace) -> None:
        self.frame = frame.sort(-pl.col("updated_us"), ids.scramble.column(pl.col("number")))
        self.ids = ids
        self._position_of = self.frame["number"].arg_sort()
        self._indexes: OrderedDict[Hashable, tuple[_Index, _Index]] = OrderedDict()

    def position(self, row_id: str, *, listed_only: bool = True) -> int | None:
        """Where the row with this id is, if it is one of ours."""
        number = self.ids.number(row_id)
        if number is None or number >= len(self.frame):
            return None
        position = int(self._position_of[number])
        return position if self.frame["is_listed"][position] or not listed_only else None

    def positions_of(self, numbers: Sequence[int]) -> list[int]:
        return self._position_of.gather(numbers).to_list() if numbers else []

    def where(self, mask: pl.Expr) -> list[int]:
        """Positions of all rows that match, listed or not."""
        return self.frame.select(pl.arg_where(mask)).to_series().to_list()

    def rows(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        return self.frame[positions].to_dicts() if positions else []

    def after(
        self, key: Key | None, match: Match, window: Window, cutoff_us: int, limit: int
    ) -> list[int]:
        """Positions behind *key* that match; rows older than the cutoff only if durable."""
        low_us, high_us = window
        fresh, durable = self._index(match)
        found = self._slice(fresh, key, (max(low_us, cutoff_us), high_us), limit)
        if len(found) < limit:
            older = (low_us, min(high_us, cutoff_us - 1))
            found += self._slice(durable, key, older, limit - len(found))
        return found

    def _slice(self, index: _Index, key: Key | None, window: Window, limit: int) -> list[int]:
        low_us, high_us = window
        first, end = index.between(low_us, min(high_us, -key[0]) if key else high_us)
        while key and first < end and self._key(index, first) <= key:
            first += 1
        return index.positions[first : max(first, min(end, first + limit))].to_list()

    def _key(self, index: _Index, place: int) -> Key:
        number = self.frame["number"][index.positions[place]]
        return -index.updated_us[place], self.ids.uuid(number)

    def _index(self, match: Match) -> tuple[_Index, _Index]:
        if match.name not in self._indexes:
            self._indexes[match.name] = self._build_index(match.mask)
            if len(self._indexes) > _KEPT_INDEXES:
                self._indexes.popitem(last=False)
        self._indexes.move_to_end(match.name)
        return self._indexes[match.name]

    def _build_index(self, mask: pl.Expr) -> tuple[_Index, _Index]:
        matching = (
            self.frame.lazy()
            .with_row_index("position")
            .filter(pl.col("is_listed") & mask)
            .select("position", "updated_us", "is_durable")
            .collect()
        )
        durable = matching.filter("is_durable")
        return (
            _Index(matching["position"], matching["updated_us"]),
            _Index(durable["position"], durable["updated_us"]),
        )


QUOTE_STATUSES: Final[tuple[QuoteStatus, ...]] = (
    "open",
    "accepted",
    "confirmed",
    "executed",
    "cancelled",
)
SIDES: Final[tuple[Side | None, ...]] = (None, "yes", "no")
EXECUTION_FAILED = "execution failed"


class History:
    """Settled RFQs and quotes of a simulated market."""

    def __init__(
        self,
        rfqs: pl.DataFrame,
        quotes: pl.DataFrame,
        seed: int,
        named_parties: Mapping[int, Party],
        rfq_cancellation_reason: str | None,
    ) -> None:
        self._rfqs = Columns(rfqs, IdSpace.of(seed, "rfq"))
        self._quotes = Columns(quotes, IdSpace.of(seed, "quote"))
        self._named = dict(named_parties)
        self._numbers = {party.user_id: number for number, party in self._named.items()}
        self._rfq_cancellation_reason = rfq_cancellation_reason

    def rfq(self, rfq_id: str, cutoff_us: int) -> Rfq | None:
        position = self._rfqs.position(rfq_id)
        if position is None or self._rfqs.frame["updated_us"][position] < cutoff_us:
            return None
        return self.rfqs_at([position])[0]

    def quote(self, quote_id: str, cutoff_us: int) -> Quote | None:
        position = self._quotes.position(quote_id)
        if position is None:
            return None
        quote = self.quotes_at([position])[0]
        is_kept = quote.status in ("accepted", "executed") or quote.updated_us >= cutoff_us
        return quote if is_kept else None

    def rfqs_after(
        self, key: Key | None, filters: RfqFilters, cutoff_us: int, limit: int
    ) -> list[Rfq]:
        """At most *limit* RFQs behind *key*."""
        mask = self._rfq_mask(filters)
        if mask is None:
            return []
        always = (-ALWAYS_US, ALWAYS_US)
        return self.rfqs_at(self._rfqs.after(key, Match(filters, mask), always, cutoff_us, limit))

    def quotes_after(
        self, key: Key | None, filters: QuoteFilters, cutoff_us: int, limit: int
    ) -> list[Quote]:
        """At most *limit* quotes behind *key*."""
        mask = self._quote_mask(filters)
        if mask is None:
            return []
        window = (filters.low_us, filters.high_us)
        if filters.by_creation:
            match = Match(filters, mask & pl.col("created_us").is_between(*window))
            window = (-ALWAYS_US, ALWAYS_US)
        else:
            match = Match(replace(filters, low_us=0, high_us=0), mask)
        return self.quotes_at(self._quotes.after(key, match, window, cutoff_us, limit))

    def _rfq_mask(self, filters: RfqFilters) -> pl.Expr | None:
        """The rows that match, or None if there can be none."""
        if filters.status not in (None, "closed") or filters.subaccount:
            return None
        wanted: dict[str, list[int]] = {}
        if filters.requester is not None:
            wanted["requester"] = self._number_of(filters.requester)
        if filters.market_ticker is not None:
            number = market_number(filters.market_ticker)
            wanted["market"] = [] if number is None else [number]
        if filters.event_ticker is not None:
            markets = market_numbers(filters.event_ticker)
            wanted["market"] = [n for n in markets if n in wanted.get("market", markets)]
        return _all_of(wanted)

    def _quote_mask(self, filters: QuoteFilters) -> pl.Expr | None:
        wanted: dict[str, list[int]] = {}
        if filters.maker is not None:
            wanted["maker"] = self._number_of(filters.maker)
        if filters.requester is not None:
            wanted["requester"] = self._number_of(filters.requester)
        if filters.status is not None:
            names = enumerate(QUOTE_STATUSES)
            wanted["status"] = [number for number, name in names if name == filters.status]
        if filters.rfq_id is not None:
            position = self._rfqs.position(filters.rfq_id, listed_only=False)
            numbers = self._rfqs.frame["number"]
            wanted["rfq"] = [] if position is None else [numbers[position]]
        return _all_of(wanted)

    def _number_of(self, user_id: str) -> list[int]:
        return [self._numbers[user_id]] if user_id in self._numbers else []

    def unsettled(self) -> tuple[list[Rfq], list[Quote]]:
        """Rows that can still change, as objects for the live book; they are not listed here."""
        rfqs = self.rfqs_at(self._rfqs.where(~pl.col("is_settled")))
        quotes = self.quotes_at(self._quotes.where(~pl.col("is_settled")))
        by_id = {rfq.id: rfq for rfq in rfqs}
        for quote in quotes:
            quote.rfq = by_id.get(quote.rfq.id, quote.rfq)
        return rfqs, quotes

    def executions_since(self, since_us: int) -> list[int]:
        """When each quote executed that did so from then on."""
        is_executed = pl.col("status") == QUOTE_STATUSES.index("executed")
        executed = self._quotes.frame.lazy().filter(is_executed, pl.col("updated_us") >= since_us)
        return executed.select("updated_us").collect().to_series().to_list()

    def rfq_id(self, number: int) -> str:
        return self._rfqs.ids.uuid(number)

    def quote_id(self, number: int) -> str:
        return self._quotes.ids.uuid(number)

    def rfqs_at(self, positions: Sequence[int]) -> list[Rfq]:
        """The RFQs in these rows, as objects."""
        return [self._rfq(row) for row in self._rfqs.rows(positions)]

    def quotes_at(self, positions: Sequence[int]) -> list[Quote]:
        """The quotes in these rows, as objects that share the object of their RFQ."""
        rows = self._quotes.rows(positions)
        numbers = list({row["rfq"] for row in rows})
        rfqs = self.rfqs_at(self._rfqs.positions_of(numbers))
        by_number = dict(zip(numbers, rfqs, strict=True))
        return [self._quote(row, by_number[row["rfq"]]) for row in rows]

    def party(self, number: int) -> Party:
        """Who a number in the frames stands for."""
        return self._named.get(number) or stranger(number)

    def _rfq(self, row: dict[str, Any]) -> Rfq:
        is_cancelled = row["cancelled_us"] is not None
        return Rfq(
            id=self._rfqs.ids.uuid(row["number"]),
            requester=self.party(row["requester"]),
            listing=numbered_listing(row["market"]),
            contracts_hundredths=row["contracts_hundredths"],
            target_cost_ticks=row["target_cost_ticks"],
            created_us=row["created_us"],
            updated_us=row["updated_us"],
            status="closed" if row["is_closed"] else "open",
            excludes_fees=row["excludes_fees"],
            obscured=row["obscured"],
            executed=row["executed"],
            cancelled_us=row["cancelled_us"],
            cancellation_reason=self._rfq_cancellation_reason if is_cancelled else None,
        )

    def _quote(self, row: dict[str, Any], rfq: Rfq) -> Quote:
        status = QUOTE_STATUSES[row["status"]]
        is_cancelled = status == "cancelled"
        has_failed = is_cancelled and row["confirmed_us"] is not None
        return Quote(
            id=self._quotes.ids.uuid(row["number"]),
            rfq=rfq,
            maker=self.party(row["maker"]),
            yes_bid_ticks=row["yes_bid_ticks"],
            no_bid_ticks=row["no_bid_ticks"],
            created_us=row["created_us"],
            updated_us=row["updated_us"],
            status=status,
            accepted_side=SIDES[row["accepted_side"]],
            accepted_us=row["accepted_us"],
            confirmed_us=row["confirmed_us"],
            executed_us=row["updated_us"] if status == "executed" else None,
            cancelled_us=row["updated_us"] if is_cancelled else None,
            cancellation_reason=EXECUTION_FAILED if has_failed else None,
        )


def _all_of(wanted: dict[str, list[int]]) -> pl.Expr | None:
    """Rows whose columns hold one of the wanted values; None where a list is empty."""
    if not all(wanted.values()):
        return None
    masks = [pl.col(column).is_in(values) for column, values in wanted.items()]
    return pl.all_horizontal(pl.lit(True), *masks)
