"""The stamp inside each file: what it is and whose rows it holds. A file's name decides nothing."""

from dataclasses import dataclass
from typing import Literal, TypeAlias
from uuid import uuid4

import duckdb

LAYOUT = 2
# Stands for the tables of files that were made before files were stamped.
_PRIVATE_TABLE = ("raw", "rfq_versions")
_PUBLISHED_TABLE = ("marts", "build_info")

Kind: TypeAlias = Literal["private", "published", "empty", "foreign"]


@dataclass(frozen=True, slots=True)
class Stamp:
    """One row of `raw.stamp`.

    *database_id* is shared by a private file and all that is published from it. *exchange* and
    *account_fingerprint* are None until a first load has read the account. *seal* is the id of a
    published file, by which the private file has noted it.
    """

    kind: str
    database_id: str
    layout: int
    exchange: str | None = None
    account_fingerprint: str | None = None
    seal: str | None = None


def make_stamp(connection: duckdb.DuckDBPyConnection, kind: Kind) -> None:
    """Stamp the current database, unless it is stamped already."""
    if read_stamp(connection) is None:
        values = [kind, uuid4().hex, LAYOUT]
        connection.execute("delete from raw.stamp")
        connection.execute(
            "insert into raw.stamp by name select $1 as kind, $2 as database_id, $3 as layout",
            values,
        )


def read_stamp(connection: duckdb.DuckDBPyConnection, catalog: str | None = None) -> Stamp | None:
    """Return the stamp of an attached database, by default the current one; None without one."""
    name = catalog or _current(connection)
    if ("raw", "stamp") not in tables_in(connection, name):
        return None
    rows = connection.execute(
        "select kind, database_id, layout, exchange, account_fingerprint, seal"  # noqa: S608
        f" from {quoted_name(name)}.raw.stamp"
    ).fetchall()
    return Stamp(*rows[0]) if rows else None


def claim(connection: duckdb.DuckDBPyConnection, exchange: str, account_fingerprint: str) -> None:
    """Note in the current database's stamp whose rows it holds from now on."""
    connection.execute(
        "update raw.stamp set exchange = $1, account_fingerprint = $2"
        " where (exchange, account_fingerprint) is distinct from ($1, $2)",
        [exchange, account_fingerprint],
    )


def kind_of(connection: duckdb.DuckDBPyConnection, catalog: str | None = None) -> Kind:
    """Return what an attached database is: ours by its stamp or, older, by its tables."""
    name = catalog or _current(connection)
    stamp = read_stamp(connection, name)
    tables = tables_in(connection, name)
    if stamp is not None and stamp.kind in ("private", "published"):
        return "private" if stamp.kind == "private" else "published"
    if _PRIVATE_TABLE in tables:
        return "private"
    if _PUBLISHED_TABLE in tables:
        return "published"
    return "foreign" if tables else "empty"


def quoted_name(name: str) -> str:
    """*name* as an SQL identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def quoted_text(text: object) -> str:
    """*text* as an SQL literal, for the statements that take no parameters."""
    return "'" + str(text).replace("'", "''") + "'"


def _current(connection: duckdb.DuckDBPyConnection) -> str:
    name: str = connection.execute("select current_catalog()").fetchall()[0][0]
    return name


def tables_in(
    connection: duckdb.DuckDBPyConnection, catalog: str | None = None
) -> set[tuple[str, str]]:
    """Return schema and name of all tables and views of an attached database; by default this."""
    name = catalog or _current(connection)
    found = connection.execute(
        "select schema_name, table_name from duckdb_tables()"
        " where database_name = $1 and not internal union all"
        " select schema_name, view_name from duckdb_views()"
        " where database_name = $1 and not internal",
        [name],
    ).fetchall()
    return {(schema, table) for schema, table in found}
