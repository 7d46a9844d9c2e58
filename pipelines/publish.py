"""Publishing: a new file with staging, marts and the extraction log, put in place at once."""

import os
from pathlib import Path

import duckdb
from transforms.catalogue import describe

# Files of this format are read by every DuckDB since 1.4, not only by the one that wrote them.
STORAGE_VERSION = "v1.4.0"


def publish(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write what readers may see to a new file and replace *path* by it atomically.

    No private field is in it: the staging views do not show them, and raw stays behind but for
    `raw.extraction_runs`.
    """
    draft = path.with_name(f".{path.stem}.draft.duckdb")
    draft.unlink(missing_ok=True)
    private = connection.execute("select current_catalog()").fetchall()[0][0]
    connection.execute(f"attach '{draft}' as draft (storage_version '{STORAGE_VERSION}')")
    try:
        for schema, table in _readable_tables(connection):
            connection.execute(f"create schema if not exists draft.{schema}")
            connection.execute(f"create table draft.{schema}.{table} as from {schema}.{table}")
        connection.execute("use draft")
        connection.execute("create view extraction_runs as from raw.extraction_runs")
        describe(connection)
    finally:
        connection.execute(f'use "{private}"')
        connection.execute("detach draft")
    _put_in_place(draft, path)


def _readable_tables(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    return connection.execute(
        "select table_schema, table_name from information_schema.tables"
        " where table_catalog = current_catalog()"
        " and (table_schema in ('staging', 'marts')"
        " or (table_schema = 'raw' and table_name = 'extraction_runs'))"
        " order by all"
    ).fetchall()


def _put_in_place(draft: Path, path: Path) -> None:
    _sync(draft)
    draft.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
