"""The raw tables: how dlt writes each, and the columns of the small ones."""

from typing import Any

import dlt
import pyarrow as pa

from pipelines.kalshi.schema import TIMESTAMP, Entity

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


# Of the load that brought the row; NULL and 0 in rows that are older than these numbers.
LOAD = pa.field("load", pa.int64())


def version_schema(entity: Entity) -> pa.Schema:
    """Return the columns of *entity*'s versions: its fields, then what we know of the sighting."""
    keys = {"id", "created_ts", *entity.required}
    fields = [field.with_nullable(field.name not in keys) for field in entity.fields]
    return pa.schema(
        [
            *fields,
            pa.field("unknown_fields", pa.string()),
            pa.field("version_hash", pa.string(), nullable=False),
            pa.field("observed_ts", TIMESTAMP, nullable=False),
            pa.field("observed_pass", pa.string(), nullable=False),
            LOAD,
        ]
    )


REJECTED_ROWS = pa.schema(
    [
        pa.field("resource", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("row_hash", pa.string(), nullable=False),
        pa.field("redacted_row", pa.string()),
        pa.field("observed_ts", TIMESTAMP, nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("id", pa.string()),
        pa.field("rfq_id", pa.string()),
        pa.field("is_read_again", pa.bool_()),
    ]
)

TOMBSTONES = pa.schema(
    [
        pa.field("resource", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("first_missing_ts", TIMESTAMP, nullable=False),
        pa.field("gone_ts", TIMESTAMP, nullable=False),
        pa.field("seen_again_ts", TIMESTAMP),
        LOAD,
    ]
)

PASSES = pa.schema(
    [
        pa.field("side", pa.string(), nullable=False),
        pa.field("served_ts", TIMESTAMP, nullable=False),
        pa.field("load", pa.int64(), nullable=False),
    ]
)

OPEN_SWEEPS = pa.schema(
    [
        pa.field("served_ts", TIMESTAMP, nullable=False),
        pa.field("load", pa.int64(), nullable=False),
    ]
)

LAST_SEEN = pa.schema(
    [
        pa.field("resource", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("last_seen_ts", TIMESTAMP, nullable=False),
        pa.field("last_seen_open_ts", TIMESTAMP),
        pa.field("load", pa.int64(), nullable=False),
    ]
)

COVERAGE = pa.schema(
    [
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("checked_ts", TIMESTAMP, nullable=False),
        pa.field("pages", pa.int64(), nullable=False),
        pa.field("is_complete", pa.bool_(), nullable=False),
        pa.field("open_rfqs_listed", pa.int64(), nullable=False),
        pa.field("open_rfqs_missed", pa.int64(), nullable=False),
        LOAD,
    ]
)

ACCOUNTS = pa.schema(
    [
        pa.field("communications_id", pa.string(), nullable=False),
        pa.field("observed_ts", TIMESTAMP, nullable=False),
    ]
)

EXTRACTION_RUNS = pa.schema(
    [
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("pass", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("started_ts", TIMESTAMP, nullable=False),
        pa.field("ended_ts", TIMESTAMP, nullable=False),
        pa.field("window_min_ts", TIMESTAMP),
        pa.field("window_max_ts", TIMESTAMP),
        pa.field("pages", pa.int64(), nullable=False),
        pa.field("rows_seen", pa.int64(), nullable=False),
        pa.field("new_versions", pa.int64(), nullable=False),
        pa.field("rejected_rows", pa.int64(), nullable=False),
        pa.field("sweeps", pa.int64(), nullable=False),
        pa.field("is_verified", pa.bool_(), nullable=False),
        pa.field("is_order_held", pa.bool_()),
        pa.field("watermark_before_ts", TIMESTAMP),
        pa.field("watermark_after_ts", TIMESTAMP),
        pa.field("gap_s", pa.float64()),
        pa.field("clock_skew_s", pa.float64()),
        pa.field("account_fingerprint", pa.string()),
        pa.field("scope", pa.string()),
        pa.field("forgotten_before_ts", TIMESTAMP),
        pa.field("began_anew", pa.bool_()),
        pa.field("rows_created_before_window", pa.int64()),
        LOAD,
    ]
)


def into(table: str, rows: pa.Table) -> Any:
    """Mark *rows* for the raw table of that name; dlt loads them with that table's rules."""
    hints = dlt.mark.make_hints(table_name=table, **_HINTS[table])
    return dlt.mark.with_hints(rows, hints, create_table_variant=True)
