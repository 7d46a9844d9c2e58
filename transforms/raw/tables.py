"""What reads `raw.sql`: it makes the tables, and tells their columns as Arrow knows them."""

import re
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

_ARROW = {
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "double": pa.float64(),
    "integer[]": pa.list_(pa.int32()),
    "json": pa.string(),
    "timestamptz": TIMESTAMP,
    "varchar": pa.string(),
}
_TABLE = re.compile(
    r"^create table if not exists raw\.(\w+) \(\n(.*?)^\);", re.DOTALL | re.MULTILINE
)
_COLUMN = re.compile(
    r"^ +(?P<name>\w+) (?P<kind>[a-z]+(?:\[\])?(?:\(\d+, \d+\))?)(?P<must> not null)?", re.MULTILINE
)


def create_raw_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the raw tables that are not there yet, and the columns that older ones lack."""
    connection.execute(_declared())


def raw_schema(table: str) -> pa.Schema:
    """Return the columns of a raw table, in the order of `raw.sql`; KeyError if there is none.

    They are read from its text, since a load elsewhere than into DuckDB has no DuckDB to ask.
    """
    return _schemas()[table]


@cache
def _schemas() -> dict[str, pa.Schema]:
    return {table: _schema(columns) for table, columns in _TABLE.findall(_declared())}


def _declared() -> str:
    return (files("transforms.raw") / "raw.sql").read_text()


def _schema(columns: str) -> pa.Schema:
    return pa.schema(
        pa.field(found["name"], _arrow_type(found["kind"]), not found["must"])
        for found in _COLUMN.finditer(columns)
    )


def _arrow_type(kind: str) -> pa.DataType:
    if kind.startswith("decimal"):
        return pa.decimal128(*map(int, re.findall(r"\d+", kind)))
    return _ARROW[kind]
