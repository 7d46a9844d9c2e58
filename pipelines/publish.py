"""Publishing: a new file with staging, marts and the extraction log, put in place at once."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipelines.database import (
    DatabaseError,
    copied,
    demand_publishable,
    log_beside,
    put_aside,
)
from pipelines.effects import begin_publishing
from pipelines.stamp import (
    Stamp,
    quoted_name,
    quoted_text,
    seal,
    seal_of,
)
from transforms.catalogue import LOGS, describe

# Files of this format are read by every DuckDB since 1.4, not only by the one that wrote them.
STORAGE_VERSION = "v1.4.0"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Last:
    """A copy of what was published last, and the stamp in it; None in one of an older version."""

    copy: Path
    stamp: Stamp | None


def last_published(path: Path, directory: Path, *, is_ours: bool) -> Last | None:
    """Copy the published file into *directory* and return the copy, or None if there is none.

    The file itself is never opened, so no reader and no forgotten shell can stop a run. Raises
    `DatabaseError` for a file that no run has made: it would be replaced. One whose rows somebody
    has changed is put aside, and so is one that cannot be read if it *is_ours*, which the private
    file beside it tells.
    """
    if not path.exists() or not path.stat().st_size:
        return None
    copy = copied(path, directory)
    with duckdb.connect() as connection:
        try:
            connection.execute(f"attach {quoted_text(copy)} as published (read_only)")
            kind, stamp = demand_publishable(connection, "published", path)
            if kind == "empty":
                return None
            is_sound = seal_of(connection, "published") == (stamp and stamp.seal)
        except duckdb.Error as error:
            if not is_ours:
                raise DatabaseError(
                    f"{path} cannot be read ({str(error).splitlines()[0]}) and was left as it is: "
                    "move it away, or choose another file with --database"
                ) from None
            aside = put_aside(path, "damaged")
            _log.warning("%s cannot be read and is now %s; it is made anew", path, aside.name)
            return None
    if stamp is not None and not is_sound:
        aside = put_aside(path, "changed")
        _log.warning("somebody has changed %s: it is now %s and made anew", path, aside.name)
        return None
    return Last(copy, stamp)


@contextmanager
def attached(connection: duckdb.DuckDBPyConnection, last: Last | None) -> Iterator[bool]:
    """Attach the copy of the last published file as `published`; yield whether there is one."""
    if last is None:
        yield False
        return
    connection.execute(f"attach {quoted_text(last.copy)} as published (read_only)")
    try:
        yield True
    finally:
        connection.execute("detach published")


@contextmanager
def drafted(connection: duckdb.DuckDBPyConnection, directory: Path) -> Iterator[Path]:
    """Write what readers may see to a new file in *directory*, attached as `draft` meanwhile.

    No private field is in it: the staging views do not show them, and of raw only the `LOGS` go
    along. The file is complete once the context is left.
    """
    path = directory / "draft.duckdb"
    private = connection.execute("select current_catalog()").fetchall()[0][0]
    connection.execute(f"attach {quoted_text(path)} as draft (storage_version '{STORAGE_VERSION}')")
    try:
        for schema, table in _readable_tables(connection):
            name = f"{schema}.{quoted_name(table)}"
            connection.execute(f"create schema if not exists draft.{schema}")
            connection.execute(f"create table draft.{name} as from {quoted_name(private)}.{name}")
        connection.execute("use draft.main")
        seal(connection)
        connection.execute("create view extraction_runs as from raw.extraction_runs")
        describe(connection)
        connection.execute(f"use {quoted_name(private)}")
        yield path
        # All of it into the one file that is moved, and nothing into a log beside it.
        connection.execute("checkpoint draft")
    finally:
        connection.execute(f"use {quoted_name(private)}")
        connection.execute("detach draft")


def replace_published(draft: Path, path: Path, *, is_published: bool = True) -> None:
    """Replace *path* by *draft*, so that even a power cut leaves the one or the other whole.

    A log beside it belongs to the file that was there before, which somebody wrote to: with it the
    new one could not be opened.
    """
    _sync(draft)
    log = log_beside(path)
    if log.exists():
        aside = put_aside(log, "stray")
        _log.warning("%s belongs to no file any more and is now %s", log, aside.name)
    if is_published:
        begin_publishing(draft, path)
    draft.replace(path)
    _sync(path.parent)


def _readable_tables(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    return connection.execute(
        "select table_schema, table_name from information_schema.tables"
        " where table_catalog = current_catalog()"
        " and (table_schema in ('staging', 'marts')"
        " or (table_schema = 'raw' and table_name in (select unnest($1))))"
        " order by all",
        [LOGS],
    ).fetchall()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
