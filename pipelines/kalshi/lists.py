"""The passes over the exchange's lists. Each yields rows marked for raw, then its own report."""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa

from pipelines.kalshi.client.errors import ExchangeUnavailable, RequestRefused
from pipelines.kalshi.client.reader import Page
from pipelines.kalshi.entities import QUOTE, RFQ, into
from pipelines.kalshi.extraction import Extraction, PassReport
from pipelines.kalshi.paging import Batch, read_list
from pipelines.kalshi.plausible import out_of_bounds
from pipelines.kalshi.versions import Tombstones, Versions, keys
from pipelines.kalshi.watermark import Window, slices, windows
from transforms.raw import raw_schema

_log = logging.getLogger(__name__)

RFQ_PAGES_PER_BATCH = 80
QUOTE_PAGES_PER_BATCH = 20
SWEEPS = 5
SWEEPS_BEFORE_HALVING = 2

# Observed: an RFQ that nobody closes is closed by the exchange after three hours.
RFQ_LIFETIME = timedelta(hours=3)
# For how long it counts that a list of quotes has shown what only a filter by update shows.
FILTER_SHOWN_FOR = timedelta(days=7)

# What concerns one list and not the whole exchange.
ERRORS_OF_ONE_LIST = (ExchangeUnavailable, RequestRefused)

T = TypeVar("T")
Items: TypeAlias = Iterator[Any]


@dataclass(frozen=True, slots=True)
class Swept:
    """What a window's sweeps came to: the watermark earned, whether two agreed, when served.

    `served_ts` is the exchange's clock on the first page of the sweep that verified the others:
    what was there then was shown, by it or by the one before.
    """

    earned_ts: datetime | None
    is_verified: bool
    served_ts: datetime | None = None


Outcome: TypeAlias = Generator[Any, None, Swept]


def quotes_pass(extraction: Extraction, state: dict[str, Any], side: str) -> Items:
    """Read the quotes updated since the watermark that we made or received (*side*).

    A window counts when it was swept until two sweeps agreed, and only then moves the watermark;
    nor does it move past rows that can neither be read nor be asked for by id.
    After one that never did, the rest is read as well, and everything once more in the next run.
    """
    name = f"quotes_{side}"
    watermark = extraction.watermark(state, name)
    reach = extraction.reach
    spans = windows(
        watermark.read_from,
        extraction.now,
        overlap=reach.overlap,
        retention=reach.retention,
        history=reach.history,
    )
    report = PassReport(extraction, name, watermark)
    report.note_gone_rows(watermark.value)
    yield from attempted(report, _read_windows(report, side, spans))
    report.demand_readable_rows()
    if report.is_verified and report.served_ts:
        served = {"side": side, "served_ts": report.served_ts, "load": extraction.load}
        yield into("passes", pa.Table.from_pylist([served], schema=raw_schema("passes")))
    yield from report_rows(report)


def backfill_pass(extraction: Extraction, state: dict[str, Any], side: str) -> Items:
    """Read the quotes updated in the span asked for, by the day.

    One that was interrupted goes on where it stood; one that was finished starts anew.
    """
    reach, now = extraction.reach, extraction.now
    name = f"backfill_{side}"
    since, until = reach.since or now - reach.retention, min(reach.until or now, now)
    watermark = extraction.watermark(state, f"{name} {since} {reach.until}")
    if name in extraction.finished:
        return
    if watermark.state.pop("is_finished", False):
        watermark.state.clear()
    report = PassReport(extraction, name, watermark)
    report.note_gone_rows(since)
    spans = slices(watermark.value or since, until)
    is_whole = yield from attempted(report, _read_windows(report, side, spans))
    report.demand_readable_rows()
    if is_whole:
        extraction.finished.add(name)
        watermark.state["is_finished"] = report.is_verified
    yield from report_rows(report)


def own_rfqs_pass(
    extraction: Extraction, state: dict[str, Any], every: timedelta | None = None
) -> Items:
    """Read all of our own RFQs; with *every*, only if the last time is that long ago.

    The list has no time filter, so nothing less than all of it is certain.
    """
    watermark = extraction.watermark(state, "rfqs_self")
    if every and watermark.value and extraction.now < watermark.value + every:
        return
    report = PassReport(extraction, "rfqs_self", watermark)
    report.note_gone_rows(watermark.value)
    sweeps = _verified(
        report, extraction.rfqs, extraction.gone_rfqs, partial(_read_own_rfqs, extraction), SWEEPS
    )
    swept = (yield from attempted(report, sweeps)) or Swept(None, is_verified=False)
    report.is_verified = swept.is_verified
    report.demand_readable_rows()
    if report.is_verified:
        watermark.advance(swept.earned_ts)
    yield from report_rows(report)


def tell_whether_updates_show(extraction: Extraction, state: dict[str, Any]) -> None:
    """Say, where no list of quotes has shown for a week that it filters by update, that it has not.

    A quote created before the window that it is listed in shows so; other runs show neither.
    """
    shown, now = extraction.watermark(state, "quotes_filter").state, extraction.now
    if extraction.quotes_changed_in_window is None or not _holds_quotes(extraction):
        return
    if extraction.quotes_changed_in_window:
        shown["last_ts"] = now.isoformat()
    last = shown.get("last_ts")
    if last is None or datetime.fromisoformat(last) < now - FILTER_SHOWN_FOR:
        _log.warning(
            "no list of quotes has shown for %g days or longer that it filters by update: none "
            "held a quote created before the span asked for. Until one does, changes of older "
            "quotes may be found by id only, up to %g hours late",
            FILTER_SHOWN_FOR / timedelta(days=1),
            RFQ_LIFETIME / timedelta(hours=1),
        )


def _holds_quotes(extraction: Extraction) -> bool:
    return bool(extraction.cursor.execute("select 1 from raw.quote_versions limit 1").fetchall())


def attempted(report: PassReport, items: Generator[Any, None, T]) -> Generator[Any, None, T | None]:
    """Yield *items* and return their result; None where the exchange ended them early.

    The failure is kept for the end of the run. What was read until then is loaded, no watermark
    vouches for it, and trouble with one list holds no other back.
    """
    try:
        return (yield from items)
    except ERRORS_OF_ONE_LIST as failure:
        report.is_verified = False
        report.extraction.failures.append(failure)
        return None


def report_rows(report: PassReport) -> Items:
    """Yield what a finished pass says of itself, what it saw again, what it could not read."""
    if report.sights:
        yield into("last_seen", report.last_seen_table())
    if report.rejected or report.set_aside:
        yield into("rejected_rows", report.rejected_table())
    yield into("extraction_runs", report.as_row())


def new_version_items(
    report: PassReport, versions: Versions, gone: Tombstones, batch: Batch
) -> Generator[Any, None, set[int]]:
    """Yield the new versions of *batch* and whose tombstones it outdates; nothing that was purged.

    Returns a number for each version in the batch, new or not, and for each rejected row.
    """
    batch = report.extraction.purged.left_of(batch, versions.entity)
    rows = batch.rows.table
    rejected = {hash(row.row_hash) for row in batch.rows.rejected}
    if not rows.num_rows:
        report.count(batch, 0)
        return rejected
    stamped = versions.stamp(rows, batch.ended_ts, report.name)
    new, known = versions.told_apart(stamped)
    report.count(batch, new.num_rows)
    report.see_again(versions.entity, known)
    if new.num_rows:
        bounds = report.extraction.bounds.get(versions.table, ())
        report.keep_aside(*out_of_bounds(versions.entity, new, bounds))
        yield into(versions.table, new)
    back = gone.seen_again(rows.column("id").to_pylist(), batch.ended_ts)
    if back.num_rows:
        yield into("tombstones", back)
    # Numbers, because a day of a busy maker has millions of versions.
    return rejected | {hash(key) for key in keys(stamped)}


def _read_windows(
    report: PassReport, side: str, spans: Iterable[Window]
) -> Generator[Any, None, bool]:
    """Read *spans* one after the other; return False when the rest is for the next load."""
    extraction, watermark = report.extraction, report.watermark
    for window in spans:
        swept = yield from _read_window(report, side, window)
        report.window_min_ts = report.window_min_ts or window.start
        report.window_max_ts = window.end
        report.is_verified &= swept.is_verified and report.may_vouch
        report.served_ts = swept.served_ts if window.end is None else None
        if not report.is_verified or swept.earned_ts is None:
            continue
        watermark.advance(min(filter(None, (window.end, swept.earned_ts))))
        if report.new_versions >= extraction.reach.rows_per_load and window.end is not None:
            extraction.is_unfinished = True
            return False
    return True


def _read_window(report: PassReport, side: str, window: Window) -> Outcome:
    """Sweep *window*; where two sweeps disagree, its halves: one page is one moment's answer.

    So, too, where it is a long one that the exchange does not manage to answer.
    """
    extraction = report.extraction
    halves = window.halves(extraction.now)
    whole = Swept(extraction.earned_now, is_verified=False)
    try:
        whole = yield from _verified(
            report,
            extraction.quotes,
            extraction.gone_quotes,
            partial(_read_quotes, report, side, window),
            SWEEPS_BEFORE_HALVING if halves else SWEEPS,
        )
    except ExchangeUnavailable:
        if not halves or not window.is_long(extraction.now):
            raise
    if whole.is_verified or not halves:
        return whole
    # The older first: a quote that changes meanwhile moves to the newer.
    older = yield from _read_window(report, side, halves[0])
    newer = yield from _read_window(report, side, halves[1])
    # No moment: the halves end, and none of their pages was served at one for both.
    return Swept(whole.earned_ts, older.is_verified and newer.is_verified)


def _verified(
    report: PassReport,
    versions: Versions,
    gone: Tombstones,
    read: Callable[[], Iterator[Batch]],
    sweeps: int,
) -> Outcome:
    """Sweep until two sweeps in a row agree; the watermark is when the first began.

    None where neither the exchange's clock nor a row told it.

    A row that leaves its place while pages are read can make us skip another one, but then the
    next sweep misses it. A sweep of one page was answered at one moment and needs no second.
    """
    started: datetime | None = None
    previous: set[int] | None = None
    for sweep in range(sweeps):
        found: set[int] = set()
        served: datetime | None = None
        pages = 0
        for batch in read():
            served = batch.served_ts if batch.is_first else served
            if sweep == 0 and batch.is_first:
                started = started or batch.earned_ts
            pages += batch.pages
            found |= yield from new_version_items(report, versions, gone, batch)
        report.sweeps += 1
        if pages <= 1 or found == previous:
            return Swept(started, is_verified=True, served_ts=served)
        previous = found
    return Swept(started, is_verified=False)


def _read_quotes(report: PassReport, side: str, window: Window) -> Iterator[Batch]:
    reader, limit = report.extraction.reader, report.extraction.reach.quotes_per_page
    user_filter = "self" if side == "made" else None
    rfq_user_filter = "self" if side == "received" else None

    def fetch(cursor: str | None) -> Page:
        return reader.get_quotes(
            cursor=cursor,
            limit=limit,
            min_ts=window.min_ts,
            max_ts=window.max_ts,
            user_filter=user_filter,
            rfq_user_filter=rfq_user_filter,
        )

    for batch in read_list(QUOTE, fetch, QUOTE_PAGES_PER_BATCH):
        report.count_older(batch, datetime.fromtimestamp(window.min_ts, UTC))
        yield batch


def _read_own_rfqs(extraction: Extraction) -> Iterator[Batch]:
    def fetch(cursor: str | None) -> Page:
        limit = extraction.reach.rfqs_per_page
        return extraction.reader.get_rfqs(cursor=cursor, limit=limit, user_filter="self")

    for batch in read_list(RFQ, fetch, RFQ_PAGES_PER_BATCH):
        extraction.see(batch.rows.table)
        yield batch
