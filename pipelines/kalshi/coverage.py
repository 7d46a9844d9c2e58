"""How much of the market-wide list we hold: counted once a day, not assumed.

The exchange lists its open RFQs by status. Those old enough to have been read by an earlier run
must be held already; each that is not was missed, is loaded now, and is counted.
"""

from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kalshi.paging import read_list
from pipelines.kalshi.reading import DONE, NOT_DUE, Reading, Row, Steps
from transforms.raw import TIMESTAMP

INTERVAL = timedelta(days=1)
PAGES = 400


def open_rfqs_compared(reading: Reading) -> Steps:
    """Compare the open RFQs listed with those held, a day after the first load and every day.

    Of more than 400 pages, the first.
    """
    extraction, report = reading.extraction, reading.report
    read_to, last = reading.watermark_of("rfqs_market").read_from, reading.watermark.value
    if read_to is None or last is None:
        reading.watermark.advance(extraction.now)
        return NOT_DUE
    if extraction.now - last < INTERVAL:
        return NOT_DUE
    due_ts = read_to - extraction.reach.overlap
    listed: set[str] = set()
    missed: set[str] = set()
    served: datetime | None = None
    is_complete = True
    for batch in read_list(reading.pass_.entity, reading.fetch()):
        rows = extraction.purged.left_of(batch, reading.pass_.entity).rows.table
        served = batch.served_ts if batch.is_first else served
        is_due = pc.less_equal(rows.column("created_ts"), pa.scalar(due_ts, TIMESTAMP))
        due = rows.filter(is_due)
        ids = set(due.column("id").to_pylist())
        listed |= ids
        missed |= ids - extraction.versions[reading.pass_.entity].held(due)
        yield batch
        is_complete = not batch.next_cursor
        if report.pages >= PAGES:
            break
    is_complete = is_complete and report.may_vouch
    yield Row("coverage", _compared(reading, len(listed), len(missed), is_complete))
    # A row that could not be read is open as well, and would pass for one that is not listed.
    if is_complete and served and not report.rejected_rows:
        yield Row("open_sweeps", {"served_ts": served, "load": extraction.load})
    if report.may_vouch:
        reading.watermark.advance(report.started_ts or extraction.now)
    return DONE


def _compared(reading: Reading, listed: int, missed: int, is_complete: bool) -> dict[str, Any]:
    extraction, report = reading.extraction, reading.report
    return {
        "run_id": extraction.run_id,
        "checked_ts": report.started_ts or extraction.now,
        "pages": report.pages,
        "is_complete": is_complete,
        "open_rfqs_listed": listed,
        "open_rfqs_missed": missed,
        "load": extraction.load,
    }
