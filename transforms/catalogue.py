"""What every published table, column and function means, put into the database itself.

The texts are in `catalogue.toml`; the functions readers add parts up with in `functions.sql`, and
what they ask first in `summary_views.sql`.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import duckdb

# The raw tables that are published: they tell of the reading and hold no row of the exchange.
LOGS = ["coverage", "extraction_runs", "run_phases", "stamp"]
# The marts that the views add up.
_ADDED_UP = {"fill_rates", "response_latencies"}

_HELD = """
select concat(schema_name, '.', table_name), comment from duckdb_tables()
where database_name = current_catalog()
union all
select concat(schema_name, '.', view_name), comment from duckdb_views()
where database_name = current_catalog()
union all
select concat(schema_name, '.', table_name, '."', column_name, '"'), comment from duckdb_columns()
where database_name = current_catalog()
"""


# Tables whose columns mean what those of a view over them mean.
_PARTS_OF = {
    "incremental.visible_rfq_facts": "marts.rfq_facts",
    "incremental.foreign_rfq_facts": "marts.rfq_facts",
    "incremental.quoted_rfqs": "staging.rfqs",
    "incremental.legs": "staging.rfq_legs",
}


def describe(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the SQL functions and views of the current database, and comment all that is in it.

    What has its text already keeps it, and a table or column without one is left as it is;
    `undescribed` lists those.
    """
    define(connection)
    # A thousand statements at once take two thirds of what they take one by one.
    connection.execute("; ".join(["begin", *_comments(connection), "commit"]))


def define(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the SQL functions and views of the current database.

    There are no views where the marts that they add up are not there.
    """
    connection.execute("create schema if not exists marts")
    connection.execute((files("transforms") / "functions.sql").read_text())
    if _marts(connection) >= _ADDED_UP:
        connection.execute((files("transforms") / "summary_views.sql").read_text())


def undescribed(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the published tables and columns that the catalogue has no text for."""
    return [name for name, _, text in _texts(connection) if text is None]


def description(schema: str, table: str, column: str) -> str | None:
    """Return the text for a column, or None: its table's own, else shared, else its family's."""
    texts = catalogue()
    # The extraction log is published twice: as the table it is and as a view without a schema.
    section = "raw.extraction_runs" if table == "extraction_runs" else f"{schema}.{table}"
    own = texts.get(section, {})
    same = {} if column == "_table" else texts.get(_PARTS_OF.get(section, ""), {})
    return own.get(column) or same.get(column) or texts["shared"].get(column) or _family(column)


def _family(column: str) -> str | None:
    for pattern, text in catalogue()["families"].items():
        if match := re.fullmatch(pattern, column):
            return str(text).format(*match.groups())
    return None


def _comments(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    held = set(connection.execute(_HELD).fetchall())
    for name, kind, text in _texts(connection):
        if text is not None and (name, text) not in held:
            yield f"comment on {kind} {name} is {_literal(text)}"
    for name, text in catalogue()["macros"].items():
        yield f"comment on macro marts.{name} is {_literal(text)}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _marts(connection: duckdb.DuckDBPyConnection) -> set[str]:
    found = connection.execute(
        "select table_name from duckdb_tables()"
        " where database_name = current_catalog() and schema_name = 'marts'"
    ).fetchall()
    return {name for (name,) in found}


def _texts(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str | None]]:
    """Return name, kind and text of every published table, view and column."""
    found = connection.execute(
        "select table_schema, table_name, if(table_type = 'VIEW', 'view', 'table'), column_name"
        " from information_schema.columns join information_schema.tables"
        " using (table_catalog, table_schema, table_name)"
        " where table_catalog = current_catalog()"
        " and (table_schema in ('staging', 'marts', 'incremental')"
        " or table_name in (select unnest($1)))"
        " order by table_schema, table_name, ordinal_position",
        [LOGS],
    ).fetchall()
    tables = {
        (f"{schema}.{table}", kind, description(schema, table, "_table"))
        for schema, table, kind, _ in found
    }
    columns = [
        (f'{schema}.{table}."{column}"', "column", description(schema, table, column))
        for schema, table, _, column in found
    ]
    return [*sorted(tables, key=str), *columns]


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """Return the texts by section: "schema.table", "shared", "families" and "macros"."""
    return tomllib.loads((files("transforms") / "catalogue.toml").read_text())
