"""The published file as a page has it: open once, to read alone, in UTC.

A run replaces the file whole, so a connection goes on with what it has opened: everything of one
rendering is of one as_of. A rendering after that opens the newer file.
"""

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

# A dropdown has room for so many.
MOST_CHOICES = 200


@dataclass(frozen=True, slots=True)
class Served:
    """What `rfq explore` knows beside the file: how the last run ended, and where that is written.

    A page that is opened by itself has none of it, and no other page beside it.
    """

    last_run: Callable[[], str]
    record: Path


@dataclass(frozen=True, slots=True)
class Source:
    """Where the data is: the published file, and one of the reader's own beside it."""

    database: Path
    own_file: Path | None = None
    served: Served | None = None


class Unreadable(Exception):
    """There is nothing to show: why, and what to run."""


@dataclass(frozen=True, slots=True)
class Published:
    """An open file, and what can be chosen in it. `problem` says why there is none."""

    source: Source
    connection: duckdb.DuckDBPyConnection | None = None
    as_of: datetime | None = None
    choices: dict[str, list[str]] | None = None
    problem: str | None = None


def version(source: Source) -> tuple[tuple[int, int] | None, ...]:
    """Which file is there, and which record of runs: another one has another inode or time."""
    files = (source.database, source.served.record if source.served else None)
    return tuple(_version(path) for path in files if path is not None)


def _version(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def opened(source: Source) -> Published:
    """The file as it is now, or why it cannot be shown."""
    try:
        with told(source):
            connection = _connected(source.database)
            ((as_of,),) = connection.execute("select as_of from marts.build_info").fetchall()
            return Published(source, connection, as_of, _choices(connection))
    except Unreadable as error:
        return Published(source, problem=str(error))


@contextmanager
def told(source: Source) -> Iterator[None]:
    """Turn what DuckDB says of a file into what to do about it. Raises `Unreadable`."""
    path = source.database
    try:
        yield
    except (duckdb.BinderException, duckdb.CatalogException):
        raise Unreadable(
            f"{path} was published by an earlier version, or is no published file:"
            " `rfq build` makes it anew"
        ) from None
    except duckdb.Error as error:
        raise Unreadable(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from None


def _connected(path: Path) -> duckdb.DuckDBPyConnection:
    _demand_something(path)
    connection = duckdb.connect()
    name = str(path.absolute()).replace("'", "''")
    connection.execute(f"attach '{name}' as published (read_only)")
    connection.execute("use published; set timezone = 'UTC'")
    return connection


def _demand_something(path: Path) -> None:
    if not path.exists():
        raise Unreadable(f"{path.absolute()} does not exist: `rfq run` makes it")
    if not stat.S_ISREG(path.stat().st_mode):
        raise Unreadable(f"{path} is no file: give the path of a published one")
    if not path.stat().st_size:
        raise Unreadable(f"{path} is empty: `rfq run` makes it")


def _choices(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """The commonest values of each control."""
    found = {}
    for name, query in {
        "series": "select series_ticker, count(*) as n from marts.rfq_facts group by 1",
        "size": "select size_bucket, -min(bucket) as n from (select size_bucket,"
        " 1e9 * (size_bucket like '%cost')::int + marts.bucket_start(size_bucket) as bucket"
        " from marts.rfq_facts) group by 1",
        "legs": "select n_legs::varchar, -min(n_legs) as n from marts.rfq_facts group by 1",
        "maker": "select maker_id, sum(n_rfq_quoted) as n from marts.makers group by 1",
    }.items():
        rows = connection.execute(
            f"select * from ({query}) as t(value, n) where value is not null"
            f" and value <> 'unknown' order by n desc, value limit {MOST_CHOICES}"
        ).fetchall()
        found[name] = [value for value, _ in rows]
    return found
