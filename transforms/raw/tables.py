"""What reads `raw.sql`: it makes the tables, and tells their columns as Arrow knows them."""

from functools import cache
from importlib.resources import files

import duckdb
import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")

LEGS = pa.list_(
    pa.struct(
        {
            "event_ticker": pa.string(),
            "market_ticker": pa.string(),
            "side": pa.string(),
            "yes_settlement_value_dollars": pa.decimal128(18, 6),
        }
    )
)

# What DuckDB keeps as JSON: legs arrive as a list, everything else as text.
_JSON = {"mve_selected_legs": LEGS}


def create_raw_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the raw tables that are not there yet, and the columns that older ones lack."""
    connection.execute((files("transforms.raw") / "raw.sql").read_text())


def raw_schema(table: str) -> pa.Schema:
    """Return the columns of a raw table, in the order of `raw.sql`; KeyError if there is none."""
    return _schemas()[table]


@cache
def _schemas() -> dict[str, pa.Schema]:
    with duckdb.connect() as connection:
        create_raw_tables(connection)
        tables = connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'raw'"
        ).fetchall()
        return {table: _schema(connection, table) for (table,) in tables}


def _schema(connection: duckdb.DuckDBPyConnection, table: str) -> pa.Schema:
    described = connection.execute(f"describe raw.{table}").fetchall()
    stored = connection.sql(f"from raw.{table}").to_arrow_table().schema
    return pa.schema(
        pa.field(name, _arrow_type(name, kind, stored.field(name).type), nullable=null == "YES")
        for name, kind, null, *_ in described
    )


def _arrow_type(name: str, kind: str, stored: pa.DataType) -> pa.DataType:
    if kind == "JSON":
        return _JSON.get(name, pa.string())
    # DuckDB names the zone of the session, and all our times are UTC.
    return TIMESTAMP if kind == "TIMESTAMP WITH TIME ZONE" else stored
