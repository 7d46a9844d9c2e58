"""The market-wide RFQ list: too long to sweep each run, so read from the top until it is old.

The list is served last updated first (observed, not documented). A stranger's RFQ shows no update
time, but an open one was last updated when it was created. So once such a row is older than the
watermark, everything below it was read before. The order is checked on every row; where it does
not hold, nothing is concluded from it and the list is read to its end, this time and the next.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from pipelines.kalshi.client import Page
from pipelines.kalshi.extraction import Extraction, PassReport, Reach
from pipelines.kalshi.passes import RFQ_PAGES_PER_BATCH, hand_on, report_rows
from pipelines.kalshi.schema import RFQ
from pipelines.kalshi.sweep import Batch, read_list

# Rows that changed at almost the same moment may be listed either way round.
ORDER_TOLERANCE = timedelta(seconds=10)


def market_rfqs_pass(extraction: Extraction, state: dict[str, Any]) -> Iterator[Any]:
    """Read every RFQ updated since the watermark, newest first; long reads are kept in slices.

    With a span to be read again, down to its beginning: above it nothing can be left out.
    """
    watermark = extraction.watermark(state, "rfqs_market")
    report = PassReport(extraction, "rfqs_market", watermark, sweeps=1)
    boundary = _boundary(watermark.read_from, extraction.reach)
    report.look_back(boundary)
    sweep = MarketSweep(watermark.state, boundary)
    # What an earlier run began with is old: once that sweep is over, the top is due again.
    extraction.is_unfinished |= sweep.run_id not in (None, extraction.run_id)

    def fetch(cursor: str | None) -> Page:
        return extraction.reader.get_rfqs(cursor=cursor, limit=extraction.reach.rfqs_per_page)

    for batch in read_list(RFQ, fetch, RFQ_PAGES_PER_BATCH, sweep.resume_at):
        extraction.see(batch.rows.table)
        yield from hand_on(report, extraction.rfqs, extraction.gone_rfqs, batch)
        sweep.see(batch)
        if sweep.is_done:
            watermark.advance(sweep.finish())
            break
        if report.rows_seen >= extraction.reach.rows_per_load:
            sweep.pause(extraction.run_id)
            extraction.is_unfinished = True
            break
    report.is_order_held = sweep.is_order_held
    yield from report_rows(report)


def _boundary(read_from: datetime | None, reach: Reach) -> datetime | None:
    """Before when what was last updated need not be read; None where all of it must."""
    if read_from is None:
        return None
    begin = read_from - reach.overlap
    return (min(begin, reach.since) if reach.since else begin) - ORDER_TOLERANCE


class MarketSweep:
    """One reading of the market-wide list, possibly over several loads."""

    def __init__(self, state: dict[str, Any], boundary: datetime | None) -> None:
        self._state = state
        self._boundary = boundary
        self._was_order_held: bool = state.get("is_order_held", True)
        paused: dict[str, Any] = state.pop("paused", {})
        self.resume_at: str | None = paused.get("cursor")
        self.run_id: str | None = paused.get("run_id")  # of the run that began it
        self.is_order_held: bool = paused.get("is_order_held", True)
        self.is_done = False
        self._next_cursor: str | None = None
        self._started_ts = _moment(paused.get("started_ts"))
        self._lowest_ts: datetime | None = None
        self._ids: set[str] = set()

    def see(self, batch: Batch) -> None:
        """Take in the next rows of the list and decide whether the rest is old."""
        self._started_ts = self._started_ts or batch.started_ts
        self._next_cursor = batch.next_cursor
        if batch.is_first:
            self._lowest_ts = None
        self._check_order(batch.rows.table)
        is_known_order = self.is_order_held and self._was_order_held
        is_old = self._boundary and self._lowest_ts and self._lowest_ts < self._boundary
        self.is_done = not batch.next_cursor or bool(is_known_order and is_old)

    def pause(self, run_id: str) -> None:
        """Remember where to go on; the rows so far are loaded with it."""
        self._state["paused"] = {
            "run_id": self.run_id or run_id,
            "cursor": self._next_cursor,
            "is_order_held": self.is_order_held,
            "started_ts": self._started().isoformat(),
        }

    def finish(self) -> datetime:
        """Return the watermark that a complete sweep earns: the moment it began."""
        self._state["is_order_held"] = self.is_order_held
        return self._started()

    def _started(self) -> datetime:
        if self._started_ts is None:
            raise RuntimeError("a sweep ended before its first page")
        return self._started_ts

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
