"""Reading a list: from the top to an absent cursor, though the exchange moves underneath."""

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from itertools import islice
from typing import TypeAlias

import pyarrow.compute as pc

from pipelines.kalshi.ahead import ahead
from pipelines.kalshi.client.errors import CursorRefused, ExchangeUnavailable
from pipelines.kalshi.client.json_body import ListPage
from pipelines.kalshi.client.reader import Page
from pipelines.kalshi.entities import Entity
from pipelines.kalshi.pages import Rows, cut, page_with, read_pages

RESTARTS = 3
FRUITLESS_PAGES = 5
# No batch grows beyond this by a further page, and as much may wait to be read: 80 pages of the
# usual kind have 10 MB.
BATCH_BYTES = 16 * 1024 * 1024
# Below, a list is over before a thread would pay.
LONG_FROM_PAGES = 7

Fetch: TypeAlias = Callable[[str | None], Page]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some consecutive pages of one list, parsed together; times are the exchange's clock.

    The column `observed_ts` of its rows has when the page of each was served: an RFQ that was open
    on the first page may be over by the last.
    `served_ts` is that of the first page, None where no answer had told it by then. `earned_ts` is
    the watermark that a sweep beginning with this batch may earn, if any. `asked_since` is where
    the window began that the list was asked for.
    """

    rows: Rows
    pages: int
    started_ts: datetime
    ended_ts: datetime
    next_cursor: str | None = None
    is_first: bool = False
    earned_ts: datetime | None = None
    served_ts: datetime | None = None
    asked_since: datetime | None = None
    prints: Sequence[bytes] = ()
    """A fingerprint of the bytes of each row in `rows`, where a later sweep may meet them again."""
    again: Sequence[tuple[bytes, datetime]] = ()
    """Those of the rows that an earlier sweep had read, and that are not in `rows`, and when."""


def served_ts(page: Page) -> datetime:
    """When the exchange served *page* by its own clock; by ours where it never told."""
    return page.served_ts or page.received_ts


def earned_ts(page: Page, rows: Rows) -> datetime | None:
    """Until when all changes had happened as *page*, which holds *rows*, was served, for certain.

    Where no answer told the exchange's clock, its newest row does: ours may be a day ahead.
    """
    if page.served_ts:
        return page.served_ts
    moments = [pc.max(rows.table.column(name)).as_py() for name in ("created_ts", "updated_ts")]
    return max(filter(None, moments), default=None)


def read_list(
    entity: Entity,
    fetch: Fetch,
    cursor: str | None = None,
    known: Container[bytes] | None = None,
    *,
    is_read_to_its_end: bool = True,
) -> Iterator[Batch]:
    """Yield the list in batches of 1, 2, 4 … `entity.pages_per_batch` pages, from *cursor* on.

    Rows whose fingerprints are *known* are not read again; None where nothing asks for those.
    A long list that *is_read_to_its_end* is asked for further pages, by a thread, while those
    before are read; *fetch* must be made for that.
    Only an absent, null or empty cursor ends a list: an empty page does not. A cursor that the
    exchange no longer takes starts the list again from the top. Raises `ExchangeUnavailable` when
    cursors repeat or keep expiring, and when pages bring nothing new.
    """
    for _ in range(RESTARTS + 1):
        try:
            with ExitStack() as asking:
                pages = _pages(entity, fetch, cursor)
                if is_read_to_its_end:
                    pages = _long_ones_ahead(pages, asking)
                yield from _read_once(entity, pages, known)
        except CursorRefused:
            cursor = None
        else:
            return
    raise ExchangeUnavailable(
        f"The cursors of {entity.key} expired {RESTARTS + 1} times while the list was read"
    )


def _pages(entity: Entity, fetch: Fetch, cursor: str | None) -> Iterator["_Page"]:
    """Ask for page after page, each at the cursor of the one before."""
    used: set[str | None] = set()
    while True:
        _refuse_repeated(entity, cursor, used)
        served = fetch(cursor)
        page = _Page(served, cut(entity, served.body))
        yield page
        if not (cursor := page.next_cursor):
            return


def _long_ones_ahead(pages: Iterator["_Page"], asking: ExitStack) -> Iterator["_Page"]:
    """Give *pages*, and ask for them ahead once they are many: most lists end before that."""
    yield from islice(pages, LONG_FROM_PAGES)
    yield from asking.enter_context(ahead(pages, lambda page: page.n_bytes, BATCH_BYTES))


def _read_once(
    entity: Entity, left: Iterator["_Page"], known: Container[bytes] | None
) -> Iterator[Batch]:
    found: set[int] = set()
    is_first = True
    fruitless = 0
    wanted = 1
    cursor: str | None = None
    while True:
        pages: list[_Page] = []
        size = 0
        while len(pages) < wanted and size < BATCH_BYTES and (not pages or cursor):
            pages.append(next(left))
            cursor = pages[-1].next_cursor
            size += pages[-1].n_bytes
        # A list of one page was answered at one moment: no other sweep of it follows.
        rows, prints, again = _read(entity, pages, known if cursor or not is_first else None)
        met = (print_ for print_, _ in again)
        ids, rejected = rows.table.column("id").to_pylist(), (row.row_hash for row in rows.rejected)
        # Whether a page brings anything new, a number tells that keeps no text in memory.
        shown = set(map(hash, (*ids, *met, *rejected)))
        fruitless = 0 if shown - found else fruitless + len(pages)
        found |= shown
        if cursor and fruitless > FRUITLESS_PAGES:
            raise ExchangeUnavailable(
                f"{fruitless} pages of {entity.key} in a row held nothing new"
            )
        first, last = pages[0].served, pages[-1].served
        earned = earned_ts(first, rows) if is_first else None
        times = (served_ts(first), served_ts(last), cursor, is_first, earned, first.served_ts)
        yield Batch(rows, len(pages), *times, prints=prints, again=again)
        if not cursor:
            return
        is_first = False
        wanted = min(2 * wanted, entity.pages_per_batch)


@dataclass(frozen=True, slots=True)
class _Page:
    """A page as it was served, and its rows as they were cut out."""

    served: Page
    cut: ListPage

    @property
    def n_bytes(self) -> int:
        return len(self.served.body)

    @property
    def next_cursor(self) -> str | None:
        return self.cut.cursor or None


def _read(
    entity: Entity, pages: Sequence[_Page], known: Container[bytes] | None
) -> tuple[Rows, Sequence[bytes], Sequence[tuple[bytes, datetime]]]:
    """Read the rows of *pages* that are not *known*; return them, their prints, and the others'."""
    bodies = [page.served.body for page in pages]
    if any(page.cut.rows is None for page in pages):
        return _dated(read_pages(entity, bodies), pages, ()), (), ()
    served = [(row, served_ts(page.served)) for page in pages for row in page.cut.rows or ()]
    if known is None:
        return _dated(read_pages(entity, bodies), pages, [moment for _, moment in served]), (), ()
    printed = [(_print(row), row, moment) for row, moment in served]
    again = [(print_, moment) for print_, _, moment in printed if print_ in known]
    unknown = [each for each in printed if each[0] not in known]
    if again:
        bodies = [page_with(entity, (row for _, row, _ in unknown))]
    rows = _dated(read_pages(entity, bodies), pages, [moment for _, _, moment in unknown])
    return rows, () if rows.rejected else [print_ for print_, _, _ in unknown], again


def _dated(rows: Rows, pages: Sequence[_Page], moments: Sequence[datetime]) -> Rows:
    """Return *rows* with the moment at which each was served.

    Where some could not be read, or a page could not be cut, nothing tells which page a row is of:
    it was on the first one, for all that is known, and may be over since.
    """
    n_rows = rows.table.num_rows
    return rows.dated(moments if len(moments) == n_rows else [served_ts(pages[0].served)] * n_rows)


def _print(row: bytes) -> bytes:
    """No two rows that anybody will ever be served have the same one."""
    return blake2b(row, digest_size=16).digest()


def _refuse_repeated(entity: Entity, cursor: str | None, used: set[str | None]) -> None:
    if cursor in used:
        raise ExchangeUnavailable(
            f"The exchange served the same {entity.key} cursor twice: the list would never end"
        )
    used.add(cursor)
