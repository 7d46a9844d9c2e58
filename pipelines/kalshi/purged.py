"""What was purged and must not come back, though the exchange still lists it.

Of purged ids only hashes are kept, as their bytes must be in none of our files. The tables are made
by the first purge.
"""

from dataclasses import replace

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kalshi.entities import RFQ, Entity
from pipelines.kalshi.pages import Rejected
from pipelines.kalshi.paging import Batch
from transforms.raw import TIMESTAMP

MAKE_TABLES = """
create table if not exists raw.purges (purged_ts timestamptz not null, before_ts timestamptz);
create table if not exists raw.purged_ids (resource varchar not null, id_hash uhugeint not null);
"""
_IS_PURGED = """
select exists (from raw.purged_ids as gone
    where gone.resource = $2 and gone.id_hash = md5_number(asked.id))
from (select unnest($1) as id, generate_subscripts($1, 1) as place) as asked order by place
"""


# How each table is handed over, and taken: Arrow has no numbers as long as these hashes, and to
# write them as text takes two hundred times as long as to halve them.
_TABLES = {
    "purges": ("from raw.purges", "from _purged"),
    "purged_ids": (
        "select resource, (id_hash >> 64)::ubigint as high,"
        " (id_hash & 18446744073709551615::uhugeint)::ubigint as low from raw.purged_ids",
        "select resource, (high::uhugeint << 64) | low::uhugeint as id_hash from _purged",
    ),
}


def purges(cursor: duckdb.DuckDBPyConnection) -> dict[str, pa.Table]:
    """Return the tables that tell of purges, by name; none before the first one."""
    if not _are_there(cursor):
        return {}
    return {name: cursor.sql(handed).to_arrow_table() for name, (handed, _) in _TABLES.items()}


def note_purged(connection: duckdb.DuckDBPyConnection, told: dict[str, pa.Table]) -> None:
    """Let another database know what was purged."""
    if told:
        connection.execute(MAKE_TABLES)
    for name, rows in told.items():
        connection.register("_purged", rows)
        _, taken = _TABLES[name]
        connection.execute(f"insert into raw.{name} by name {taken}")
        connection.unregister("_purged")


def _are_there(cursor: duckdb.DuckDBPyConnection) -> bool:
    found = cursor.execute(
        "select count(*) from duckdb_tables() where database_name = current_catalog()"
        " and schema_name = 'raw' and table_name in (select unnest($1))",
        [list(_TABLES)],
    ).fetchall()
    return bool(found == [(len(_TABLES),)])


class Purged:
    """Which rows of the exchange's answers are left out: those before a moment, those by id."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._cursor = connection.cursor()
        self._cursor.execute("set timezone = 'UTC'")
        self._is_any = _are_there(self._cursor)
        self._before_ts = None
        if self._is_any:
            ((self._before_ts,),) = self._cursor.execute(
                "select max(before_ts) from raw.purges"
            ).fetchall()

    def left_of(self, batch: Batch, entity: Entity) -> Batch:
        """Return *batch* without what was purged."""
        if not self._is_any:
            return batch
        table = batch.rows.table
        keep = pc.invert(self._gone(entity.key, table.column("id")))
        if "rfq_id" in table.column_names:
            keep = pc.and_(keep, pc.invert(self._gone(RFQ.key, table.column("rfq_id"))))
        if self._before_ts is not None:
            before = pa.scalar(self._before_ts, TIMESTAMP)
            keep = pc.and_(keep, pc.greater_equal(table.column("created_ts"), before))
        rejected = tuple(row for row in batch.rows.rejected if not self._is_rejected_gone(row))
        return replace(batch, rows=replace(batch.rows, table=table.filter(keep), rejected=rejected))

    def _gone(self, resource: str, ids: pa.ChunkedArray) -> pa.Array:
        found = self._cursor.execute(_IS_PURGED, [ids.to_pylist(), resource]).fetchall()
        return pa.array([is_gone for (is_gone,) in found], pa.bool_())

    def _is_rejected_gone(self, row: Rejected) -> bool:
        """Whether an unreadable row is one of a purged id, as far as it shows ids."""
        asked = ((row.resource, row.id), (RFQ.key, row.rfq_id))
        return any(
            bool(self._gone(resource, pa.chunked_array([[id_]]))[0].as_py())
            for resource, id_ in asked
            if id_
        )
