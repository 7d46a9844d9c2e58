"""The market-wide RFQ list: too long to sweep each run, so read from the top until it is old.

The list is served last updated first (observed, not documented). A stranger's RFQ shows no update
time, but an open one was last updated when it was created. So once an open RFQ is older than the
watermark, everything below it was read before. The order is checked on every page; where it does
not hold, nothing is concluded from it and the list is read to its end.
"""

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kalshi.client import Page
from pipelines.kalshi.extraction import Extraction, PassReport
from pipelines.kalshi.passes import RFQ_PAGES_PER_BATCH, hand_on, report_rows
from pipelines.kalshi.schema import RFQ
from pipelines.kalshi.sweep import read_list


def market_rfqs_pass(extraction: Extraction, state: dict[str, Any]) -> Iterator[Any]:
    """Read every RFQ updated since the watermark, newest first; long reads are kept in slices."""
    watermark = extraction.watermark(state, "rfqs_market")
    report = PassReport(extraction, "rfqs_market", watermark, sweeps=1, is_order_held=True)
    before = watermark.value
    boundary = None if before is None else before - extraction.reach.overlap
    sweep = MarketSweep(watermark.state, boundary)

    def fetch(cursor: str | None) -> Page:
        return extraction.reader.get_rfqs(cursor=cursor)

    for batch in read_list(RFQ, fetch, RFQ_PAGES_PER_BATCH, sweep.resume_at):
        extraction.see(batch.rows.table)
        found = yield from hand_on(report, extraction.rfqs, batch)
        sweep.see(batch.rows.table, batch.started_ts, found)
        if sweep.is_done:
            break
        if report.rows_seen >= extraction.reach.rows_per_load and batch.next_cursor:
            sweep.pause(batch.next_cursor)
            extraction.is_unfinished = True
            break
    if not extraction.is_unfinished:
        watermark.advance(sweep.finish())
    report.is_order_held = sweep.is_order_held
    yield from report_rows(report)


class MarketSweep:
    """One reading of the market-wide list, possibly over several loads."""

    def __init__(self, state: dict[str, Any], boundary: datetime | None) -> None:
        self._state = state
        self._boundary = boundary
        paused: dict[str, Any] = state.pop("paused", {})
        self.resume_at: str | None = paused.get("cursor")
        self.is_order_held: bool = paused.get("is_order_held", True)
        self.is_done = False
        self._first_page: str | None = paused.get("first_page")
        self._started_ts = _moment(paused.get("started_ts"))
        self._lowest_open_ts = _moment(paused.get("lowest_open_ts"))

    def see(self, rows: pa.Table, served_ts: datetime, found: set[tuple[str, str]]) -> None:
        """Take in the next rows of the list and decide whether the rest is old."""
        if self._started_ts is None:
            self._started_ts = served_ts
            self._first_page = _fingerprint(found)
            # The top of the list is as it was: nothing has been updated since the last sweep.
            self.is_done = self._first_page == self._state.get("first_page")
        self._check_order(rows)
        if self.is_order_held and self._boundary and self._lowest_open_ts:
            self.is_done |= self._lowest_open_ts < self._boundary

    def pause(self, cursor: str) -> None:
        """Remember where to go on; the rows so far are loaded with it."""
        self._state["paused"] = {
            "cursor": cursor,
            "is_order_held": self.is_order_held,
            "first_page": self._first_page,
            "started_ts": _text(self._started_ts),
            "lowest_open_ts": _text(self._lowest_open_ts),
        }

    def finish(self) -> datetime:
        """Return the watermark that a complete sweep earns: the moment it began."""
        if self._started_ts is None:
            raise RuntimeError("a sweep was finished before its first page")
        self._state["first_page"] = self._first_page
        return self._started_ts

    def _check_order(self, rows: pa.Table) -> None:
        created = rows.filter(pc.equal(rows.column("status"), "open")).column("created_ts")
        for moment in created.to_pylist():
            if self._lowest_open_ts and moment > self._lowest_open_ts:
                self.is_order_held = False
            self._lowest_open_ts = min(moment, self._lowest_open_ts or moment)


def _fingerprint(found: set[tuple[str, str]]) -> str:
    return sha256(repr(sorted(found)).encode()).hexdigest()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
