"""From an exception to what a person reads and a scheduler acts on."""

import errno
import traceback
from collections.abc import Iterator

import duckdb

from pipelines import effects
from pipelines.kalshi.client.errors import ExchangeError
from pipelines.operations.runs import is_watched
from pipelines.store.database import DISK_FULL, WAYS_ON
from pipelines.store.errors import DatabaseError, DataRefused, RunAtWork

# The same as in pyproject.toml.
ISSUES = "https://rfq.example/rfq/issues"
BUG = 70
TRY_LATER = 75
CONFIGURATION = 78
INTERRUPTED = 130
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
# DuckDB refuses all further work once a write has failed in the middle of a commit.
_DUCKDB_STOPPED = (
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.FatalException,
    duckdb.TransactionException,
)


def ending(error: BaseException) -> tuple[str, int]:
    """Return the message and the exit code (sysexits.h) that *error* ends a command with.

    dlt wraps what a resource raises, so the chain of causes is searched for an error of ours. Only
    an unexpected one shows its tracebacks, which name lines of code but no values.
    """
    if isinstance(error, KeyboardInterrupt):
        return "rfq: stopped by SIGINT", INTERRUPTED
    chain = list(_chain(error))
    for cause in chain:
        if known := _known(cause):
            return known
    where = "".join("".join(traceback.format_tb(link.__traceback__)) for link in reversed(chain))
    names = " <- ".join(type(link).__name__ for link in chain)
    return f"{where}rfq: a bug, please report it at {ISSUES}: {names}", BUG


def _known(cause: BaseException) -> tuple[str, int] | None:
    if isinstance(cause, RunAtWork) and is_watched(cause.path):
        return (
            f"rfq: a watch is at work on {cause.path}: it loads, builds and publishes what a run"
            " would. Stop it first to do so by hand"
        ), cause.exit_code
    if isinstance(cause, ExchangeError | DatabaseError):
        return f"rfq: {cause}", cause.exit_code
    if isinstance(cause, OSError) and cause.errno in DISK_FULL:
        return _said("the disk is full: make room, then run again."), TRY_LATER
    if isinstance(cause, OSError) and cause.errno in _NOT_ALLOWED:
        where = cause.filename or "a file"
        return _said(f"{where}: {cause.strerror}. Run as its owner, or elsewhere."), CONFIGURATION
    if isinstance(cause, duckdb.Error) and "corrupt" in str(cause).lower():
        return _said(f"the private file is damaged ({cause}). {WAYS_ON}."), DataRefused.exit_code
    if isinstance(cause, _DUCKDB_STOPPED):
        return _said(f"DuckDB could not work: {cause}."), TRY_LATER
    return None


def _said(what: str) -> str:
    return f"rfq: {what} {effects.so_far()}".rstrip()


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and what it came from, nearest first."""
    seen: set[int] = set()
    due = [error]
    while due:
        link = due.pop(0)
        if id(link) not in seen:
            seen.add(id(link))
            yield link
            due += _origins(link)


def _origins(link: BaseException) -> list[BaseException]:
    """What *link* was raised from, what failed in one of dlt's threads, or what it is a group of.

    dlt keeps what a load job failed with, and raises another error without naming it as the cause.
    """
    job = getattr(link, "client_exception", None), getattr(link, "job_exception", None)
    group = link.exceptions if isinstance(link, BaseExceptionGroup) else ()
    origins = (link.__cause__ or link.__context__, *job, *group)
    return [origin for origin in origins if isinstance(origin, BaseException)]
