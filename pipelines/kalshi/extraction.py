"""What one extraction shares among its passes: the reader, the held database, the account."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kalshi.client.errors import ConfigurationError, ExchangeError
from pipelines.kalshi.client.origin import SANDBOX, origins_of_exchange
from pipelines.kalshi.client.reader import ExchangeReader
from pipelines.kalshi.entities import QUOTE, RFQ, Entity
from pipelines.kalshi.moments import read_to
from pipelines.kalshi.pages import Rejected
from pipelines.kalshi.paging import Batch
from pipelines.kalshi.plausible import Bounds
from pipelines.kalshi.purged import Purged
from pipelines.kalshi.versions import Tombstones, Versions
from pipelines.kalshi.watermark import FUTURE_TOLERANCE, Watermark
from transforms.raw import TIMESTAMP, raw_schema

_log = logging.getLogger(__name__)
# So many rejected rows of a pass are kept with their content, the rest without it.
MOST_KEPT_WHOLE = 1_000
_NUMBER = """
insert into raw.loads
select coalesce(max(load), 0) + 1, $1, false, $2 from raw.loads returning load
"""
_ALREADY_REJECTED = """
select row_hash, bool_or(coalesce(is_read_again, false)) from raw.rejected_rows
where row_hash in (select unnest($1)) group by row_hash
"""


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """How much is read: *scope* is "market" (every RFQ) or "self" (the account's own).

    With *since* and *until*, what was updated in that span is read again, whatever the watermark.
    RFQs have no filter for it: they are read from *since* on.
    """

    scope: str = "market"
    overlap: timedelta = timedelta(seconds=300)
    retention: timedelta = timedelta(days=7)
    history: timedelta = timedelta(days=365)
    since: datetime | None = None
    until: datetime | None = None
    rows_per_load: int = 200_000
    rfqs_per_page: int = 100
    quotes_per_page: int = 500

    def __post_init__(self) -> None:
        bounds = (self.since, self.until)
        if any(bound is not None and bound.tzinfo is None for bound in bounds):
            raise ConfigurationError("since and until need a time zone")
        if self.until is not None and (self.since is None or self.since >= self.until):
            raise ConfigurationError("until needs an earlier since")


@dataclass(frozen=True, slots=True)
class Limits:
    """How many rows of one run may be unreadable: up to a share of them, and a few in any case."""

    rejected_share: float = 0.01
    rejected_rows: int = 10

    def exceeded(self, rows: int, seen: int) -> bool:
        """Whether *rows* of *seen* are too many."""
        return rows >= self.rejected_rows and rows > self.rejected_share * seen


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a pass stands, and what the run may still spend; handed to whoever shows it.

    *reached_ts* is when the last row read was updated or, where that is hidden, created.
    """

    name: str
    pages: int
    rows_seen: int
    new_versions: int
    reached_ts: datetime | None
    read_tokens_left: int
    read_tokens_per_s: int
    read_waited_s: float


@dataclass
class Extraction:
    """One run's view of the exchange and of what raw already holds.

    *bounds* say by raw table which values are possible. One that *begins_anew* takes no account of
    what earlier runs have read, because raw has lost some of it.
    """

    reader: ExchangeReader
    connection: duckdb.DuckDBPyConnection
    reach: LoadSettings
    run_id: str
    account: str
    on_progress: Callable[[Progress], None]
    limits: Limits = field(default_factory=Limits)
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    is_unfinished: bool = False
    begins_anew: bool = False
    own_rfqs_seen: set[str] = field(default_factory=set)
    read_by_id: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)
    failures: list[ExchangeError] = field(default_factory=list)
    has_warned_of_gone_rows: bool = False
    has_warned_of_slow_clock: bool = False
    quotes_changed_in_window: int | None = None
    load: int = 0
    _begun_anew: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.cursor = self.connection.cursor()
        self.cursor.execute("set timezone = 'UTC'")
        self.rfqs = Versions(self.connection, RFQ)
        self.quotes = Versions(self.connection, QUOTE)
        self.purged = Purged(self.connection)
        self.gone_rfqs = Tombstones(self.connection, "rfqs")
        self.gone_quotes = Tombstones(self.connection, "quotes")

    def begin_load(self) -> None:
        """Begin a load and give it its number; what the one before handed on is in raw by now."""
        self.is_unfinished = False
        self.load = self.next_load()
        for each in (self.rfqs, self.quotes, self.gone_rfqs, self.gone_quotes):
            each.begin_load(self.load)

    def next_load(self) -> int:
        """Take the next number, so that no other load ever has it."""
        values = [self.run_id, self._read_before]
        ((load,),) = self.cursor.execute(_NUMBER, values).fetchall()
        return int(load)

    @cached_property
    def _read_before(self) -> datetime | None:
        """Up to when earlier runs have read all that happened."""
        if self.begins_anew:
            return None
        return read_to(self.cursor, self.account_fingerprint, self.reach.scope)

    def end_load(self) -> None:
        """Note that raw holds all that this load has handed on."""
        self.cursor.execute("update raw.loads set is_whole = true where load = $1", [self.load])

    def begun_anew(self) -> "Extraction":
        """Return one that reads all the exchange holds, whatever earlier loads have read."""
        return Extraction(
            *(self.reader, self.connection, self.reach, self.run_id, self.account),
            self.on_progress,
            limits=self.limits,
            bounds=self.bounds,
            begins_anew=True,
        )

    @property
    def origin(self) -> str:
        """Which exchange this is, whichever of its hosts was asked; a sandbox by its market."""
        return self.reader.exchange

    @property
    def _is_named_sandbox(self) -> bool:
        """Whether the answers tell the market of a sandbox."""
        return self.origin.startswith(f"{SANDBOX} ")

    def is_account_held(self) -> bool:
        """Whether raw says already that it holds this account's rows."""
        found = self.cursor.execute(
            "select count(*) from raw.accounts where communications_id = $1", [self.account]
        ).fetchall()
        return bool(found[0][0])

    @property
    def now(self) -> datetime:
        """The exchange's clock as its answers tell it; our own where none does."""
        return self.reader.local_clock() + timedelta(seconds=self.reader.clock_skew_s or 0.0)

    @property
    def earned_now(self) -> datetime | None:
        """The exchange's clock; None where no answer tells it, for ours earns no watermark."""
        return None if self.reader.clock_skew_s is None else self.now

    @property
    def account_fingerprint(self) -> str:
        """The account without its id, which a published table need not show: 16 hex digits."""
        return sha256(f"rfq account {self.account}".encode()).hexdigest()[:16]

    def warn_of_gone_rows(self, since: datetime | None, kept_since: datetime) -> None:
        """Say, once a run, that of all since *since* the exchange kept what ended later only."""
        if self.has_warned_of_gone_rows:
            return
        self.has_warned_of_gone_rows = True
        begin = "" if since is None else f"between {since:%Y-%m-%d %H:%M} and "
        _log.warning(
            "the exchange keeps closed RFQs and cancelled quotes for %g days: those that ended "
            "%s UTC are gone there, and in no figure unless they were loaded before",
            self.reach.retention / timedelta(days=1),
            f"{begin or 'before '}{kept_since:%Y-%m-%d %H:%M}",
        )

    def see(self, rfqs: pa.Table) -> None:
        """Remember which of our own RFQs a list has shown in this run."""
        own = rfqs.filter(pc.is_valid(rfqs.column("creator_user_id")))
        self.own_rfqs_seen.update(own.column("id").to_pylist())

    def _warn_of_a_slow_clock(self) -> None:
        """Say, once a run, that what our clock takes for the future is loaded but not yet shown."""
        skew_s = self.reader.clock_skew_s or 0.0
        if self.has_warned_of_slow_clock or skew_s <= FUTURE_TOLERANCE.total_seconds():
            return
        self.has_warned_of_slow_clock = True
        _log.warning(
            "this machine's clock is %.0f s behind the exchange's: what has happened there is "
            "loaded, and shown once this clock has come so far. Set the clock",
            skew_s,
        )

    def watermark(self, resource_state: dict[str, Any], name: str) -> Watermark:
        """Return the watermark of pass *name* for this origin, account and scope.

        Raises `ExchangeUnavailable` where the exchange's clock has leapt ahead; a sandbox's may.
        """
        key, *older = (
            f"{origin} {self.account} {self.reach.scope} {name}"
            for origin in origins_of_exchange(self.origin)
        )
        for stored in older:
            # Kept while the exchange was asked under another of its hosts.
            if stored in resource_state:
                resource_state.setdefault(key, resource_state.pop(stored))
        if self.begins_anew and key not in self._begun_anew:
            self._begun_anew.add(key)
            resource_state.pop(key, None)
        state: dict[str, Any] = resource_state.setdefault(key, {})
        # A sandbox's market may be days ahead: there no other clock says where its future begins.
        clock = (lambda: self.now) if self._is_named_sandbox else self.reader.local_clock
        watermark = Watermark(state, self.reader.clock_skew_s, clock)
        if not self._is_named_sandbox:
            self._warn_of_a_slow_clock()
        if not self.origin.startswith(SANDBOX):
            watermark.demand_no_leap()
        return watermark


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
    known_to_be_unreadable: frozenset[str] = frozenset()
    sweeps: int = 0
    is_verified: bool = True
    is_order_held: bool | None = None
    forgotten_before_ts: datetime | None = None
    reached_ts: datetime | None = None
    served_ts: datetime | None = None
    sights: dict[tuple[str, str], "Sight"] = field(default_factory=dict)
    failures: int = 0

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
        self.ended_ts = batch.ended_ts
        self.pages += batch.pages
        self.rows_seen += batch.rows.table.num_rows + len(batch.rows.rejected)
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

    def count_older(self, batch: Batch, begin: datetime) -> None:
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
            if row.id in self.known_to_be_unreadable:
                self.keep_aside(row)
                continue
            self.rejected_rows += 1
            self.nameless_rows += row.id is None
            _keep(self.rejected, row)

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

    @property
    def may_vouch(self) -> bool:
        """Whether a watermark may pass what was read: what was not is few and known by its id."""
        too_many = self.extraction.limits.exceeded(self.rejected_rows, self.rows_seen)
        return not (self.nameless_rows or too_many)

    def demand_readable_rows(self) -> None:
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
        read_again = {row_hash for row_hash, row in self.rejected.items() if row.id}
        rows = self.set_aside | self.rejected
        held = dict(self.extraction.cursor.execute(_ALREADY_REJECTED, [list(rows)]).fetchall())
        found = [
            asdict(row) | observed | {"is_read_again": self.may_vouch and row_hash in read_again}
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
