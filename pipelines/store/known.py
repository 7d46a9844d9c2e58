"""Raw as it was known after a load, in a database of its own, and what was published of it when."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb

from pipelines.kalshi.moments import Moments
from pipelines.store.errors import DatabaseError
from pipelines.store.stamp import quoted_text

# The large tables are looked through, the others copied: a rule reads their rows by their place.
_LOOKED_THROUGH = ("rfq_versions", "quote_versions", "leg_lists", "last_seen", "rejected_rows")
_NOTE = """
insert into raw.publications by name
select load, as_of, known_until, maturity_s, {is_complete} as is_market_complete
from {published}.marts.build_info as shown
where (select database_id from {published}.raw.stamp) = (select database_id from raw.stamp)
    and not exists (
        from raw.publications as noted
        where (noted.load, noted.as_of, noted.known_until, noted.maturity_s) is not distinct from
            (shown.load, shown.as_of, shown.known_until, shown.maturity_s)
    )
"""
_SHOWN_AT = """
select load, as_of, known_until, maturity_s, coalesce(is_market_complete, true)
from raw.publications
where known_until <= $1 order by rowid desc limit 1
"""


def note_publication(connection: duckdb.DuckDBPyConnection, catalog: str) -> None:
    """Note in raw what the attached *catalog* shows, which was published.

    A file of another database, or one from before loads were numbered, is nothing to note.
    """
    columns = connection.execute(
        "select column_name from duckdb_columns() where schema_name = 'marts'"
        " and table_name = 'build_info' and database_name = $1",
        [catalog],
    ).fetchall()
    if {("load",), ("known_until",)} <= set(columns):
        name = "is_market_complete"
        is_complete = name if (name,) in columns else "null::boolean"
        connection.execute(_NOTE.format(published=catalog, is_complete=is_complete))


def shown_at(
    connection: duckdb.DuckDBPyConnection, moment: datetime
) -> tuple[int, Moments, float | None]:
    """Return what the last run that ended by *moment* published: its last load, moments, and M.

    M is None where a version that did not note it has published.
    Raises `DatabaseError` before the first one.
    """
    found = connection.execute(_SHOWN_AT, [moment]).fetchall()
    if found:
        ((load, as_of, known_until, maturity_s, is_complete),) = found
        return load, Moments(as_of, known_until, is_complete), maturity_s
    ((first,),) = connection.execute("select min(known_until) from raw.publications").fetchall()
    known = (
        "none that noted what it published has ended yet: `rfq run`"
        if first is None
        else f"the first that noted what it published ended at {first:%Y-%m-%d %H:%M:%S}"
    )
    raise DatabaseError(f"no run had ended by {moment:%Y-%m-%d %H:%M:%S.%f} UTC: {known}")


@contextmanager
def known_after(private: Path, directory: Path, load: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database in *directory* whose raw is that of the *private* file after that load.

    What is made in it is no part of the private file, which is only read.
    """
    with duckdb.connect(directory / "known.duckdb") as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"attach {quoted_text(private)} as whole (read_only)")
        connection.execute("create schema raw")
        for table, is_numbered in _raw_tables(connection):
            kind = "view" if table in _LOOKED_THROUGH else "table"
            upto = f" where load <= {load}" if is_numbered else ""
            connection.execute(f"create {kind} raw.{table} as from whole.raw.{table}{upto}")
        yield connection


def _raw_tables(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, bool]]:
    """Our own tables of raw, and whether their rows carry the number of their load."""
    return connection.execute(
        "select table_name, bool_or(column_name = 'load') from duckdb_columns()"
        " where database_name = 'whole' and schema_name = 'raw' and table_name not like '\\_%'"
        " escape '\\' group by table_name order by table_name"
    ).fetchall()
