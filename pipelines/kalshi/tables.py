"""How dlt writes each of the raw tables."""

from typing import Any

import dlt
import pyarrow as pa

# A version is never changed, so a repeat is dropped. created_ts leads the key because DuckDB skips
# row groups by it: the cost of a small load stays flat as the table grows.
_VERSIONS = {
    "write_disposition": {"disposition": "merge", "strategy": "insert-only"},
    "primary_key": ("created_ts", "id", "version_hash"),
}
_EVENTS: dict[str, Any] = {"write_disposition": "append"}

_HINTS: dict[str, dict[str, Any]] = {
    "rfq_versions": _VERSIONS,
    "quote_versions": _VERSIONS,
    "rejected_rows": _EVENTS,
    "tombstones": _EVENTS,
    "coverage": _EVENTS,
    "passes": _EVENTS,
    "open_sweeps": _EVENTS,
    "last_seen": _EVENTS,
    "extraction_runs": _EVENTS,
    "accounts": _EVENTS,
}


def into(table: str, rows: pa.Table) -> Any:
    """Mark *rows* for the raw table of that name; dlt loads them with that table's rules."""
    hints = dlt.mark.make_hints(table_name=table, **_HINTS[table])
    return dlt.mark.with_hints(rows, hints, create_table_variant=True)
