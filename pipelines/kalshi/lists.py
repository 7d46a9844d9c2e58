"""The passes over lists that are swept until two sweeps agree: our quotes and our own RFQs."""

import logging
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from pipelines.kalshi.client.errors import ExchangeUnavailable
from pipelines.kalshi.entities import Entity
from pipelines.kalshi.extraction import Extraction
from pipelines.kalshi.paging import Batch, read_list
from pipelines.kalshi.reading import (
    DONE,
    NOT_DUE,
    Ending,
    Reading,
    Row,
    SeenAgain,
    Step,
    Steps,
    Swept,
    Taken,
)
from pipelines.kalshi.report import Sight
from pipelines.kalshi.watermark import DAY, Window, slices, windows

_log = logging.getLogger(__name__)

SWEEPS = 5
SWEEPS_BEFORE_HALVING = 2

# Observed: an RFQ that nobody closes is closed by the exchange after three hours.
RFQ_LIFETIME = timedelta(hours=3)
# What is ours is published at most every five minutes while the market's list is read, and shows
# our own RFQs as they were read last.
OWN_RFQS_REST = timedelta(minutes=4)
# For how long it counts that a list of quotes has shown what only a filter by update shows.
FILTER_SHOWN_FOR = timedelta(days=7)

Sweeps: TypeAlias = Generator[Step, Any, Swept]


def updated_quotes(reading: Reading) -> Steps:
    """Read the quotes updated since the watermark.

    A window counts when it was swept until two sweeps agreed, and only then moves the watermark;
    nor does it move past rows that can neither be read nor be asked for by id.
    After one that never did, the rest is read as well, and everything once more in the next run.
    """
    reach = reading.extraction.reach
    reading.report.note_gone_rows(reading.watermark.value)
    spans = windows(
        reading.watermark.read_from,
        reading.extraction.now,
        overlap=reach.overlap,
        retention=reach.retention,
        history=reach.history,
    )
    ending = yield from _read_windows(reading, spans)
    report, load = reading.report, reading.extraction.load
    if report.is_verified and report.may_vouch and report.served_ts:
        side = reading.pass_.name.removeprefix("quotes_")
        yield Row("passes", {"side": side, "served_ts": report.served_ts, "load": load})
    return ending


def quotes_of_a_span(reading: Reading) -> Steps:
    """Read the quotes updated in the span asked for, if any, by the day, on from where it was left.

    Once all of it was read, the same span asked for again is read from its beginning.
    """
    extraction, report = reading.extraction, reading.report
    if not extraction.reach.since or reading.pass_.name in extraction.finished:
        return NOT_DUE
    since, until = _span(extraction)
    report.note_gone_rows(since)
    spans = slices(reading.watermark.value or since, until)
    ending = yield from _read_windows(reading, spans)
    is_whole = not ending.has_more and report.is_verified and report.may_vouch
    return replace(ending, keeps_state=not is_whole)


def span_of(extraction: Extraction) -> str:
    """The span asked for, as it stands in the keys of states."""
    return f"{_span(extraction)[0]} {extraction.reach.until}"


def whole_list(reading: Reading) -> Steps:
    """Read all of a list that has no time filter: nothing less is certain."""
    reading.report.note_gone_rows(reading.watermark.value)
    yield (yield from _verified(reading, None, SWEEPS))
    return DONE


def own_rfqs(reading: Reading) -> Steps:
    """Read all of our own RFQs: once a day beside a market's list that shows them, else each time.

    While a part of the market's list is left, and in the later loads of a run, every few minutes.
    """
    extraction, before = reading.extraction, reading.watermark.value
    is_first = reading.pass_.name not in extraction.finished
    is_beside_market = extraction.reach.scope == "market" and not extraction.reach.since
    if before and (is_beside_market or not is_first):
        is_left = "is_left" in reading.watermark_of("rfqs_market").state
        rests = DAY if is_beside_market and not is_left else OWN_RFQS_REST
        if extraction.now < before + rests:
            return NOT_DUE
    return (yield from whole_list(reading))


def open_now(reading: Reading) -> Steps:
    """Read a list of what is open. It says nothing of what came and went, so no watermark."""
    swept = yield from _verified(reading, None, SWEEPS)
    yield replace(swept, earned_ts=None)
    return DONE


def say_whether_updates_show(extraction: Extraction, shown: dict[str, Any]) -> None:
    """Say, where no list of quotes has shown for a week that it filters by update, that it has not.

    A quote created before the window that it is listed in shows so; other runs show neither.
    """
    now = extraction.now
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


def _span(extraction: Extraction) -> tuple[datetime, datetime]:
    reach, now = extraction.reach, extraction.now
    return reach.since or now - reach.retention, min(reach.until or now, now)


def _holds_quotes(extraction: Extraction) -> bool:
    return bool(extraction.cursor.execute("select 1 from raw.quote_versions limit 1").fetchall())


def _read_windows(reading: Reading, spans: Iterable[Window]) -> Steps:
    """Read *spans* one after the other; what is left once the load is full is for the next."""
    for window in spans:
        swept = yield from _read_window(reading, window)
        is_full = yield replace(swept, window=window)
        if is_full and window.end is not None:
            return Ending(has_more=True)
    return DONE


def _read_window(reading: Reading, window: Window) -> Sweeps:
    """Sweep *window*; where two sweeps disagree, its halves: one page is one moment's answer.

    So, too, where it is a long one that the exchange does not manage to answer.
    """
    extraction = reading.extraction
    halves = window.halves(extraction.now)
    whole = Swept(extraction.earned_now, is_verified=False)
    try:
        whole = yield from _verified(reading, window, SWEEPS_BEFORE_HALVING if halves else SWEEPS)
    except ExchangeUnavailable:
        if not halves or not window.is_long(extraction.now):
            raise
    if whole.is_verified or not halves:
        return whole
    # The older first: a quote that changes meanwhile moves to the newer.
    older = yield from _read_window(reading, halves[0])
    newer = yield from _read_window(reading, halves[1])
    # No moment: the halves end, and none of their pages was served at one for both.
    sweeps = whole.sweeps + older.sweeps + newer.sweeps
    # Nor do they vouch for what came after their end, where the first page came later still.
    earned_ts = whole.earned_ts and halves[1].end and min(whole.earned_ts, halves[1].end)
    return Swept(earned_ts, older.is_verified and newer.is_verified, sweeps=sweeps)


def _verified(reading: Reading, window: Window | None, sweeps: int) -> Sweeps:
    """Sweep until two sweeps in a row agree; the watermark is when the first began.

    None where neither the exchange's clock nor a row told it. Rows that come again in the bytes in
    which they came before are not read again, and count as seen.

    A row that leaves its place while pages are read can make us skip another one, but then the
    next sweep misses it. A sweep of one page was answered at one moment and needs no second.
    """
    started: datetime | None = None
    previous: set[int] | None = None
    known = _Known(reading.pass_.entity)
    for sweep in range(sweeps):
        found: set[int] = set()
        served: datetime | None = None
        pages = 0
        for batch in _batches(reading, window, known):
            served = batch.served_ts if batch.is_first else served
            if sweep == 0 and batch.is_first:
                started = started or batch.earned_ts
            pages += batch.pages
            taken = yield batch
            found.update(taken.rejected, taken.versions, known.versions(batch.again))
            if batch.again:
                yield known.sights(batch)
            known.add(batch, taken)
        if pages <= 1 or found == previous:
            return Swept(started, is_verified=True, served_ts=served, sweeps=sweep + 1)
        previous = found
    return Swept(started, is_verified=False, sweeps=sweeps)


class _Known:
    """What the sweeps of one list have read, by the fingerprints of its rows' bytes."""

    def __init__(self, entity: Entity) -> None:
        self._entity = entity
        self._versions: dict[bytes, int] = {}
        self._lasting: dict[bytes, tuple[str, bool]] = {}

    def __contains__(self, print_: object) -> bool:
        return print_ in self._versions

    def add(self, batch: Batch, taken: Taken) -> None:
        """Remember what stands for each row of *batch*, unless some of them were purged."""
        if not batch.prints or len(taken.versions) != len(batch.prints):
            return
        self._versions.update(zip(batch.prints, taken.versions, strict=True))
        rows = batch.rows.table.select(("id", "status")).to_pydict()
        for print_, id_, status in zip(batch.prints, rows["id"], rows["status"], strict=True):
            if status not in self._entity.over:
                self._lasting[print_] = (id_, status == "open")

    def versions(self, again: Iterable[tuple[bytes, datetime]]) -> Iterator[int]:
        """What stands for the version of each row."""
        return (self._versions[print_] for print_, _ in again)

    def sights(self, batch: Batch) -> SeenAgain:
        """When those rows of *batch* that are not over were seen again."""
        sights = {}
        for print_, seen_ts in batch.again:
            if print_ in self._lasting:
                id_, is_open = self._lasting[print_]
                sights[self._entity.key, id_] = Sight(seen_ts, seen_ts if is_open else None)
        return SeenAgain(sights)


def _batches(reading: Reading, window: Window | None, known: _Known) -> Iterator[Batch]:
    entity = reading.pass_.entity
    if window is None:
        yield from read_list(entity, reading.fetch(), known=known)
        return
    since = datetime.fromtimestamp(window.min_ts, UTC)
    fetch = reading.fetch(min_ts=window.min_ts, max_ts=window.max_ts)
    for batch in read_list(entity, fetch, known=known):
        yield replace(batch, asked_since=since)
