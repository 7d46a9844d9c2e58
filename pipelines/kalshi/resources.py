"""Kalshi's RFQs and quotes as a dlt source.

The section of its configuration is [sources.kalshi]. A resource hands on what its passes read in
one `Load`. dlt keeps the states of those passes with it, and commits them with the rows. Resources
are read one after the other, in the order of `RESOURCES`: what is ours and may vanish comes first,
and what is read by id comes last, as the lists tell which.
"""

from collections.abc import Iterator
from typing import Any

import dlt
import pyarrow as pa
from dlt.extract import DltResource

from pipelines.kalshi.entities import RFQ, into
from pipelines.kalshi.extraction import Extraction
from pipelines.kalshi.lists import say_whether_updates_show
from pipelines.kalshi.passes import PASSES, Load, to_raw
from transforms.raw import raw_schema

ACCOUNTS = "accounts"
RESOURCES = (ACCOUNTS, *dict.fromkeys(each.resource for each in PASSES))


@dlt.source(name="kalshi", section="kalshi")
def kalshi(load: Load) -> tuple[DltResource, ...]:
    """The account, RFQs and the quotes they drew, as far as *load* reads them."""
    return tuple(dlt.resource(_rows, name=each)(load, each) for each in RESOURCES)


def _rows(load: Load, resource: str) -> Iterator[Any]:
    states = {} if resource == ACCOUNTS else dlt.current.resource_state()
    yield from items(load, resource, states)


def items(load: Load, resource: str, states: dict[str, Any]) -> Iterator[Any]:
    """The rows of *resource*, whose passes have their states in *states*, marked for raw."""
    if resource == ACCOUNTS:
        yield from _account(load.extraction)
    for item in load.items(resource, states):
        is_rfqs = item.meta.hints["table_name"] == RFQ.table
        yield _with_legs_apart(load.extraction, item.data) if is_rfqs else item
    if resource == "quotes":
        _say_whether_updates_show(load.extraction, states)
    if resource == RESOURCES[-1]:
        load.conclude()


def _account(extraction: Extraction) -> Iterator[Any]:
    """The account this key belongs to, once: its communications id says which RFQs are ours."""
    if not extraction.is_account_held():
        row = {"communications_id": extraction.account, "observed_ts": extraction.now}
        rows = pa.Table.from_pylist([row], schema=raw_schema("accounts"))
        yield to_raw(extraction, "accounts", rows)


def _with_legs_apart(extraction: Extraction, versions: pa.Table) -> Any:
    return into(RFQ.table, extraction.leg_lists.kept_apart(versions, extraction.load))


def _say_whether_updates_show(extraction: Extraction, states: dict[str, Any]) -> None:
    name = "quotes_filter"
    shown = dict(extraction.state_of(states, name))
    say_whether_updates_show(extraction, shown)
    extraction.store_state(states, name, shown)
