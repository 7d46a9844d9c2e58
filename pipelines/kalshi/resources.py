"""Kalshi's RFQs and quotes as a dlt source.

The section of its configuration is [sources.kalshi]. Its resources share one `Extraction`, and are
loaded one after the other, each with its own watermark. What is ours and does not last comes first.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dlt
import pyarrow as pa
from dlt.extract import DltResource

from pipelines.kalshi.by_id import quotes_by_id_pass, rfqs_by_id_pass
from pipelines.kalshi.coverage import coverage_pass
from pipelines.kalshi.entities import into
from pipelines.kalshi.extraction import Extraction
from pipelines.kalshi.lists import (
    backfill_pass,
    own_rfqs_pass,
    quotes_pass,
    tell_whether_updates_show,
)
from pipelines.kalshi.market_list import market_rfqs_pass
from transforms.raw import raw_schema


@dlt.source(name="kalshi", section="kalshi")
def kalshi(extraction: Extraction) -> tuple[DltResource, ...]:
    """RFQs and the quotes they drew, in the order in which they are to be loaded.

    Calling this begins a load: whatever the load before handed on must be in the database.
    """
    extraction.begin_load()
    return (
        accounts(extraction),
        quotes(extraction),
        rfqs(extraction),
        quotes_by_id(extraction),
        rfqs_by_id(extraction),
    )


@dlt.resource
def accounts(extraction: Extraction) -> Iterator[Any]:
    """The account this key belongs to, once: its communications id says which RFQs are ours."""
    yield from account_items(extraction, dlt.current.resource_state())


@dlt.resource
def rfqs(extraction: Extraction) -> Iterator[Any]:
    """RFQs of the market, or only our own.

    The list has no time filter and a stranger's row no update time. The market's is read from the
    top down to the watermark, our own is read whole; what that reads twice is dropped by version.
    Where to stop in the market's list rests on an order that nobody documents, so our own is read
    once a day as well: what is ours must not depend on it.
    """
    yield from rfq_items(extraction, dlt.current.resource_state())


@dlt.resource
def quotes(extraction: Extraction) -> Iterator[Any]:
    """Quotes we made and quotes we received, updated since the watermark.

    `min_ts` filters on update time in whole seconds, so the overlap is read twice each run and
    dropped by version.
    """
    yield from quote_items(extraction, dlt.current.resource_state())


@dlt.resource
def quotes_by_id(extraction: Extraction) -> Iterator[Any]:
    """Quotes held as open that no list will show again; runs after `rfqs`, which tells so."""
    yield from quotes_by_id_pass(extraction, dlt.current.resource_state())


@dlt.resource
def rfqs_by_id(extraction: Extraction) -> Iterator[Any]:
    """RFQs that only a read by id can bring up to date; runs after `quotes`, which names them."""
    yield from rfqs_by_id_pass(extraction, dlt.current.resource_state())


def account_items(extraction: Extraction, _state: dict[str, Any]) -> Iterator[Any]:
    """The rows of `accounts`."""
    if not extraction.is_account_held():
        row = {"communications_id": extraction.account, "observed_ts": extraction.now}
        yield into("accounts", pa.Table.from_pylist([row], schema=raw_schema("accounts")))


def rfq_items(extraction: Extraction, state: dict[str, Any]) -> Iterator[Any]:
    """The rows of `rfqs`."""
    if extraction.reach.scope == "self":
        yield from own_rfqs_pass(extraction, state)
        return
    yield from coverage_pass(extraction, state)
    yield from market_rfqs_pass(extraction, state)
    if not extraction.is_unfinished:
        due = None if extraction.reach.since else timedelta(days=1)
        yield from own_rfqs_pass(extraction, state, every=due)


def quote_items(extraction: Extraction, state: dict[str, Any]) -> Iterator[Any]:
    """The rows of `quotes`. Says, at the end, where no list has shown that it filters by update."""
    for side in ("made", "received"):
        if extraction.reach.since:
            yield from backfill_pass(extraction, state, side)
        yield from quotes_pass(extraction, state, side)
    tell_whether_updates_show(extraction, state)
