"""The passes over the exchange's lists. Each yields rows marked for raw, then its own report."""

from collections.abc import Callable, Generator, Iterator
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias

from pipelines.kalshi.client import Page
from pipelines.kalshi.extraction import Extraction, PassReport
from pipelines.kalshi.schema import QUOTE, RFQ
from pipelines.kalshi.sweep import Batch, read_list
from pipelines.kalshi.tables import into
from pipelines.kalshi.versions import Key, Versions, keys
from pipelines.kalshi.watermark import Window, windows

RFQ_PAGES_PER_BATCH = 80
QUOTE_PAGES_PER_BATCH = 20
SWEEPS_PER_WINDOW = 5

Items: TypeAlias = Iterator[Any]


def quotes_pass(extraction: Extraction, state: dict[str, Any], side: str) -> Items:
    """Read the quotes updated since the watermark that we made or received (*side*).

    Each window is swept until two sweeps agree, and only then moves the watermark.
    """
    watermark = extraction.watermark(state, f"quotes_{side}")
    report = PassReport(extraction, f"quotes_{side}", watermark)
    reach = extraction.reach
    for window in windows(
        watermark.value,
        extraction.now,
        overlap=reach.overlap,
        retention=reach.retention,
        history=reach.history,
    ):
        started, is_verified = yield from _verified(
            report, extraction.quotes, partial(_read_quotes, extraction, side, window)
        )
        report.window_min_ts = report.window_min_ts or window.start
        report.window_max_ts = window.end
        report.is_verified &= is_verified
        if not report.is_verified:
            break
        watermark.advance(started if window.end is None else min(window.end, started))
        if report.new_versions >= reach.rows_per_load and window.end is not None:
            extraction.is_unfinished = True
            break
    yield from report_rows(report)


def own_rfqs_pass(extraction: Extraction, state: dict[str, Any]) -> Items:
    """Read all of our own RFQs: the list has no time filter, so nothing less is certain."""
    watermark = extraction.watermark(state, "rfqs_self")
    report = PassReport(extraction, "rfqs_self", watermark)
    started, report.is_verified = yield from _verified(
        report, extraction.rfqs, partial(_read_own_rfqs, extraction)
    )
    if report.is_verified:
        watermark.advance(started)
    yield from report_rows(report)


def report_rows(report: PassReport) -> Items:
    """Yield what a finished pass says of itself, and the rows it could not read."""
    if report.rejected:
        yield into("rejected_rows", report.rejected_rows())
    yield into("extraction_runs", report.as_row())


def hand_on(report: PassReport, versions: Versions, batch: Batch) -> Generator[Any, None, set[Key]]:
    """Yield the new versions of *batch*, and return the keys of all of them."""
    stamped = versions.stamp(batch.rows.table, batch.ended_ts, report.name)
    new = versions.new(stamped)
    report.count(batch, new)
    if new.num_rows:
        yield into(versions.table, new)
    return set(keys(stamped))


def _verified(
    report: PassReport, versions: Versions, read: Callable[[], Iterator[Batch]]
) -> Generator[Any, None, tuple[datetime, bool]]:
    """Sweep until two sweeps in a row agree; return when the first began and whether they did.

    A row that moves while pages are read can be skipped, but the row that displaced it makes the
    next sweep differ. A sweep of one page was answered at one moment and needs no second.
    """
    started: datetime | None = None
    previous: set[Key] | None = None
    for _ in range(SWEEPS_PER_WINDOW):
        found: set[Key] = set()
        pages = 0
        for batch in read():
            started = started or batch.started_ts
            pages += batch.pages
            found |= yield from hand_on(report, versions, batch)
        report.sweeps += 1
        if pages <= 1 or found == previous:
            return started or report.extraction.now, True
        previous = found
    return started or report.extraction.now, False


def _read_quotes(extraction: Extraction, side: str, window: Window) -> Iterator[Batch]:
    user_filter = "self" if side == "made" else None
    rfq_user_filter = "self" if side == "received" else None

    def fetch(cursor: str | None) -> Page:
        return extraction.reader.get_quotes(
            cursor=cursor,
            min_ts=window.min_ts,
            max_ts=window.max_ts,
            user_filter=user_filter,
            rfq_user_filter=rfq_user_filter,
        )

    return read_list(QUOTE, fetch, QUOTE_PAGES_PER_BATCH)


def _read_own_rfqs(extraction: Extraction) -> Iterator[Batch]:
    def fetch(cursor: str | None) -> Page:
        return extraction.reader.get_rfqs(cursor=cursor, user_filter="self")

    for batch in read_list(RFQ, fetch, RFQ_PAGES_PER_BATCH):
        extraction.see(batch.rows.table)
        yield batch
