"""What raw holds of each id: its versions, and whether the exchange still knows it.

A version is an id and the hash of everything that it showed. An id that was not found in two runs
is gone: that is appended as a tombstone, nothing is deleted, and a later version outdates it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kalshi.entities import Entity
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
        self._given_to_dlt: set[Key] = set()
        self._load = 0

    def begin_load(self, load: int) -> None:
        """Begin the load of that number; raw holds by now what the last one handed on."""
        self._load = load
        self._given_to_dlt.clear()

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
        is_new = [key not in stored and self._is_first_here(key) for key in keys(stamped)]
        mask = pa.array(is_new, pa.bool_())
        return stamped.filter(mask), stamped.filter(pc.invert(mask))

    @contextmanager
    def _registered(self, rows: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
        self._cursor.register("_rows", rows)
        try:
            yield self._cursor
        finally:
            self._cursor.unregister("_rows")

    def _is_first_here(self, key: Key) -> bool:
        if key in self._given_to_dlt:
            return False
        self._given_to_dlt.add(key)
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


GONE = """
select id, max(first_missing_ts) as first_missing_ts, max(gone_ts) as gone_ts
from raw.tombstones where resource = '{resource}'
group by id having max(gone_ts) > coalesce(max(seen_again_ts), '-infinity'::timestamptz)
"""


class Tombstones:
    """Which ids of one resource ("rfqs", "quotes") are gone, and which of them came back."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, resource: str) -> None:
        self._resource = resource
        self._cursor = connection.cursor()
        self._cursor.execute("set timezone = 'UTC'")
        self._known: dict[str, dict[str, Any]] | None = None
        self._load = 0

    def begin_load(self, load: int) -> None:
        """Look up again which ids are gone: the load before may have found some so."""
        self._load = load
        self._known = None

    def seen_again(self, ids: Iterable[str], observed_ts: datetime) -> pa.Table:
        """Return a row for each of *ids* that was gone: it is not."""
        gone = self._gone()
        back = [gone.pop(id_) for id_ in ids if id_ in gone]
        # Both times are the exchange's whole seconds, which may be the same or have been set back.
        rows = [row | {"seen_again_ts": max(observed_ts, row["gone_ts"])} for row in back]
        return pa.Table.from_pylist(rows, schema=raw_schema("tombstones"))

    def missed(
        self, state: dict[str, Any], id_: str, run_id: str, now: datetime
    ) -> list[dict[str, Any]]:
        """Note in *state* that *id_* was not found; return its tombstone in the second such run."""
        missing: dict[str, dict[str, str]] = state.setdefault("missing", {})
        first = missing.setdefault(id_, {"run_id": run_id, "ts": now.isoformat()})
        if first["run_id"] == run_id:
            return []
        del missing[id_]
        return [self._row(id_, datetime.fromisoformat(first["ts"]), now, None)]

    def _gone(self) -> dict[str, dict[str, Any]]:
        if self._known is None:
            rows = self._cursor.execute(GONE.format(resource=self._resource)).fetchall()
            self._known = {id_: self._row(id_, first, gone, None) for id_, first, gone in rows}
        return self._known

    def _row(
        self, id_: str, first_missing: datetime, gone: datetime, seen_again: datetime | None
    ) -> dict[str, Any]:
        values = (self._resource, id_, first_missing, gone, seen_again, self._load)
        return dict(zip(raw_schema("tombstones").names, values, strict=True))
