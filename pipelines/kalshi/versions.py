"""What raw holds of each id: its versions, and whether the exchange still knows it.

A version is an id and the hash of everything that it showed. An id that was not found in two runs
is gone: that is appended as a tombstone, nothing is deleted, and a later version outdates it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kalshi.entities import Entity
from pipelines.kalshi.hashing import version_hashes
from transforms.raw import raw_schema, with_conditions

Key: TypeAlias = tuple[str, str]


class Versions:
    """The states of one entity: those raw already holds, and those this load has handed on."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, entity: Entity) -> None:
        self.table = entity.table
        self.entity = entity
        self._cursor = connection.cursor()
        self._cursor.execute("set timezone = 'UTC'")
        self._schema = entity.version
        # By their hashes, as numbers, which take a fifth of the memory: a load may have millions.
        self._given_to_dlt: set[int] = set()
        self._load = 0

    def begin_load(self, load: int) -> None:
        """Begin the load of that number; raw holds by now what the last one handed on."""
        self._load = load
        self._given_to_dlt.clear()

    def held(self, rows: pa.Table) -> set[str]:
        """Return which ids of *rows* raw holds in any version."""
        found: set[str] = set()
        for part in by_day(rows.select(("created_ts", "id"))):
            with self._registered(part) as cursor:
                query = f"select distinct id from raw.{self.table} semi join _rows using (id)"  # noqa: S608
                found |= {id_ for (id_,) in cursor.execute(f"{query} {_within(part)}").fetchall()}
        return found

    def stamp(self, rows: pa.Table, observed_pass: str) -> pa.Table:
        """Add `version_hash`, `observed_pass` and `load` to *rows*, whose `observed_ts` stays."""
        seen = rows.column("observed_ts")
        rows = rows.drop_columns("observed_ts")
        return (
            rows.append_column("version_hash", self.hashes(rows))
            .append_column("observed_ts", seen)
            .append_column("observed_pass", _repeated(observed_pass, pa.string(), len(rows)))
            .append_column("load", _repeated(self._load, pa.int64(), len(rows)))
            .cast(self._schema)
        )

    def hashes(self, rows: pa.Table) -> pa.Array:
        """Return the version hash of each row; it depends on nothing but the row."""
        return version_hashes(self.entity, rows)

    def told_apart(self, stamped: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Return the rows whose version neither raw nor this load holds, and the others."""
        stored: set[Key] = set()
        for part in by_day(stamped.select(("created_ts", "id", "version_hash"))):
            with self._registered(part) as cursor:
                held = cursor.execute(
                    f"select id, version_hash from raw.{self.table}"  # noqa: S608
                    f" semi join _rows using (created_ts, id, version_hash) {_within(part)}"
                ).fetchall()
            stored.update(held)
        is_new = [key not in stored and self._is_first_here(key[1]) for key in keys(stamped)]
        mask = pa.array(is_new, pa.bool_())
        return stamped.filter(mask), stamped.filter(pc.invert(mask))

    @contextmanager
    def _registered(self, rows: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
        self._cursor.register("_rows", rows)
        try:
            yield self._cursor
        finally:
            self._cursor.unregister("_rows")

    def _is_first_here(self, version_hash: str) -> bool:
        number = int(version_hash, 16)
        if number in self._given_to_dlt:
            return False
        self._given_to_dlt.add(number)
        return True


def by_day(rows: pa.Table) -> Iterator[pa.Table]:
    """Yield *rows* by the day they were created, so that each is looked up among its own.

    DuckDB skips what lies outside the least and the greatest `created_ts` asked for: one old row
    among recent ones would have it read all that lies between.
    """
    days = pc.floor_temporal(rows.column("created_ts"), unit="day")
    for day in pc.unique(days):
        yield rows.filter(pc.equal(days, day))


def _within(rows: pa.Table) -> str:
    """The condition that names the least and the greatest `created_ts` of *rows*."""
    span = pc.min_max(rows.column("created_ts"))
    low, high = (pc.strftime(span[end], "%Y-%m-%d %H:%M:%S+00").as_py() for end in ("min", "max"))
    return f"where created_ts between timestamptz '{low}' and timestamptz '{high}'"


def _repeated(value: Any, kind: pa.DataType, times: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), times)


def keys(stamped: pa.Table) -> list[Key]:
    """Return (id, version_hash) of each row, in order."""
    ids = stamped.column("id").to_pylist()
    return list(zip(ids, stamped.column("version_hash").to_pylist(), strict=True))


GONE = with_conditions("""
select id, first_missing_ts, gone_ts from (
    select
        id, max(first_missing_ts) as first_missing_ts,
        max(gone_ts) as gone_ts, max(seen_again_ts) as seen_again_ts,
    from {tombstones} where resource = '{resource}' and gone_ts >= {since} group by id
) where $is_gone
""")


# How much later than its id's creation a tombstone may be dated earlier: clocks differ and step.
_CLOCKS_DIFFER = timedelta(days=1)
_GONE_AMONG = f"""
select * from ({GONE}) where id in (select unnest($1))
"""  # noqa: S608


class Tombstones:
    """Which ids of one resource ("rfqs", "quotes") are gone, and which of them came back."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, resource: str) -> None:
        self._resource = resource
        self._cursor = connection.cursor()
        self._cursor.execute("set timezone = 'UTC'")
        self._back: set[str] = set()
        self._load = 0

    def begin_load(self, load: int) -> None:
        """Begin the load of that number; raw holds by now what the last one handed on."""
        self._load = load
        self._back.clear()

    def seen_again(self, rows: pa.Table, observed_ts: datetime) -> pa.Table:
        """Return a row for each id of *rows* that was gone: it is not."""
        back = [row for row in self._gone(rows) if row["id"] not in self._back]
        self._back.update(row["id"] for row in back)
        # Both times are the exchange's whole seconds, which may be the same or have been set back.
        again = [row | {"seen_again_ts": max(observed_ts, row["gone_ts"])} for row in back]
        return pa.Table.from_pylist(again, schema=raw_schema("tombstones"))

    def missed(
        self, state: dict[str, Any], id_: str, run_id: str, now: datetime
    ) -> dict[str, Any] | None:
        """Note in *state* that *id_* was not found; return its tombstone in the second such run."""
        missing: dict[str, dict[str, str]] = state.setdefault("missing", {})
        first = missing.setdefault(id_, {"run_id": run_id, "ts": now.isoformat()})
        if first["run_id"] == run_id:
            return None
        del missing[id_]
        return self._row(id_, datetime.fromisoformat(first["ts"]), now, None)

    def _gone(self, rows: pa.Table) -> list[dict[str, Any]]:
        """The tombstones of *rows*. One is younger than its id, so no older ones are looked at."""
        since = pc.min(rows.column("created_ts")).as_py() - _CLOCKS_DIFFER
        query = _GONE_AMONG.format(
            tombstones="raw.tombstones", resource=self._resource, since=f"timestamptz '{since}'"
        )
        found = self._cursor.execute(query, [rows.column("id").to_pylist()]).fetchall()
        return [self._row(id_, first, gone, None) for id_, first, gone in found]

    def _row(
        self, id_: str, first_missing: datetime, gone: datetime, seen_again: datetime | None
    ) -> dict[str, Any]:
        values = (self._resource, id_, first_missing, gone, seen_again, self._load)
        return dict(zip(raw_schema("tombstones").names, values, strict=True))
