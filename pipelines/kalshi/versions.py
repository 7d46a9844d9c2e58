"""Which observed states are new: a version is an id and the hash of everything it showed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kalshi.schema import Entity
from transforms.raw import TIMESTAMP, raw_schema

Key: TypeAlias = tuple[str, str]


class Versions:
    """The states of one entity: those raw already holds, and those this load has handed on."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, entity: Entity) -> None:
        self.table = entity.table
        self.entity = entity
        self._cursor = connection.cursor()
        self._cursor.execute("set timezone = 'UTC'")
        self._schema = raw_schema(entity.table)
        self._hash = _hash_expression(entity)
        self._handed_on: set[Key] = set()
        self._load = 0

    def begin_load(self, load: int) -> None:
        """Begin the load of that number; raw holds by now what the last one handed on."""
        self._load = load
        self._handed_on.clear()

    def held(self, ids: list[str]) -> set[str]:
        """Return which of *ids* raw holds in any version."""
        found = self._cursor.execute(
            f"select distinct id from raw.{self.table} where id in (select unnest($1))",  # noqa: S608
            [ids],
        ).fetchall()
        return {id_ for (id_,) in found}

    def stamp(self, rows: pa.Table, observed_ts: datetime, observed_pass: str) -> pa.Table:
        """Add `version_hash`, `observed_ts`, `observed_pass` and `load` to *rows*."""
        return (
            rows.append_column("version_hash", self.hashes(rows))
            .append_column("observed_ts", _repeated(observed_ts, TIMESTAMP, len(rows)))
            .append_column("observed_pass", _repeated(observed_pass, pa.string(), len(rows)))
            .append_column("load", _repeated(self._load, pa.int64(), len(rows)))
            .cast(self._schema)
        )

    def hashes(self, rows: pa.Table) -> pa.Array:
        """Return the version hash of each row; it depends on nothing but the row."""
        with self._registered(rows) as cursor:
            found = cursor.execute(f"select md5({self._hash}) from _rows").fetchall()  # noqa: S608
        return pa.array([text for (text,) in found], pa.string())

    def told_apart(self, stamped: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Return the rows whose version neither raw nor this load holds, and the others."""
        with self._registered(stamped.select(("created_ts", "id", "version_hash"))) as cursor:
            held = cursor.execute(
                f"select id, version_hash from _rows"  # noqa: S608
                f" semi join raw.{self.table} using (created_ts, id, version_hash)"
            ).fetchall()
        stored = set(held)
        is_new = [key not in stored and self._hand_on(key) for key in keys(stamped)]
        mask = pa.array(is_new, pa.bool_())
        return stamped.filter(mask), stamped.filter(pc.invert(mask))

    @contextmanager
    def _registered(self, rows: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
        self._cursor.register("_rows", rows)
        try:
            yield self._cursor
        finally:
            self._cursor.unregister("_rows")

    def _hand_on(self, key: Key) -> bool:
        if key in self._handed_on:
            return False
        self._handed_on.add(key)
        return True


def _repeated(value: Any, kind: pa.DataType, times: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), times)


def keys(stamped: pa.Table) -> list[Key]:
    """Return (id, version_hash) of each row, in order."""
    ids = stamped.column("id").to_pylist()
    return list(zip(ids, stamped.column("version_hash").to_pylist(), strict=True))


def _hash_expression(entity: Entity) -> str:
    # A NULL drops out together with its name, so a field that the exchange adds later changes no
    # old hash. chr(31) separates fields and occurs in no JSON text unescaped.
    names = [*entity.fields.names, "unknown_fields"]
    parts = ", ".join(f"'{name}=' || {_text(entity, name)}" for name in names)
    return f"concat_ws(chr(31), {parts})"


def _text(entity: Entity, name: str) -> str:
    if name == "unknown_fields":
        return name
    kind = entity.fields.field(name).type
    if pa.types.is_timestamp(kind):
        return f"epoch_us({name})::varchar"
    return f"to_json({name})::varchar" if pa.types.is_list(kind) else f"{name}::varchar"
