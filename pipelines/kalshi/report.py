"""What one pass over a list did: its row in `raw.extraction_runs`, and what it kept beside.

The report is folded from what the pass yields. It decides nothing but what it counts for.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kalshi.entities import Entity
from pipelines.kalshi.extraction import Extraction, Progress
from pipelines.kalshi.pages import Rejected
from pipelines.kalshi.paging import Batch
from pipelines.kalshi.watermark import Watermark
from transforms.raw import TIMESTAMP, raw_schema

_log = logging.getLogger(__name__)
# So many rejected rows of a pass are kept with their content, the rest without it.
MOST_KEPT_WHOLE = 1_000
_ALREADY_REJECTED = """
select row_hash, bool_or(coalesce(is_read_again, false)) from held_rejected_rows
where row_hash in (select unnest($1)) group by row_hash
"""


@dataclass(slots=True)
class Sight:
    """When one id was last seen, and last seen open if at all."""

    seen_ts: datetime
    open_ts: datetime | None = None

    def note(self, observed_ts: datetime, *, is_open: bool) -> None:
        """Take in one more sight; the exchange's clock may have been set back."""
        self.seen_ts = max(self.seen_ts, observed_ts)
        if is_open:
            self.open_ts = max(self.open_ts or observed_ts, observed_ts)


@dataclass
class PassReport:
    """What one pass over a list did; becomes a row of `raw.extraction_runs`."""

    extraction: Extraction
    name: str
    watermark: Watermark
    started_ts: datetime | None = None
    ended_ts: datetime | None = None
    window_min_ts: datetime | None = None
    window_max_ts: datetime | None = None
    pages: int = 0
    rows_seen: int = 0
    new_versions: int = 0
    rejected: dict[str, Rejected] = field(default_factory=dict)
    set_aside: dict[str, Rejected] = field(default_factory=dict)
    rejected_rows: int = 0
    nameless_rows: int = 0
    rows_created_before_window: int | None = None
    sweeps: int = 0
    is_verified: bool = True
    is_order_held: bool | None = None
    forgotten_before_ts: datetime | None = None
    reached_ts: datetime | None = None
    served_ts: datetime | None = None
    sights: dict[tuple[str, str], Sight] = field(default_factory=dict)
    is_vouched_for: bool | None = None
    """Of what a watch has seen before: whether its last look was, as this report tells less."""
    passed: frozenset[str] = frozenset()
    """Rejected rows that a watermark has passed already, by their hashes."""

    def __post_init__(self) -> None:
        self.watermark_before_ts = self.watermark.value

    def note_gone_rows(self, since: datetime | None) -> None:
        """Note what is gone by now of all that changed from *since* on (None: ever)."""
        kept_since = self.extraction.now - self.extraction.reach.retention
        if since is None or since < kept_since:
            self.forgotten_before_ts = kept_since
            self.extraction.warn_of_gone_rows(since, kept_since)

    def count(self, batch: Batch, new_versions: int) -> None:
        """Add a batch, of which so many were versions not seen before."""
        self.started_ts = self.started_ts or batch.started_ts
        if batch.asked_since:
            self._count_older(batch, batch.asked_since)
        self.ended_ts = batch.ended_ts
        self.pages += batch.pages
        read = batch.rows.table.num_rows + len(batch.rows.rejected)
        self.rows_seen += read + len(batch.again)
        self.new_versions += new_versions
        self.reject(*batch.rows.rejected)
        self.reached_ts = _last_change(batch.rows.table) or self.reached_ts
        budget = self.extraction.reader.budget
        self.extraction.on_progress(
            Progress(
                self.name,
                self.pages,
                self.rows_seen,
                self.new_versions,
                self.reached_ts,
                budget.read_tokens_left,
                budget.read_limit.refill_rate,
                budget.read_waited_s,
            )
        )

    def _count_older(self, batch: Batch, begin: datetime) -> None:
        """Count the rows created before the window's *begin*: only a filter on updates shows any.

        Should the exchange filter by creation, no run ever sees one.
        """
        older = pc.less(batch.rows.table.column("created_ts"), pa.scalar(begin, TIMESTAMP))
        found = pc.sum(older).as_py() or 0
        self.rows_created_before_window = (self.rows_created_before_window or 0) + found
        if self.watermark_before_ts:
            known = self.extraction.quotes_changed_in_window or 0
            self.extraction.quotes_changed_in_window = known + found

    def reject(self, *rejected: Rejected) -> None:
        """Count rows that could not be read, and keep each content once.

        One that is read by id because its list row was rejected has been counted with the list.
        """
        for row in rejected:
            if row.is_counted:
                self.keep_aside(row)
                continue
            self.rejected_rows += 1
            self.nameless_rows += row.id is None
            _keep(self.rejected, row)

    def pass_rejected(self) -> None:
        """Note that the watermark has passed the rows that were rejected so far."""
        self.passed |= self.rejected.keys()

    def keep_aside(self, *rows: Rejected) -> None:
        """Keep with the rejected rows what is not counted with them."""
        for row in rows:
            _keep(self.set_aside, row)

    def see_again(self, entity: Entity, known: pa.Table) -> None:
        """Note when what is not over was seen, of the rows *known* before."""
        is_over = pc.is_in(known.column("status"), pa.array(entity.over))
        lasting = known.filter(pc.invert(is_over)).select(("id", "status", "observed_ts"))
        for row in lasting.to_pylist():
            sight = self.sights.setdefault((entity.key, row["id"]), Sight(row["observed_ts"]))
            sight.note(row["observed_ts"], is_open=row["status"] == "open")

    def add_sights(self, sights: Mapping[tuple[str, str], Sight]) -> None:
        """Add what was seen before this report began."""
        for key, seen in sights.items():
            sight = self.sights.setdefault(key, Sight(seen.seen_ts))
            sight.note(seen.seen_ts, is_open=False)
            if seen.open_ts is not None:
                sight.note(seen.open_ts, is_open=True)

    @property
    def may_vouch(self) -> bool:
        """Whether a watermark may pass what was read: what was not is few and known by its id."""
        if self.is_vouched_for is not None:
            return self.is_vouched_for
        too_many = self.extraction.limits.exceeded(self.rejected_rows, self.rows_seen)
        return not (self.nameless_rows or too_many)

    def conclude(self) -> None:
        """Say that nothing vouches for this pass, where its watermark must not pass its rows."""
        if self.may_vouch:
            return
        self.is_verified = False
        _log.warning(
            "%s: %d of %d rows could not be read, %d of them without an id to ask for them by: "
            "the next run reads all of it again",
            *(self.name, self.rejected_rows, self.rows_seen, self.nameless_rows),
        )

    def rejected_table(self) -> pa.Table:
        """Return what raw does not hold yet of the rejected rows and of what is kept with them."""
        observed = {
            "observed_ts": self.ended_ts or self.extraction.now,
            "run_id": self.extraction.run_id,
        }
        read_again = {
            row_hash
            for row_hash, row in self.rejected.items()
            if row.id and (self.may_vouch or row_hash in self.passed)
        }
        rows = self.set_aside | self.rejected
        held = dict(self.extraction.held.fetch(_ALREADY_REJECTED, [list(rows)]))
        found = [
            asdict(row) | observed | {"is_read_again": row_hash in read_again}
            for row_hash, row in rows.items()
        ]
        # Once more where it is to be read by id only now: it was not while its list was read again.
        news = [row for row in found if row["is_read_again"] > held.get(row["row_hash"], -1)]
        return pa.Table.from_pylist(news, schema=raw_schema("rejected_rows"))

    def last_seen_table(self) -> pa.Table:
        """Return the rows of `raw.last_seen`."""
        load, columns = self.extraction.load, raw_schema("last_seen")
        rows = [
            (*key, sight.seen_ts, sight.open_ts, load) for key, sight in sorted(self.sights.items())
        ]
        named = [dict(zip(columns.names, row, strict=True)) for row in rows]
        return pa.Table.from_pylist(named, schema=columns)

    def as_row(self) -> pa.Table:
        """Return this report as one row of `raw.extraction_runs`."""
        before, started = self.watermark_before_ts, self.started_ts or self.extraction.now
        columns = raw_schema("extraction_runs")
        row = {name: getattr(self, name, None) for name in columns.names}
        row |= {
            "run_id": self.extraction.run_id,
            "pass": self.name,
            "origin": self.extraction.origin,
            "started_ts": started,
            "ended_ts": self.ended_ts or started,
            "watermark_after_ts": self.watermark.value,
            "gap_s": None if before is None else (started - before).total_seconds(),
            "clock_skew_s": self.extraction.reader.clock_skew_s,
            "account_fingerprint": self.extraction.account_fingerprint,
            "scope": self.extraction.reach.scope,
            "began_anew": self.extraction.begins_anew,
            "load": self.extraction.load,
        }
        return pa.Table.from_pylist([row], schema=columns)


def _keep(kept: dict[str, Rejected], row: Rejected) -> None:
    """Add *row* once, without its content where there are many already: memory is bounded so."""
    if row.row_hash not in kept:
        is_whole = len(kept) < MOST_KEPT_WHOLE
        kept[row.row_hash] = row if is_whole else replace(row, redacted_row=None)


def _last_change(rows: pa.Table) -> datetime | None:
    """When the last row was updated, or created where no update is shown; None without rows."""
    if not rows.num_rows:
        return None
    last = rows.select(("updated_ts", "created_ts")).slice(rows.num_rows - 1).to_pylist()[0]
    changed: datetime = last["updated_ts"] or last["created_ts"]
    return changed
