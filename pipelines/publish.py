"""Publishing: a new file with staging, marts and the extraction log, put in place at once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from pipelines.database import DatabaseBusy, DatabaseError
from transforms.catalogue import LOGS, describe

# Files of this format are read by every DuckDB since 1.4, not only by the one that wrote them.
STORAGE_VERSION = "v1.4.0"


@contextmanager
def last_published(connection: duckdb.DuckDBPyConnection, path: Path) -> Iterator[bool]:
    """Attach the published file as `published` and yield whether there is one.

    Raises `DatabaseBusy` when another program writes to it, and `DatabaseError` when it is a
    database that no run has made: it would be replaced.
    """
    if not path.exists():
        yield False
        return
    _attach_to_read(connection, path)
    try:
        if not _is_ours(connection):
            raise DatabaseError(
                f"{path} is a database of somebody else and was left as it is: "
                "choose another file with --database"
            )
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
    connection.execute(f"attach {_quoted(path)} as draft (storage_version '{STORAGE_VERSION}')")
    try:
        for schema, table in _readable_tables(connection):
            connection.execute(f"create schema if not exists draft.{schema}")
            connection.execute(f"create table draft.{schema}.{table} as from {schema}.{table}")
        connection.execute("use draft")
        connection.execute("create view extraction_runs as from raw.extraction_runs")
        describe(connection)
        connection.execute(f'use "{private}"')
        yield path
        # All of it into the one file that is moved, and nothing into a log beside it.
        connection.execute("checkpoint draft")
    finally:
        connection.execute(f'use "{private}"')
        connection.execute("detach draft")


def put_in_place(draft: Path, path: Path) -> None:
    """Replace *path* by *draft*, so that even a power cut leaves the one or the other whole."""
    _sync(draft)
    draft.replace(path)
    _sync(path.parent)


def _attach_to_read(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    try:
        connection.execute(f"attach {_quoted(path)} as published (read_only)")
    except duckdb.IOException as error:
        if "lock" not in str(error).lower():
            raise
        raise DatabaseBusy(
            f"another program has {path} open for writing, so nothing was published: close it "
            "there, or open it read-only"
        ) from None


def _is_ours(connection: duckdb.DuckDBPyConnection) -> bool:
    found = connection.execute(
        "select count(*) from duckdb_tables() where database_name = 'published'"
        " and schema_name = 'marts' and table_name = 'build_info'"
    ).fetchall()
    return bool(found[0][0])


def _readable_tables(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    return connection.execute(
        "select table_schema, table_name from information_schema.tables"
        " where table_catalog = current_catalog()"
        " and (table_schema in ('staging', 'marts')"
        " or (table_schema = 'raw' and table_name in (select unnest($1))))"
        " order by all",
        [LOGS],
    ).fetchall()


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
