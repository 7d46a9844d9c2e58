"""Exchange JSON objects as raw rows of an in-memory database."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import duckdb
import pyarrow as pa

from transforms.build import raw_tables

Objects = Sequence[Mapping[str, Any]]
# What a load adds to an object; an evaluation makes it up from the object itself.
LOADED = ("unknown_fields", "version_hash", "observed_ts", "observed_pass", "load")


def load_objects(connection: duckdb.DuckDBPyConnection, rfqs: Objects, quotes: Objects) -> None:
    """Create the raw tables in *connection* and insert the objects, each a version of its id."""
    connection.execute("set timezone = 'UTC'")
    raw_tables(connection)
    _insert(connection, "raw.rfq_versions", rfqs)
    _insert(connection, "raw.quote_versions", quotes)


def _insert(connection: duckdb.DuckDBPyConnection, table: str, objects: Objects) -> None:
    types = {name: kind for name, kind, *_ in connection.execute(f"describe {table}").fetchall()}
    fields = [name for name in types if name not in LOADED]
    texts = {name: [_text(each.get(name)) for each in objects] for name in fields}
    hashes = [_hash(each) for each in objects]
    connection.register(
        "_objects",
        pa.table(
            {name: pa.array(values, pa.string()) for name, values in texts.items()}
            | {"version_hash": pa.array(hashes, pa.string())}
        ),
    )
    casts = ", ".join(_cast(name, types[name]) for name in fields)
    # An object is taken as known from the start: its own timestamps say what happened when.
    connection.execute(
        f"insert into {table} by name select {casts}, version_hash,"  # noqa: S608  names are ours
        " created_ts::timestamptz as observed_ts, 'evaluation' as observed_pass from _objects"
    )
    connection.unregister("_objects")


def _cast(name: str, kind: str) -> str:
    text = name if kind == "VARCHAR" else f"nullif({name}, '')"
    return f"{text}::{kind} as {name}"


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, default=str)


def _hash(each: Mapping[str, Any]) -> str:
    return sha256(json.dumps(each, sort_keys=True, default=str).encode()).hexdigest()
