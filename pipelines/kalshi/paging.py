"""Reading a list: from the top to an absent cursor, though the exchange moves underneath."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import pyarrow.compute as pc

from pipelines.kalshi.client.errors import CursorRefused, ExchangeUnavailable
from pipelines.kalshi.client.reader import Page
from pipelines.kalshi.entities import Entity
from pipelines.kalshi.pages import Rows, next_cursor, read_pages

RESTARTS = 3
FRUITLESS_PAGES = 5
# No batch grows beyond this by a further page: 80 pages of the usual kind have 10 MB.
BATCH_BYTES = 16 * 1024 * 1024

Fetch: TypeAlias = Callable[[str | None], Page]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some consecutive pages of one list, parsed together; times are the exchange's clock.

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


def read_list(entity: Entity, fetch: Fetch, cursor: str | None = None) -> Iterator[Batch]:
    """Yield the list in batches of 1, 2, 4 … `entity.pages_per_batch` pages, from *cursor* on.

    Only an absent, null or empty cursor ends a list: an empty page does not. A cursor that the
    exchange no longer takes starts the list again from the top. Raises `ExchangeUnavailable` when
    cursors repeat or keep expiring, and when pages bring nothing new.
    """
    for _ in range(RESTARTS + 1):
        try:
            yield from _read_once(entity, fetch, cursor)
        except CursorRefused:
            cursor = None
        else:
            return
    raise ExchangeUnavailable(
        f"The cursors of {entity.key} expired {RESTARTS + 1} times while the list was read"
    )


def _read_once(entity: Entity, fetch: Fetch, cursor: str | None) -> Iterator[Batch]:
    used: set[str | None] = set()
    ids: set[str] = set()
    is_first = True
    fruitless = 0
    wanted = 1
    while True:
        pages: list[Page] = []
        size = 0
        while len(pages) < wanted and size < BATCH_BYTES and (not pages or cursor):
            _refuse_repeated(entity, cursor, used)
            page = fetch(cursor)
            cursor = next_cursor(entity, page.body)
            pages.append(page)
            size += len(page.body)
        rows = read_pages(entity, [page.body for page in pages])
        rejected = {row.row_hash for row in rows.rejected}
        found = (set(rows.table.column("id").to_pylist()) | rejected) - ids
        ids |= found
        fruitless = 0 if found else fruitless + len(pages)
        if cursor and fruitless > FRUITLESS_PAGES:
            raise ExchangeUnavailable(
                f"{fruitless} pages of {entity.key} in a row held nothing new"
            )
        started_ts, ended_ts = served_ts(pages[0]), served_ts(pages[-1])
        earned = earned_ts(pages[0], rows) if is_first else None
        told = pages[0].served_ts
        yield Batch(rows, len(pages), started_ts, ended_ts, cursor, is_first, earned, told)
        if not cursor:
            return
        is_first = False
        wanted = min(2 * wanted, entity.pages_per_batch)


def _refuse_repeated(entity: Entity, cursor: str | None, used: set[str | None]) -> None:
    if cursor in used:
        raise ExchangeUnavailable(
            f"The exchange served the same {entity.key} cursor twice: the list would never end"
        )
    used.add(cursor)
