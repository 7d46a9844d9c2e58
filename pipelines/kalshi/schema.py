"""The exchange's two entities: where raw keeps them, what no row can lack, and how one may end."""

from dataclasses import dataclass
from functools import cache

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
