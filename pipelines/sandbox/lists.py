"""Pages of a list: last updated first, with a keyset cursor, and with the faults that are set."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pipelines.sandbox.faults import Faults
from pipelines.sandbox.queries import Cursor, Key, Placed
from pipelines.sandbox.refusal import Refused, invalid

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
