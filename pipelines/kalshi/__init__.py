"""Kalshi's RFQs and quotes as a dlt source.

The section of its configuration is [sources.kalshi]. Its resources share one `Extraction`, and are
loaded one after the other, each with its own watermark: trouble with one list holds no other back.
"""

from collections.abc import Iterator
from typing import Any

import dlt
import pyarrow as pa
from dlt.extract import DltResource

from pipelines.kalshi.extraction import Extraction
from pipelines.kalshi.market import market_rfqs_pass
from pipelines.kalshi.passes import own_rfqs_pass, quotes_pass
from pipelines.kalshi.reread import rfqs_by_id_pass
from pipelines.kalshi.tables import ACCOUNTS, into


@dlt.source
def kalshi(extraction: Extraction) -> tuple[DltResource, ...]:
    """RFQs and the quotes they drew, in the order in which they are to be loaded."""
    return accounts(extraction), rfqs(extraction), quotes(extraction), rfqs_by_id(extraction)


@dlt.resource
def accounts(extraction: Extraction) -> Iterator[Any]:
    """The account this key belongs to, once: its communications id says which RFQs are ours."""
    known: list[str] = dlt.current.resource_state().setdefault("known", [])
    if extraction.account not in known:
        known.append(extraction.account)
        row = {"communications_id": extraction.account, "observed_ts": extraction.now}
        yield into("accounts", pa.Table.from_pylist([row], schema=ACCOUNTS))


@dlt.resource
def rfqs(extraction: Extraction) -> Iterator[Any]:
    """RFQs of the market, or only our own.

    The list has no time filter and a stranger's row no update time. The market's is read from the
    top down to the watermark, our own is read whole; what that reads twice is dropped by version.
    """
    state = dlt.current.resource_state()
    if extraction.reach.scope == "market":
        yield from market_rfqs_pass(extraction, state)
    else:
        yield from own_rfqs_pass(extraction, state)


@dlt.resource
def quotes(extraction: Extraction) -> Iterator[Any]:
    """Quotes we made and quotes we received, updated since the watermark.

    `min_ts` filters on update time in whole seconds, so the overlap is read twice each run and
    dropped by version.
    """
    state = dlt.current.resource_state()
    yield from quotes_pass(extraction, state, "made")
    yield from quotes_pass(extraction, state, "received")


@dlt.resource
def rfqs_by_id(extraction: Extraction) -> Iterator[Any]:
    """RFQs that only a read by id can bring up to date; runs after `quotes`, which names them."""
    yield from rfqs_by_id_pass(extraction, dlt.current.resource_state())
