"""Page drift by name: what can happen on the market while somebody pages through a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pipelines.sandbox.book import Book
from pipelines.sandbox.live import RowT
from pipelines.sandbox.market import Market


def _close_oldest_rfq(book: Book, now_us: int) -> None:
    for rfq in _oldest(book.rfqs.after(None)):
        book.close_rfq(rfq, now_us, "expired")


def _cancel_oldest_quote(book: Book, now_us: int) -> None:
    for quote in _oldest(book.quotes.after(None)):
        book.cancel_quote(quote, now_us)


def _oldest(rows: Iterable[RowT]) -> list[RowT]:
    """The last open row of a list, if one is open."""
    return [row for row in rows if row.status == "open"][-1:]


SCRIPTS: dict[str, Callable[[Book, int], None]] = {
    "close_oldest_rfq": _close_oldest_rfq,
    "cancel_oldest_quote": _cancel_oldest_quote,
}
"""Each moves a row from the end of a list to its top, so that whoever pages there misses it."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A named script that waits for its page."""

    name: str
    market: Market

    def __str__(self) -> str:
        return self.name

    def __call__(self) -> None:
        self.market.drive(SCRIPTS[self.name])
