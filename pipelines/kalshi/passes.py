"""Every pass of a run, in order, and the one loop that they all run through.

What is ours and may vanish comes first. Each pass reads one list, or records by id, and yields what
it met (`reading`); the loop hands new versions on to raw, folds the report and stores the state.
"""

import copy
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipelines.kalshi import by_id, coverage, lists, market_list
from pipelines.kalshi.client.errors import ExchangeError
from pipelines.kalshi.entities import QUOTE, RFQ, into
from pipelines.kalshi.extraction import Extraction
from pipelines.kalshi.pages import Rejected
from pipelines.kalshi.paging import Batch
from pipelines.kalshi.plausible import out_of_bounds
from pipelines.kalshi.reading import (
    ERRORS_OF_ONE_LIST,
    Ending,
    Pass,
    Reading,
    Row,
    SeenAgain,
    Steps,
    Swept,
    Taken,
)
from pipelines.kalshi.report import PassReport
from pipelines.kalshi.versions import keys
from transforms.raw import raw_schema

_MADE = {"user_filter": "self"}
_RECEIVED = {"rfq_user_filter": "self"}
_FLEETING = {"is_fleeting": True, "is_ours": True}

PASSES = (
    Pass("backfill_made", "quotes", QUOTE, lists.quotes_of_a_span, _MADE, names_span=True),
    Pass("quotes_made", "quotes", QUOTE, lists.updated_quotes, _MADE, **_FLEETING),
    Pass("backfill_received", "quotes", QUOTE, lists.quotes_of_a_span, _RECEIVED, names_span=True),
    Pass("quotes_received", "quotes", QUOTE, lists.updated_quotes, _RECEIVED, **_FLEETING),
    Pass("rfqs_self", "rfqs", RFQ, lists.own_rfqs, _MADE, is_ours=True),
    Pass("rfqs_open", "rfqs", RFQ, coverage.open_rfqs_compared, {"status": "open"}, sweeps=1),
    Pass("rfqs_market", "rfqs", RFQ, market_list.market_rfqs, sweeps=1),
    Pass("quotes_by_id", "quotes_by_id", QUOTE, by_id.quotes_by_id, sweeps=1),
    Pass("rfqs_by_id", "rfqs_by_id", RFQ, by_id.rfqs_by_id, sweeps=1),
)
OF_THE_MARKET = ("rfqs_open", "rfqs_market")
# So often may a list of ours fail in a run before its later loads leave it out.
MOST_FAILURES = 3


def passes_of(scope: str) -> tuple[Pass, ...]:
    """The passes of a run whose scope is "market" or "self"."""
    return tuple(each for each in PASSES if scope == "market" or each.name not in OF_THE_MARKET)


class GivenUp(Exception):
    """A load that nobody waits for any more: what it has read is not stored."""


@dataclass
class Load:
    """One load of a run: the passes that it is to read, and what came of them."""

    extraction: Extraction
    passes: tuple[Pass, ...]
    endings: dict[str, Ending] = field(default_factory=dict)
    is_read: bool = False
    is_given_up: bool = False

    def conclude(self) -> None:
        """Note that all is read, and will be stored. Raises `GivenUp` where it was given up."""
        self.is_read = True
        if self.is_given_up:
            raise GivenUp

    def give_up(self) -> bool:
        """Let nothing of it be stored; return False where it may be stored already."""
        self.is_given_up = True
        return not self.is_read

    def items(self, resource: str, states: dict[str, Any]) -> Iterator[Any]:
        """Yield the rows of the passes of a dlt resource, whose state is *states*.

        Once a pass has more to read, the load is full, and those after it are for the next one.
        """
        for each in self.passes:
            if each.resource == resource and not (self.is_full or self.ends_run):
                self.endings[each.name] = yield from items_of(each, self.extraction, states)

    @property
    def is_full(self) -> bool:
        """Whether a pass has left something for the next load."""
        return any(ending.has_more for ending in self.endings.values())

    @property
    def ends_run(self) -> bool:
        """Whether a pass failed in a way that spares the exchange every later one."""
        return any(ending.ends_run for ending in self.endings.values())

    def failures(self) -> list[ExchangeError]:
        """What made passes end early; first what ends the run."""
        return failures_of(self.endings)

    def left(self) -> tuple[Pass, ...]:
        """The passes of the next load, none if this was the last one.

        What is ours is come to again before what a full load has left, also where it has failed
        once or twice: the trouble may be over, and what is not read meanwhile vanishes.
        """
        if self.ends_run or not self.is_full:
            return ()
        return tuple(each for each in self.passes if self._is_left(each))

    def _is_left(self, each: Pass) -> bool:
        ending = self.endings.get(each.name)
        if ending is None or ending.has_more:
            return True
        # An answer that does not come is waited for up to two minutes each time.
        is_tried = self.extraction.failures[each.name] < MOST_FAILURES
        return each.is_ours and (not ending.failure or is_tried)


def failures_of(endings: Mapping[str, Ending]) -> list[ExchangeError]:
    """What made passes end early, by how each of them has ended last; first what ends the run."""
    failed = sorted(endings.values(), key=lambda ending: not ending.ends_run)
    return [ending.failure for ending in failed if ending.failure]


def items_of(
    each: Pass, extraction: Extraction, states: dict[str, Any]
) -> Generator[Any, None, Ending]:
    """Yield the rows of one pass, marked for raw, then its report; return how it ended."""
    name = f"{each.name} {lists.span_of(extraction)}" if each.names_span else each.name
    state = copy.deepcopy(extraction.state_of(states, name))
    watermark = extraction.watermark(state)
    watermark.note_step_back()
    report = PassReport(extraction, each.name, watermark, sweeps=each.sweeps)
    reading = Reading(
        *(extraction, each, state, watermark, report),
        lambda other: extraction.watermark(extraction.state_of(states, other)),
    )
    ending = yield from _read(reading, each.read(reading))
    report.is_order_held = ending.is_order_held
    report.is_verified &= ending.is_verified and not ending.failure
    report.conclude()
    if ending.has_read:
        yield from _report_rows(reading)
    extraction.failures[each.name] += ending.failure is not None
    if not (ending.has_more or ending.failure):
        extraction.finished.add(each.name)
    extraction.read_by_id |= ending.ids
    # An empty state is none: that of a span that nobody asked for has another name in every run.
    extraction.store_state(states, name, (state or None) if ending.keeps_state else None)
    return ending


def _read(reading: Reading, steps: Steps) -> Generator[Any, None, Ending]:
    """Take every step of a pass; where the exchange ends it early, say so in its ending.

    What was read until then is loaded and no watermark vouches for it. Trouble with one list holds
    no other back.
    """
    answer: Any = None
    try:
        while True:
            answer = yield from _take(reading, steps.send(answer))
    except StopIteration as end:
        ending: Ending = end.value
        return ending
    except ExchangeError as failure:
        return Ending(failure=failure, ends_run=not isinstance(failure, ERRORS_OF_ONE_LIST))


def _take(reading: Reading, step: Any) -> Generator[Any, None, Any]:
    match step:
        case Batch():
            return (yield from _new_versions(reading, step))
        case Swept():
            return is_full_after(reading, step)
        case SeenAgain(sights):
            reading.report.add_sights(sights)
        case Rejected():
            reading.report.keep_aside(step)
        case Row(table, values):
            rows = pa.Table.from_pylist([values], schema=raw_schema(table))
            yield to_raw(reading.extraction, table, rows)
    return None


def _new_versions(reading: Reading, batch: Batch) -> Generator[Any, None, Taken]:
    """Yield the new versions of *batch* and whose tombstones it outdates; nothing that was purged.

    The numbers in the answer stand for the versions: a day of a busy maker has millions of them.
    """
    extraction, report, entity = reading.extraction, reading.report, reading.pass_.entity
    batch = extraction.purged.left_of(batch, entity)
    rows = batch.rows.table
    rejected = frozenset(hash(row.row_hash) for row in batch.rows.rejected)
    if not rows.num_rows:
        report.count(batch, 0)
        return Taken((), rejected, 0)
    if entity is RFQ:
        extraction.see(rows)
    versions = extraction.versions[entity]
    stamped = versions.stamp(rows, report.name)
    new, known = versions.told_apart(stamped)
    report.count(batch, new.num_rows)
    report.see_again(entity, known)
    if new.num_rows:
        bounds = extraction.bounds.get(entity.table, ())
        report.keep_aside(*out_of_bounds(entity, new, bounds))
        yield to_raw(extraction, entity.table, new)
    back = extraction.gone[entity].seen_again(rows, batch.ended_ts)
    if back.num_rows:
        yield to_raw(extraction, "tombstones", back)
    return Taken([hash(key) for key in keys(stamped)], rejected, new.num_rows)


def is_full_after(reading: Reading, swept: Swept) -> bool:
    """Let the watermark follow what was swept; return whether the load is full with it."""
    report, window = reading.report, swept.window
    end = None
    if window:
        report.window_min_ts = report.window_min_ts or window.start
        report.window_max_ts = end = window.end
    report.sweeps += swept.sweeps
    report.is_verified &= swept.is_verified and report.may_vouch
    report.served_ts = swept.served_ts if end is None else None
    if not report.is_verified or swept.earned_ts is None:
        return False
    reading.watermark.advance(min(filter(None, (end, swept.earned_ts))))
    report.pass_rejected()
    return report.new_versions >= reading.extraction.reach.rows_per_load


def _report_rows(reading: Reading) -> Iterator[Any]:
    """Yield what a finished pass says of itself, what it saw again, what it could not read."""
    extraction, report = reading.extraction, reading.report
    if report.sights:
        yield to_raw(extraction, "last_seen", report.last_seen_table())
    if report.rejected or report.set_aside:
        yield to_raw(extraction, "rejected_rows", report.rejected_table())
    yield to_raw(extraction, "extraction_runs", report.as_row())


def to_raw(extraction: Extraction, table: str, rows: pa.Table) -> Any:
    """Mark *rows* for a raw table, and let later passes of the load see them as held."""
    extraction.held.note(table, rows)
    return into(table, rows)
