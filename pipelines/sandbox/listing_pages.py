"""Pages of a list: which rows are asked for, last updated first, and where the next page begins."""

from __future__ import annotations

import base64
import hashlib
import json
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from pipelines.sandbox.faults import Faults
from pipelines.sandbox.refusal import Refused, invalid
from pipelines.sandbox.rows import Quote, Rfq

Key = tuple[int, str]
"""Place of a row in a list: (-updated_us, id), ascending, so last updated comes first."""

ALWAYS_US = 1 << 61


class Placed(Protocol):
    """Anything with a place in a list."""

    @property
    def id(self) -> str: ...

    @property
    def updated_us(self) -> int: ...


@dataclass(frozen=True, slots=True)
class RfqFilters:
    """What a getRFQs call asks for. `requester` is a user id."""

    status: str | None = None
    market_ticker: str | None = None
    event_ticker: str | None = None
    subaccount: int | None = None
    requester: str | None = None

    def admits(self, rfq: Rfq) -> bool:
        return (
            (self.status is None or rfq.status == self.status)
            and (self.requester is None or rfq.requester.user_id == self.requester)
            and (self.market_ticker is None or rfq.listing.ticker == self.market_ticker)
            and (self.event_ticker is None or rfq.listing.event_ticker == self.event_ticker)
            and (self.subaccount is None or (rfq.subaccount or 0) == self.subaccount)
        )


@dataclass(frozen=True, slots=True)
class QuoteFilters:
    """What a getQuotes call asks for. Times are inclusive bounds on updated_ts, or created_ts."""

    status: str | None = None
    rfq_id: str | None = None
    maker: str | None = None
    requester: str | None = None
    low_us: int = -ALWAYS_US
    high_us: int = ALWAYS_US
    by_creation: bool = False

    def admits(self, quote: Quote) -> bool:
        moment_us = quote.created_us if self.by_creation else quote.updated_us
        return (
            self.low_us <= moment_us <= self.high_us
            and (self.maker is None or quote.maker.user_id == self.maker)
            and (self.requester is None or quote.rfq.requester.user_id == self.requester)
            and (self.status is None or quote.status == self.status)
            and (self.rfq_id is None or quote.rfq.id == self.rfq_id)
        )


@dataclass(frozen=True, slots=True)
class Cursor:
    """An opaque place in one list of one caller: page *number* begins behind *key*,
    the first page at the top."""

    number: int
    key: Key | None

    def text(self, binding: str) -> str:
        payload = json.dumps([binding, self.number, self.key], separators=(",", ":"))
        return base64.urlsafe_b64encode(payload.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str, binding: str) -> Self:
        """Read what `text` wrote; 400 if it is malformed or belongs to another query."""
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            payload: Any = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            bound_to, number, key = payload
            place = None if key is None else (_within_time(int(key[0])), str(key[1]))
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise invalid("invalid cursor") from error
        if bound_to != binding or not isinstance(number, int):
            raise invalid("invalid cursor")
        return cls(number, place)


def _within_time(updated: int) -> int:
    if abs(updated) > ALWAYS_US:
        raise ValueError(updated)
    return updated


def binding(caller_id: str, filters: RfqFilters | QuoteFilters) -> str:
    """What ties a cursor to its caller and filters."""
    return hashlib.sha256(f"{caller_id} {filters!r}".encode()).hexdigest()[:16]


RowT = TypeVar("RowT", bound=Placed)

RowsAfter = Callable[[Key | None, int], list[RowT]]
"""At most so many rows behind a place in the list."""


def read_page(
    rows_after: RowsAfter[RowT], limit: int, cursor_text: str | None, bound_to: str, faults: Faults
) -> tuple[list[RowT], str | None]:
    """The rows of the page that *cursor_text* leads to and the cursor behind them, if any."""
    here = Cursor.parse(cursor_text, bound_to) if cursor_text else Cursor(1, None)
    last_page = faults.cursor_expires_after_page
    if last_page is not None and here.number > last_page:
        raise invalid("invalid cursor")
    faults.reach_page(here.number)
    rows = rows_after(here.key, limit + 1)
    if here.number == faults.empty_page:
        return [], Cursor(here.number + 1, here.key).text(bound_to)
    if len(rows) <= limit:
        return rows, None
    rows = rows[:limit]
    return rows, _behind(here, rows[-1], faults).text(bound_to)


def _behind(here: Cursor, last: Placed, faults: Faults) -> Cursor:
    if here.number == faults.cursor_loops_at_page:
        return here
    if here.number == faults.repeated_page:
        return Cursor(here.number + 1, here.key)
    return Cursor(here.number + 1, (-last.updated_us, last.id))


def check_limit(limit: int | None, most: int) -> int:
    """The page size asked for, *most* if none was."""
    if limit is None:
        return most
    if not 1 <= limit <= most:
        message = f"Parameter validation failed: limit must be between 1 and {most}"
        raise Refused(400, "invalid_parameters", message, envelope="msg")
    return limit


LiveT = TypeVar("LiveT", Rfq, Quote)


class LiveRows(Generic[LiveT]):
    """Rows by id, iterable last-updated-first from any place."""

    def __init__(self) -> None:
        self._by_id: dict[str, LiveT] = {}
        self._order: list[Key] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[LiveT]:
        return iter(self._by_id.values())

    def get(self, row_id: str) -> LiveT | None:
        return self._by_id.get(row_id)

    def add(self, row: LiveT) -> None:
        self._by_id[row.id] = row
        insort(self._order, (-row.updated_us, row.id))

    def extend(self, rows: list[LiveT]) -> None:
        """Add rows; many at once cost one sort."""
        if len(rows) <= 1:
            for row in rows:
                self.add(row)
            return
        self._by_id |= {row.id: row for row in rows}
        self._order = sorted((-row.updated_us, row.id) for row in self._by_id.values())

    def remove(self, row: LiveT) -> None:
        del self._by_id[row.id]
        del self._order[bisect_left(self._order, (-row.updated_us, row.id))]

    def touch(self, row: LiveT, updated_us: int) -> None:
        """Set the row's updated time and move it to its new place."""
        self.remove(row)
        row.updated_us = updated_us
        self.add(row)

    def copy(self, duplicate: Callable[[LiveT], LiveT]) -> Self:
        """The same rows as they are now, untouched by what happens to these."""
        twin = type(self)()
        twin.extend([duplicate(row) for row in self])
        return twin

    def after(self, key: Key | None) -> Iterator[LiveT]:
        """Rows behind *key* in list order; all of them without one."""
        start = 0 if key is None else bisect_right(self._order, key)
        for index in range(start, len(self._order)):
            yield self._by_id[self._order[index][1]]
