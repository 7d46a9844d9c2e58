"""Which observed states are new: a version is an id and the hash of everything it showed."""

from datetime import datetime
from typing import TypeAlias

import duckdb
import pyarrow as pa

from pipelines.kalshi.schema import Entity
from pipelines.kalshi.tables import version_schema

Key: TypeAlias = tuple[str, str]


class Versions:
    """The states of one entity: those raw already holds, and those this run has handed on."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: str, entity: Entity) -> None:
        self.table = table
        self._cursor = connection.cursor()
        self._cursor.execute("set timezone = 'UTC'")
        self._schema = version_schema(entity)
        self._hash = _hash_expression(entity)
        self._handed_on: set[Key] = set()

    def stamp(self, rows: pa.Table, observed_ts: datetime, observed_pass: str) -> pa.Table:
        """Add `version_hash`, `observed_ts` and `observed_pass` to *rows*."""
        self._cursor.register("_rows", rows)
        stamped = self._cursor.sql(
            f"select *, md5({self._hash}) as version_hash, $1 as observed_ts, $2 as observed_pass"  # noqa: S608
            " from _rows",
            params=[observed_ts, observed_pass],
        ).to_arrow_table()
        self._cursor.unregister("_rows")
        return stamped.cast(self._schema)

    def new(self, stamped: pa.Table) -> pa.Table:
        """Return the rows of *stamped* whose version neither raw nor this run has seen."""
        self._cursor.register("_rows", stamped)
        unstored = self._cursor.sql(
            f"from _rows anti join raw.{self.table} using (created_ts, id, version_hash)"
        ).to_arrow_table()
        self._cursor.unregister("_rows")
        mask = [self._hand_on(key) for key in keys(unstored)]
        return unstored.filter(pa.array(mask, pa.bool_())).cast(self._schema)

    def _hand_on(self, key: Key) -> bool:
        if key in self._handed_on:
            return False
        self._handed_on.add(key)
        return True


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
