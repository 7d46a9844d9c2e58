"""Exchange JSON objects as raw rows of an in-memory database."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import duckdb
import pyarrow as pa

from transforms.raw import create_raw_tables, raw_schema

Objects = Sequence[Mapping[str, Any]]
SIDES = ("made", "received")
# Columns that a load adds; here they are derived from the object.
LOADED = ("unknown_fields", "version_hash", "observed_pass", "load")


def load_objects(
    connection: duckdb.DuckDBPyConnection, rfqs: Objects, quotes: Objects, passes: Objects = ()
) -> None:
    """Create the raw tables in *connection* and insert the objects, each a version of its id."""
    rfqs, quotes = _with_sights("rfqs", rfqs), _with_sights("quotes", quotes)
    served = [_pass(place, each) for place, each in enumerate(passes)]
    connection.execute("set timezone = 'UTC'")
    create_raw_tables(connection)
    _insert(connection, "raw.rfq_versions", _with_legs_apart(connection, rfqs))
    _insert(connection, "raw.quote_versions", quotes)
    if served:
        connection.executemany("insert into raw.passes values ($1, $2, 0)", served)


def _with_legs_apart(connection: duckdb.DuckDBPyConnection, rfqs: Objects) -> Objects:
    """Store each list of legs once, and return the RFQs with the `leg_list` that names theirs."""
    columns = raw_schema("leg_lists")
    named: list[Mapping[str, Any]] = []
    lists: dict[str, dict[str, Any]] = {}
    for each in rfqs:
        market, legs = (_text(each.get(name)) for name in ("market_ticker", "mve_selected_legs"))
        if legs:
            leg_list = _hash({"market_ticker": market, "legs": legs})
            lists[leg_list] = dict(zip(columns.names, (leg_list, market, legs, 0), strict=True))
        named.append({**each, "leg_list": leg_list} if legs else each)
    connection.register("_lists", pa.Table.from_pylist(list(lists.values()), schema=columns))
    connection.execute("insert into raw.leg_lists from _lists")
    connection.unregister("_lists")
    return named


def utc(moment: datetime | str) -> datetime:
    """Return *moment* in UTC, which it is taken to be in where it names no zone."""
    parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def _with_sights(name: str, objects: Objects) -> Objects:
    """Return the objects with each `observed_ts` as the text of a moment."""
    return [
        each
        if each.get("observed_ts") is None
        else {**each, "observed_ts": _moment(f"{name}[{place}]", each, "observed_ts").isoformat()}
        for place, each in enumerate(objects)
    ]


def _pass(place: int, each: Mapping[str, Any]) -> tuple[str, datetime]:
    side = each.get("side")
    if side not in SIDES:
        raise ValueError(f"passes[{place}]: side was {side!r}, not one of {' and '.join(SIDES)}")
    return str(side), _moment(f"passes[{place}]", each, "served_ts")


def _moment(name: str, each: Mapping[str, Any], field: str) -> datetime:
    value = each.get(field)
    try:
        return utc(value)  # type: ignore[arg-type]  # what is neither raises, too
    except (AttributeError, ValueError, OverflowError):
        raise ValueError(f"{name}: {field} was {value!r}, which is no time") from None


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
    # An object that says nothing of when it was read is taken as known from the start.
    connection.execute(
        f"insert into {table} by name select * replace (coalesce(observed_ts, created_ts)"  # noqa: S608
        " as observed_ts), if(observed_ts is null, 'evaluation', 'observation') as observed_pass"
        f" from (select {casts}, version_hash from _objects)"
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
