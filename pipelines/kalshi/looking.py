"""What a watch looks at every few seconds: into memory first, and into raw with a later load.

A look is one of the usual passes over a list that forgets. It needs no database, so it goes on
whatever the load, the build or the disk is at. What it has seen waits here; a load of the same pass
then finds it here (`Look.waiting`) instead of asking the exchange, together with the state that the
pass has come to. So rows and watermark are stored together, as those of every load are.
"""

from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kalshi import lists
from pipelines.kalshi.client.errors import ExchangeError
from pipelines.kalshi.entities import RFQ
from pipelines.kalshi.extraction import Extraction
from pipelines.kalshi.pages import Rejected, Rows
from pipelines.kalshi.paging import Batch
from pipelines.kalshi.passes import PASSES, is_full_after
from pipelines.kalshi.reading import (
    DONE,
    NOT_DUE,
    Ending,
    Pass,
    Reading,
    Row,
    SeenAgain,
    Steps,
    Swept,
    Taken,
)
from pipelines.kalshi.report import PassReport, Sight
from pipelines.kalshi.versions import Key, keys
from pipelines.kalshi.watermark import Watermark, Window
from transforms.raw import TIMESTAMP

# An account has at most 100 open RFQs, so this list is one page, answered at one moment. By id it
# would be a request for each, and those asked since the last look would be missing.
OPEN_RFQS = Pass(
    "rfqs_own_open", "rfqs", RFQ, lists.open_now, {"user_filter": "self", "status": "open"}
)
LOOKED_AT = (*(each for each in PASSES if each.is_fleeting), OPEN_RFQS)


@dataclass
class Sights:
    """What looks at one list have seen and no load has landed yet; times are the exchange's."""

    versions: list[pa.Table] = field(default_factory=list)
    rejected: dict[str, Rejected] = field(default_factory=dict)
    seen_again: dict[tuple[str, str], Sight] = field(default_factory=dict)
    moments: list[datetime] = field(default_factory=list)
    """When the list was served whole, look by look."""
    state: dict[str, Any] | None = None
    """What the pass has come to with these rows: whoever has them has it, and nobody else."""
    started_ts: datetime | None = None
    ended_ts: datetime | None = None
    window_start: datetime | None = None
    forgotten_before_ts: datetime | None = None
    pages: int = 0
    sweeps: int = 0
    is_verified: bool = True
    may_vouch: bool = True
    passed: set[str] = field(default_factory=set)
    """The rejected rows that the watermark has passed by now, so that they are to be read by id."""

    @property
    def n_rows(self) -> int:
        """How many rows wait that raw may not hold."""
        rows: int = sum(table.num_rows for table in self.versions)
        return rows + len(self.rejected)

    def add(self, report: PassReport) -> None:
        """Take in what the report of a look says of it."""
        self.started_ts, self.ended_ts = report.started_ts, report.ended_ts
        self.window_start = report.window_min_ts
        self.forgotten_before_ts = report.forgotten_before_ts
        self.pages, self.sweeps = report.pages, report.sweeps
        self.may_vouch = report.may_vouch
        self.is_verified = report.is_verified and report.may_vouch
        self.seen_again = dict(report.sights)

    def joined(self, later: "Sights") -> "Sights":
        """These and *later* ones as one."""
        return replace(
            self,
            versions=self.versions + later.versions,
            rejected=self.rejected | later.rejected,
            seen_again=_last_of(self.seen_again, later.seen_again),
            moments=self.moments + later.moments,
            state=self.state if later.state is None else later.state,
            started_ts=self.started_ts or later.started_ts,
            ended_ts=later.ended_ts or self.ended_ts,
            window_start=self.window_start or later.window_start,
            forgotten_before_ts=later.forgotten_before_ts or self.forgotten_before_ts,
            pages=self.pages + later.pages,
            sweeps=self.sweeps + later.sweeps,
            is_verified=later.is_verified if later.pages else self.is_verified,
            may_vouch=later.may_vouch if later.pages else self.may_vouch,
            passed=self.passed | later.passed,
        )


class Look:
    """One list as a watch sees it. Looks come from one thread, loads from another."""

    def __init__(self, each: Pass) -> None:
        self.pass_ = each
        # None until a load has told how far the pass has read.
        self.state: dict[str, Any] | None = None if each.is_fleeting else {}
        self._known: set[Key] = set()
        self._met: set[Key] = set()
        # The unreadable rows that the last looks have shown and the watermark has passed.
        self._passed: set[str] = set()
        # How far raw had read by what was handed over to it, and how often it went back since.
        self._stored: datetime | None = None
        self._n_begun = 0
        self._fresh, self._landing = Sights(), Sights()
        self._changed: int | None = None
        self._lock = Lock()

    @property
    def side(self) -> str:
        """Whose quotes the list holds: made or received."""
        return self.pass_.name.removeprefix("quotes_")

    @property
    def is_ready(self) -> bool:
        """Whether it is known from when on the list is to be read."""
        return self.state is not None

    def begin(self, state: dict[str, Any]) -> None:
        """Go on from where a load has left the pass; from nothing a load has to begin."""
        with self._lock:
            if self.state is None and "watermark" in state:
                self.state = deepcopy(state)
            self._stored = Watermark(state).value

    def has_more_than(self, state: dict[str, Any]) -> bool:
        """Whether raw, which has *state* of the pass, has lost what it had got from here.

        Its log may have been lost, or an older file be in its place.
        """
        stored = Watermark(state).value
        return self._stored is not None and (stored is None or stored < self._stored)

    def begin_anew(self) -> None:
        """Forget what raw was thought to hold. Rows that wait are stored, and vouch for nothing."""
        with self._lock:
            self._n_begun += 1
            self.state = None if self.pass_.is_fleeting else {}
            self._known, self._passed = set(), set()
            self._fresh.state, self._fresh.moments = None, []

    @property
    def waiting(self) -> Pass:
        """The pass for a load, which reads what waits here."""
        return replace(self.pass_, read=self._replayed)

    @property
    def n_waiting(self) -> int:
        """How many rows wait that raw may not hold."""
        with self._lock:
            return self._fresh.n_rows + self._landing.n_rows

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """When the first and the last of the rows that wait were seen; None where none waits."""
        with self._lock:
            tables = self._landing.versions + self._fresh.versions
        seen = [pc.min_max(table.column("observed_ts")).as_py() for table in tables]
        return (seen[0]["min"], seen[-1]["max"]) if seen else None

    def look(self, extraction: Extraction) -> tuple[Ending, datetime | None]:
        """Read the list once more; return how that ended, and when the list was served whole."""
        with self._lock:
            state, n_begun = deepcopy(self.state or {}), self._n_begun
        seen = Sights()
        try:
            reading = _reading(extraction, self.pass_, state)
            ending, moment = self._read(reading, seen)
        except ExchangeError as failure:
            return Ending(failure=failure), None
        known, self._met = self._met, set()
        seen.add(reading.report)
        seen.moments += [] if moment is None else [moment]
        seen.state = state
        self._pass_unreadable(reading.report, seen, is_whole=ending.failure is None)
        older = reading.report.rows_created_before_window
        with self._lock:
            if older is not None:
                self._changed = (self._changed or 0) + older
            if n_begun != self._n_begun:
                # What this look took for known, raw has lost meanwhile.
                seen.state, seen.moments, moment = None, [], None
            # A signal may come in between: no state without the rows that it vouches for.
            self._fresh = self._fresh.joined(seen)
            if n_begun == self._n_begun:
                self.state = state
                self._known = self._known | known if ending.failure else known
        return ending, moment

    def _pass_unreadable(self, report: PassReport, seen: Sights, *, is_whole: bool) -> None:
        """Hand over the unreadable rows that the watermark passes with this look, known or not."""
        for key in report.passed - self._passed:
            seen.rejected.setdefault(key, report.rejected[key])
            seen.passed.add(key)
        self._passed |= report.passed
        if is_whole:
            # What is not listed any more was handed over.
            self._passed &= report.rejected.keys()

    def landed(self) -> list[datetime]:
        """Forget what a load has stored; return the moments at which the list was served whole."""
        with self._lock:
            moments, self._landing = self._landing.moments, Sights()
        return moments

    def kept(self) -> None:
        """Keep what a load has failed to store for the next one."""
        with self._lock:
            self._fresh, self._landing = self._landing.joined(self._fresh), Sights()

    def changed(self) -> int | None:
        """Take how many quotes the looks have shown that were created before what they asked for.

        None where none of them can tell.
        """
        with self._lock:
            changed, self._changed = self._changed, None
        return changed

    def moments(self) -> list[datetime]:
        """Take the moments of the looks that have seen nothing new, so that no load is needed."""
        with self._lock:
            if self._fresh.n_rows or self._landing.n_rows:
                return []
            moments, self._fresh.moments = self._fresh.moments, []
        return moments

    def _read(self, reading: Reading, seen: Sights) -> tuple[Ending, datetime | None]:
        """Take every step of the pass; what ends it early leaves what was seen by then."""
        steps, moment = self.pass_.read(reading), None
        answer: Any = None
        try:
            while True:
                match steps.send(answer):
                    case Batch() as batch:
                        answer = self._taken(reading, batch, seen)
                    case Swept() as swept:
                        answer = is_full_after(reading, swept)
                    case Row("passes", values):
                        answer, moment = None, values["served_ts"]
                    case SeenAgain(sights):
                        reading.report.add_sights(sights)
        except StopIteration as end:
            ending: Ending = end.value
            return ending, moment
        except ExchangeError as failure:
            return Ending(failure=failure), None

    def _taken(self, reading: Reading, batch: Batch, seen: Sights) -> Taken:
        """Keep the rows whose version the last look did not show, note the others as seen again."""
        batch = reading.extraction.purged.left_of(batch, self.pass_.entity)
        report, rows = reading.report, batch.rows.table
        for row in batch.rows.rejected:
            if self._is_first_met(("rejected", row.row_hash)):
                seen.rejected[row.row_hash] = row
        rejected = frozenset(hash(row.row_hash) for row in batch.rows.rejected)
        if not rows.num_rows:
            report.count(batch, 0)
            return Taken((), rejected, 0)
        versions = reading.extraction.versions[self.pass_.entity]
        stamped = versions.stamp(rows, report.name)
        shown = keys(stamped)
        mask = pa.array([self._is_first_met(key) for key in shown], pa.bool_())
        new = rows.filter(mask)
        report.count(batch, new.num_rows)
        report.see_again(self.pass_.entity, stamped.filter(pc.invert(mask)))
        if new.num_rows:
            seen.versions.append(new)
        return Taken([hash(key) for key in shown], rejected, new.num_rows)

    def _is_first_met(self, key: Key) -> bool:
        is_first = key not in self._known and key not in self._met
        self._met.add(key)
        return is_first

    def _replayed(self, reading: Reading) -> Steps:
        """Hand over what waits, as the pass would have if it had just read it."""
        with self._lock:
            landing = self._landing = self._landing.joined(self._fresh)
            self._fresh = Sights(is_verified=landing.is_verified)
        if landing.started_ts is None or landing.ended_ts is None:
            return NOT_DUE
        report, before = reading.report, reading.watermark.value
        report.forgotten_before_ts = landing.forgotten_before_ts
        report.is_vouched_for, report.passed = landing.may_vouch, frozenset(landing.passed)
        rows = Rows(_joined(landing.versions, self.pass_), tuple(landing.rejected.values()))
        yield Batch(rows, landing.pages, landing.started_ts, landing.ended_ts)
        yield SeenAgain(landing.seen_again)
        window = None if landing.window_start is None else Window(landing.window_start)
        yield Swept(None, landing.is_verified, sweeps=landing.sweeps, window=window)
        # In the first cycle of a watch a load of its own may have read further meanwhile.
        after = None if landing.state is None else Watermark(landing.state).value
        if landing.state is not None and after is not None and (before is None or after >= before):
            reading.state.clear()
            reading.state.update(deepcopy(landing.state))
        return DONE


def _reading(extraction: Extraction, each: Pass, state: dict[str, Any]) -> Reading:
    watermark = extraction.watermark(state)
    watermark.note_step_back()
    report = PassReport(extraction, each.name, watermark)
    return Reading(extraction, each, state, watermark, report, lambda _: Watermark({}))


def _last_of(
    earlier: dict[tuple[str, str], Sight], later: dict[tuple[str, str], Sight]
) -> dict[tuple[str, str], Sight]:
    """The last sight of each id; one that is not open any more keeps when it last was."""
    found = dict(earlier)
    for key, sight in later.items():
        before = earlier.get(key, sight)
        found[key] = replace(sight, open_ts=sight.open_ts or before.open_ts)
    return found


def _joined(tables: list[pa.Table], each: Pass) -> pa.Table:
    added = [pa.field("unknown_fields", pa.string()), pa.field("observed_ts", TIMESTAMP)]
    empty = pa.schema([*each.entity.fields, *added]).empty_table()
    return pa.concat_tables([empty, *tables])
