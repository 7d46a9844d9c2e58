"""From an exception to what a person reads and a scheduler acts on."""

import errno
import traceback
from collections.abc import Iterator

import duckdb

from pipelines.database import DatabaseError
from pipelines.kalshi.errors import ExchangeError

BUG = 70
TRY_LATER = 75


def ending(error: BaseException) -> tuple[str, int]:
    """Return the message and the exit code (sysexits.h) that *error* ends a command with.

    dlt wraps what a resource raises, so the chain of causes is searched for an error of ours. Only
    an unexpected one shows its traceback, which names lines of code but no values.
    """
    for cause in _chain(error):
        if isinstance(cause, ExchangeError | DatabaseError):
            return f"rfq: {cause}", cause.exit_code
        if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
            return (
                "rfq: the disk is full; nothing was published: make room, then run again",
                TRY_LATER,
            )
        if isinstance(cause, duckdb.IOException | duckdb.OutOfMemoryException):
            return f"rfq: DuckDB could not work: {cause}; nothing was published", TRY_LATER
    where = "".join(traceback.format_tb(error.__traceback__))
    return f"{where}rfq: a bug, please report it: {type(error).__name__}", BUG


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
