"""The two entities of the exchange, and how dlt writes each of the raw tables."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import dlt
import pyarrow as pa

from transforms.raw import raw_schema

# What a load adds to the fields of a row.
ADDED = ("unknown_fields", "version_hash", "observed_ts", "observed_pass", "load")


@dataclass(frozen=True, slots=True)
class Entity:
    """What the exchange lists under *key*: its raw table, the fields no row lacks, how one ends."""

    key: str
    table: str
    required: tuple[str, ...]
    over: tuple[str, ...]

    @property
    def fields(self) -> pa.Schema:
        """The fields that the exchange documents, each with its type in raw; NULL is let through.

        What no row may lack is told by `required`, with a reason that names the field.
        """
        return _fields(self.table)


@cache
def _fields(table: str) -> pa.Schema:
    columns = raw_schema(table)
    return pa.schema(each.with_nullable(True) for each in columns if each.name not in ADDED)


RFQ = Entity("rfqs", "rfq_versions", required=("id", "created_ts"), over=("closed",))

QUOTE = Entity(
    "quotes",
    "quote_versions",
    required=("id", "rfq_id", "created_ts"),
    over=("executed", "cancelled"),
)

ENTITIES = (RFQ, QUOTE)


def is_private(name: str) -> bool:
    """Whether a field shows what only the owner of a key may see."""
    return name.endswith(("_user_id", "_order_id", "_subaccount")) or name == "post_only"


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
