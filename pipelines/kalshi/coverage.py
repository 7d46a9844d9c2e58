"""How much of the market-wide list we hold: counted once a day, not assumed.

The exchange lists its open RFQs by status. Those old enough to have been read by an earlier run
must be held already; each that is not was missed, is loaded now, and is counted.
"""

from collections.abc import Generator, Iterator
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kalshi.client.reader import Page
from pipelines.kalshi.entities import RFQ, into
from pipelines.kalshi.extraction import Extraction, PassReport
from pipelines.kalshi.lists import RFQ_PAGES_PER_BATCH, attempted, new_version_items, report_rows
from pipelines.kalshi.paging import read_list
from transforms.raw import TIMESTAMP, raw_schema

INTERVAL = timedelta(days=1)
PAGES = 400


def coverage_pass(extraction: Extraction, state: dict[str, Any]) -> Iterator[Any]:
    """Compare the open RFQs listed with those held, a day after the first load and every day."""
    market = extraction.watermark(state, "rfqs_market").read_from
    watermark = extraction.watermark(state, "rfqs_open")
    now = extraction.now
    if market is None or watermark.value is None:
        watermark.advance(now)
        return
    if now - watermark.value < INTERVAL:
        return
    report = PassReport(extraction, "rfqs_open", watermark, sweeps=1)
    compared = yield from attempted(
        report, _compare(extraction, report, market - extraction.reach.overlap)
    )
    report.demand_readable_rows()
    if compared is None:
        yield from report_rows(report)
        return
    listed, missed, is_complete = compared
    if report.may_vouch:
        watermark.advance(report.started_ts or now)
    row = {
        "run_id": extraction.run_id,
        "checked_ts": report.started_ts or now,
        "pages": report.pages,
        "is_complete": is_complete and report.may_vouch,
        "open_rfqs_listed": listed,
        "open_rfqs_missed": missed,
        "load": extraction.load,
    }
    yield into("coverage", pa.Table.from_pylist([row], schema=raw_schema("coverage")))
    if row["is_complete"] and report.served_ts:
        swept = {"served_ts": report.served_ts, "load": extraction.load}
        yield into("open_sweeps", pa.Table.from_pylist([swept], schema=raw_schema("open_sweeps")))
    yield from report_rows(report)


def _compare(
    extraction: Extraction, report: PassReport, due_ts: datetime
) -> Generator[Any, None, tuple[int, int, bool]]:
    """Yield what is new; return (listed, missed, whether the list was read to its end)."""

    def fetch(cursor: str | None) -> Page:
        limit = extraction.reach.rfqs_per_page
        return extraction.reader.get_rfqs(cursor=cursor, limit=limit, status="open")

    listed: set[str] = set()
    missed: set[str] = set()
    for batch in read_list(RFQ, fetch, RFQ_PAGES_PER_BATCH):
        rows = extraction.purged.left_of(batch, RFQ).rows.table
        report.served_ts = batch.served_ts if batch.is_first else report.served_ts
        is_due = pc.less_equal(rows.column("created_ts"), pa.scalar(due_ts, TIMESTAMP))
        due = rows.filter(is_due).column("id").to_pylist()
        listed.update(due)
        missed |= set(due) - extraction.rfqs.held(due)
        yield from new_version_items(report, extraction.rfqs, extraction.gone_rfqs, batch)
        if report.pages >= PAGES and batch.next_cursor:
            return len(listed), len(missed), False
    return len(listed), len(missed), True
