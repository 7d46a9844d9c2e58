"""The two entities of the exchange, and how dlt writes each of the raw tables."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa

from transforms.raw import LEGS, raw_schema

# The field whose value a raw row only names, in the column after it: the RFQs of a market share it.
LEGS_FIELD, LEG_LIST = "mve_selected_legs", "leg_list"
# What a load adds to the fields of a row.
ADDED = ("unknown_fields", "version_hash", "observed_ts", "observed_pass", "load")


@dataclass(frozen=True, slots=True)
class Entity:
    """What the exchange lists under *key*: its raw table, the fields no row lacks, how one ends.

    `list_method` and `record_method` name the reader's methods for a page of the list and for one
    record, which stands under `record` in its answer.
    """

    key: str
    record: str
    table: str
    required: tuple[str, ...]
    over: tuple[str, ...]
    list_method: str
    record_method: str
    pages_per_batch: int

    @property
    def fields(self) -> pa.Schema:
        """The fields that the exchange documents, each with its type in raw; NULL is let through.

        What no row may lack is told by `required`, with a reason that names the field.
        """
        return _fields(self.table)

    @property
    def version(self) -> pa.Schema:
        """The columns of a version as a load reads it: those of raw, with its legs in place."""
        return _version(self.table)


@cache
def _version(table: str) -> pa.Schema:
    legs = pa.field(LEGS_FIELD, LEGS)
    return pa.schema(legs if each.name == LEG_LIST else each for each in raw_schema(table))


@cache
def _fields(table: str) -> pa.Schema:
    columns = _version(table)
    return pa.schema(each.with_nullable(True) for each in columns if each.name not in ADDED)


RFQ = Entity(
    key="rfqs",
    record="rfq",
    table="rfq_versions",
    required=("id", "created_ts"),
    over=("closed",),
    list_method="get_rfqs",
    record_method="get_rfq",
    pages_per_batch=80,
)

QUOTE = Entity(
    key="quotes",
    record="quote",
    table="quote_versions",
    required=("id", "rfq_id", "created_ts"),
    over=("executed", "cancelled"),
    list_method="get_quotes",
    record_method="get_quote",
    pages_per_batch=20,
)

ENTITIES = (RFQ, QUOTE)


def is_private(name: str) -> bool:
    """Whether a field shows what only the owner of a key may see."""
    return name.endswith(("_user_id", "_order_id", "_subaccount")) or name == "post_only"


def into(table: str, rows: pa.Table) -> Any:
    """Mark *rows* for the raw table of that name.

    Rows are only ever added: which versions raw holds already is told before they are handed on.
    """
    # `rfq status` reads the settings of a load, and need not wait for dlt.
    import dlt

    hints = dlt.mark.make_hints(table_name=table, write_disposition="append")
    return dlt.mark.with_hints(rows, hints, create_table_variant=True)
