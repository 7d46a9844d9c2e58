"""The market-wide RFQ list: too long to sweep each run, so read from the top until it is old.

The list is served last updated first (observed, not documented). A stranger's RFQ shows no update
time, but an open one was last updated when it was created. So once such a row is older than the
watermark, everything below it was read before. The order is checked on every row; where it does
not hold, nothing is concluded from it and the list is read to its end, this time and the next.
"""

from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from pipelines.kalshi.client.errors import CursorRefused, RequestRefused
from pipelines.kalshi.client.reader import Page
from pipelines.kalshi.extraction import Extraction
from pipelines.kalshi.paging import RESTARTS, Batch, read_list
from pipelines.kalshi.reading import ERRORS_OF_ONE_LIST, Ending, Reading, Steps

# Our quotes may vanish within minutes: between two slices of a long list they are read again.
OURS_WAIT_AT_MOST = timedelta(seconds=60)
# Rows that changed at almost the same moment may be listed either way round.
ORDER_TOLERANCE = timedelta(seconds=10)
# So often may a refused cursor lead back to the top before the rest is read in one load.
RESTARTS_UNTIL_READ_AT_ONCE = 2


def market_rfqs(reading: Reading) -> Steps:
    """Read every RFQ updated since the watermark, newest first; long reads are kept in slices.

    With a span to be read again, down to its beginning: above it nothing can be left out.
    """
    extraction, report = reading.extraction, reading.report
    boundary = _boundary(reading)
    report.note_gone_rows(boundary)
    sweep = MarketSweep(reading.state, boundary, extraction)
    # However the pass ends, until a sweep is over our own RFQs are not told by the market's list.
    reading.state["is_left"] = True
    try:
        yield from _read_market(reading, sweep)
    except ERRORS_OF_ONE_LIST as failure:
        sweep.may_vouch &= report.may_vouch
        sweep.fail()
        return Ending(failure=failure, is_order_held=sweep.is_order_held)
    sweep.may_vouch &= report.may_vouch
    has_more = not sweep.is_done or sweep.is_top_due
    if sweep.is_done:
        began = sweep.finish()
        if sweep.may_vouch:
            reading.watermark.advance(*began)
    else:
        sweep.pause()
    if not has_more and sweep.may_vouch:
        del reading.state["is_left"]
    return Ending(has_more=has_more, is_verified=not has_more, is_order_held=sweep.is_order_held)


def _boundary(reading: Reading) -> datetime | None:
    """Before when what was last updated need not be read; None where all of it must."""
    extraction, read_from = reading.extraction, reading.watermark.read_from
    if read_from is None:
        return None
    begin, since = read_from - extraction.reach.overlap, extraction.reach.since
    if since and reading.pass_.name not in extraction.finished:
        begin = min(begin, since)
    return begin - ORDER_TOLERANCE


def _read_market(reading: Reading, sweep: "MarketSweep") -> Generator[Batch, Any, None]:
    """Read on until the rest is old or the load is full."""
    entity, ask = reading.pass_.entity, reading.fetch()
    began = reading.extraction.reader.local_clock()

    def fetch(cursor: str | None) -> Page:
        sweep.ask(cursor)
        try:
            return ask(cursor)
        except ERRORS_OF_ONE_LIST as refusal:
            # How an old cursor is refused is not documented. The top of the list tells the rest,
            # which takes long: a fault that may have passed by the next run has to come again.
            is_old = cursor is not None and cursor == sweep.resume_at and not sweep.has_begun
            if is_old and (isinstance(refusal, RequestRefused) or sweep.is_in_doubt):
                raise CursorRefused(refusal.what) from None
            raise

    for batch in read_list(entity, fetch, sweep.resume_at, is_read_to_its_end=False):
        yield batch
        sweep.see(batch)
        if sweep.is_done or (sweep.may_pause and _is_full(reading, began)):
            break


def _is_full(reading: Reading, began: datetime) -> bool:
    """Whether to go on in the next load: this one is large, or what is ours has waited enough."""
    extraction = reading.extraction
    is_large = reading.report.rows_seen >= extraction.reach.rows_per_load
    return is_large or extraction.age_of(began) >= OURS_WAIT_AT_MOST


class MarketSweep:
    """One reading of the market-wide list, possibly over several loads."""

    def __init__(
        self, state: dict[str, Any], boundary: datetime | None, extraction: Extraction
    ) -> None:
        self._state = state
        self._boundary = boundary
        self._was_order_held: bool = state.get("is_order_held", True)
        paused: dict[str, Any] = state.get("paused", {})
        self.resume_at: str | None = paused.get("cursor")
        # Whether the run before had no answer at this cursor either.
        self.is_in_doubt: bool = paused.get("is_in_doubt", False)
        self._run_id: str = paused.get("run_id", extraction.run_id)  # of the run that began it
        self._is_from_another_run = self._run_id != extraction.run_id
        self._is_of_a_span = extraction.reach.since is not None
        self.is_order_held: bool = paused.get("is_order_held", True)
        self.may_vouch: bool = paused.get("may_vouch", True)
        self.is_done = False
        self.has_begun = False
        self._restarts: int = paused.get("restarts", 0)
        self._refused: int = paused.get("refused", 0)
        self._has_gone_back = False
        self._failures: int = paused.get("failures", 0)
        self._next_cursor: str | None = None
        self._started_ts = _moment(paused.get("started_ts"))
        self._clock_skew_s = paused.get("clock_skew_s", extraction.reader.clock_skew_s)
        self._lowest_ts: datetime | None = None
        self._ids: set[str] = set()

    @property
    def is_top_due(self) -> bool:
        """Whether the list is to be read from its top once more when this sweep is over.

        What an earlier load began with is old by then. The one sweep that comes after it is short,
        and may take several loads as well: it calls for no other, unless another run began it. Nor
        does a span that is read again, as all of it would be read once more.
        """
        is_last = self._is_of_a_span or "comes_after" in self._state
        return self._is_from_another_run or (self.resume_at is not None and not is_last)

    def ask(self, cursor: str | None) -> None:
        """Note that the page at *cursor* is asked for."""
        if cursor is None and self.has_begun:
            self._restarts += 1
        elif cursor is None and self.resume_at:
            self._refused += 1
            self._has_gone_back = True

    @property
    def may_pause(self) -> bool:
        """Whether to go on in a later load: where cursors do not last, that leads to the top again.

        Where one to go on at is refused, that says little: it may be of a run that was killed a day
        ago, and it counts until one is taken again.
        """
        return max(self._restarts, self._refused) < RESTARTS_UNTIL_READ_AT_ONCE

    def see(self, batch: Batch) -> None:
        """Take in the next rows of the list and decide whether the rest is old."""
        if not self.has_begun and self.resume_at is None:
            self._started_ts = self._started_ts or batch.earned_ts
        elif not self.has_begun and not self._has_gone_back:
            self._refused = 0
        self.has_begun = True
        self._next_cursor = batch.next_cursor
        if batch.is_first:
            self._lowest_ts = None
        self._check_order(batch.rows.table)
        is_known_order = self.is_order_held and self._was_order_held
        is_old = self._boundary and self._lowest_ts and self._lowest_ts < self._boundary
        self.is_done = not batch.next_cursor or bool(is_known_order and is_old)

    def pause(self, failures: int = 0) -> None:
        """Remember where to go on; the rows so far are loaded with it."""
        self._state["paused"] = {
            "run_id": self._run_id,
            "cursor": self._next_cursor,
            "is_order_held": self.is_order_held,
            "may_vouch": self.may_vouch,
            "started_ts": self._started_ts and self._started_ts.isoformat(),
            "clock_skew_s": self._clock_skew_s,
            "failures": failures,
            "restarts": self._restarts,
            "refused": self._refused,
        }

    def fail(self) -> None:
        """Remember how far the list was read, unless that is where it keeps failing.

        Where nothing was read, what an earlier load remembered is as good as before.
        """
        if self.has_begun and self._failures < RESTARTS:
            self.pause(self._failures + 1)
        elif self.has_begun:
            self._state.pop("paused", None)
        elif "paused" in self._state:
            self._state["paused"]["is_in_doubt"] = True

    def finish(self) -> tuple[datetime | None, float | None]:
        """Return the watermark that a complete sweep earns, if any: when it began, which clock."""
        if self.is_top_due:
            self._state["comes_after"] = True
        else:
            self._state.pop("comes_after", None)
        self._state.pop("paused", None)
        self._state["is_order_held"] = self.is_order_held
        return self._started_ts, self._clock_skew_s

    def _check_order(self, rows: pa.Table) -> None:
        columns = ("id", "status", "created_ts", "updated_ts")
        for id_, status, created, updated in zip(
            *(rows.column(name).to_pylist() for name in columns), strict=True
        ):
            # A page that shifted under us repeats rows: they say nothing of the order.
            if id_ in self._ids:
                continue
            self._ids.add(id_)
            place = updated or (created if status == "open" else None)
            # Nothing is updated before it is created, so a closed row has a place at least as high.
            if self._lowest_ts and (place or created) > self._lowest_ts + ORDER_TOLERANCE:
                self.is_order_held = False
            if place:
                self._lowest_ts = min(place, self._lowest_ts or place)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
