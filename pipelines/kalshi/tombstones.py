"""Ids that the exchange no longer knows: buried by the second run that finds so, never deleted."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from transforms.raw import raw_schema

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
        """Look up again who is gone: the load before may have buried some."""
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
