"""Reading a list: from the top to an absent cursor, though the exchange moves underneath."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from pipelines.kalshi.client import Page
from pipelines.kalshi.errors import CursorRefused, ExchangeUnavailable
from pipelines.kalshi.pages import Rows, next_cursor, read_pages
from pipelines.kalshi.schema import Entity

RESTARTS = 3
FRUITLESS_PAGES = 5

Fetch: TypeAlias = Callable[[str | None], Page]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some consecutive pages of one list, parsed together; times are the exchange's clock."""

    rows: Rows
    pages: int
    started_ts: datetime
    ended_ts: datetime
    next_cursor: str | None = None
    is_first: bool = False


def served_ts(page: Page) -> datetime:
    """When the exchange served *page* by its own clock; by ours where it did not say."""
    return page.served_ts or page.received_ts


def read_list(
    entity: Entity, fetch: Fetch, pages_per_batch: int, cursor: str | None = None
) -> Iterator[Batch]:
    """Yield the list in batches of 1, 2, 4 … *pages_per_batch* pages, starting at *cursor*.

    Only an absent, null or empty cursor ends a list: an empty page does not. A cursor that the
    exchange no longer takes starts the list again from the top. Raises `ExchangeUnavailable` when
    cursors repeat or keep expiring, and when pages bring nothing new.
    """
    for _ in range(RESTARTS + 1):
        try:
            yield from _read_once(entity, fetch, pages_per_batch, cursor)
        except CursorRefused:
            cursor = None
        else:
            return
    raise ExchangeUnavailable(
        f"The cursors of {entity.key} expired {RESTARTS + 1} times while the list was read"
    )


def _read_once(
    entity: Entity, fetch: Fetch, pages_per_batch: int, cursor: str | None
) -> Iterator[Batch]:
    used: set[str | None] = set()
    ids: set[str] = set()
    is_first = True
    fruitless = 0
    wanted = 1
    while True:
        pages: list[Page] = []
        while len(pages) < wanted and (not pages or cursor):
            _refuse_repeated(entity, cursor, used)
            page = fetch(cursor)
            cursor = next_cursor(entity, page.body)
            pages.append(page)
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
        yield Batch(rows, len(pages), started_ts, ended_ts, cursor, is_first)
        if not cursor:
            return
        is_first = False
        wanted = min(2 * wanted, pages_per_batch)


def _refuse_repeated(entity: Entity, cursor: str | None, used: set[str | None]) -> None:
    if cursor in used:
        raise ExchangeUnavailable(
            f"The exchange served the same {entity.key} cursor twice: the list would never end"
        )
    used.add(cursor)
