"""Every published table with its grain and columns, from the catalogue, as a page."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb

from notebooks.report.page import rendered
from transforms.build import build
from transforms.catalogue import LOGS, catalogue, describe, description
from transforms.marts import MARTS
from transforms.raw import create_raw_tables
from transforms.settings import Settings

_UNITS = {
    "_ts": "UTC",
    "_date": "UTC day",
    "_s": "seconds",
    "_us": "microseconds",
    "_dollars": "dollars",
    "_microdollars": "millionths of a dollar",
    "_cents": "cents",
    "_contracts": "contracts",
    "_minutes": "minutes",
    "_rate": "share of 1",
    "_ratio": "share of 1",
    "_share": "share of 1",
    "_low": "as its figure",
    "_high": "as its figure",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column, or a function: its unit by its name, and what it means."""

    name: str
    type: str
    unit: str
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A published table or view; its grain is the last sentence of its text."""

    name: str
    text: str
    grain: str
    columns: list[Column]


def dictionary() -> str:
    """The page. The columns are those of tables built from nothing."""
    with duckdb.connect() as connection:
        create_raw_tables(connection)
        build(connection, MARTS, Settings(as_of=datetime(2026, 1, 1, tzinfo=UTC), viewer_id="-"))
        describe(connection)
        tables = list(_tables(connection))
    macros = [
        Column(name, "function", "", text) for name, text in sorted(catalogue()["macros"].items())
    ]
    return rendered("dictionary.html", tables=tables, macros=macros)


def _tables(connection: duckdb.DuckDBPyConnection) -> Iterator[Table]:
    found = connection.execute(
        "select schema_name, table_name, list((column_name, data_type) order by column_index)"
        " from duckdb_columns() where database_name = current_catalog() and"
        " (schema_name in ('staging', 'marts') or schema_name = 'raw' and table_name in"
        " (select unnest($1))) group by all order by schema_name desc, table_name",
        [LOGS],
    ).fetchall()
    for schema, table, columns in found:
        text, _, grain = (description(schema, table, "_table") or "").rpartition(" One row")
        yield Table(
            f"{schema}.{table}",
            text,
            f"One row{grain}",
            [
                Column(name, _short(kind), _unit(name), description(schema, table, name) or "")
                for name, kind in columns
            ],
        )


def _unit(column: str) -> str:
    if column.startswith("n_"):
        return "count"
    return next((unit for end, unit in _UNITS.items() if column.endswith(end)), "")


def _short(kind: str) -> str:
    """A type in the space of a column: what is in a list of structs stands in its text."""
    return "list" if kind.endswith("[]") else kind.lower().replace(" with time zone", "tz")
