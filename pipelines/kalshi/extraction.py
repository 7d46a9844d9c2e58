"""What one run shares among its passes: the reader, the held database, the account."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import Any

import duckdb
import pyarrow as pa

from pipelines.kalshi.client.errors import ConfigurationError
from pipelines.kalshi.client.origin import SANDBOX, origins_of_exchange
from pipelines.kalshi.client.reader import ExchangeReader
from pipelines.kalshi.entities import ENTITIES
from pipelines.kalshi.held import Held
from pipelines.kalshi.leg_lists import LegLists
from pipelines.kalshi.moments import read_to
from pipelines.kalshi.plausible import Bounds
from pipelines.kalshi.purged import Purged
from pipelines.kalshi.versions import Tombstones, Versions
from pipelines.kalshi.watermark import FUTURE_TOLERANCE, Watermark
from transforms.raw import is_shown_own

_log = logging.getLogger(__name__)
_NUMBER = """
insert into raw.loads
select coalesce(max(load), 0) + 1, $1, false, $2 from raw.loads returning load
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

    def rows_per_page(self, key: str) -> int:
        """How many rows of the list called *key* are asked for at once; 100 unless set."""
        return {"rfqs": self.rfqs_per_page, "quotes": self.quotes_per_page}.get(key, 100)

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
    begins_anew: bool = False
    own_rfqs_seen: set[str] = field(default_factory=set)
    read_by_id: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)
    failures: Counter[str] = field(default_factory=Counter)
    has_warned_of_gone_rows: bool = False
    has_warned_of_slow_clock: bool = False
    quotes_changed_in_window: int | None = None
    load: int = 0
    _begun_anew: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.cursor = self.connection.cursor()
        self.cursor.execute("set timezone = 'UTC'")
        self.versions = {entity: Versions(self.connection, entity) for entity in ENTITIES}
        self.gone = {entity: Tombstones(self.connection, entity.key) for entity in ENTITIES}
        self.purged = Purged(self.connection)
        self.held = Held(self.cursor)
        self.leg_lists = LegLists(self.connection)

    def begin_load(self) -> None:
        """Begin a load and give it its number; what the one before handed on is in raw by now."""
        self.load = self.next_load()
        self.held.forget_news()
        for entity in ENTITIES:
            self.versions[entity].begin_load(self.load)
            self.gone[entity].begin_load(self.load)

    def age_of(self, began: datetime) -> timedelta:
        """How long something has lasted that began then by our own clock."""
        return self.reader.local_clock() - began

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
        own = rfqs.filter(is_shown_own(rfqs))
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

    def state_of(self, resource_state: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Return the stored state of pass *name*, empty before its first; nothing is changed.

        It belongs to this exchange, account and scope. One that was kept while the exchange was
        asked under another of its hosts counts as well.
        """
        key = self.state_key(name)
        if self.begins_anew and key not in self._begun_anew:
            return {}
        found: dict[str, Any] = next(
            (resource_state[each] for each in self._keys(name) if each in resource_state), {}
        )
        return found

    def store_state(
        self, resource_state: dict[str, Any], name: str, state: dict[str, Any] | None
    ) -> None:
        """Keep *state* as that of pass *name*; None forgets it."""
        for each in self._keys(name):
            resource_state.pop(each, None)
        self._begun_anew.add(self.state_key(name))
        if state is not None:
            resource_state[self.state_key(name)] = state

    def state_key(self, name: str) -> str:
        """Under which key the state of pass *name* is stored."""
        return self._keys(name)[0]

    def _keys(self, name: str) -> list[str]:
        return [
            f"{origin} {self.account} {self.reach.scope} {name}"
            for origin in origins_of_exchange(self.origin)
        ]

    def watermark(self, state: dict[str, Any]) -> Watermark:
        """Return the watermark in *state*, by the clock that may be believed here.

        Raises `ExchangeUnavailable` where the exchange's clock has leapt ahead; a sandbox's may.
        """
        # A sandbox's market may be days ahead: there no other clock says where its future begins.
        clock = (lambda: self.now) if self._is_named_sandbox else self.reader.local_clock
        watermark = Watermark(state, self.reader.clock_skew_s, clock)
        if not self._is_named_sandbox:
            self._warn_of_a_slow_clock()
        if not self.origin.startswith(SANDBOX):
            watermark.demand_no_leap()
        return watermark
