"""The extraction's own passes, run in this process: a reader over a sandbox market, a small loader.

What dlt and HTTP add is tested elsewhere. The loader keeps what dlt's does: a load's rows and its
resource state are stored together or not at all, and a version is stored once.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import count
from typing import Any

import duckdb
import pyarrow as pa

from pipelines.kalshi import account_items, quote_items, rfq_items, sweep
from pipelines.kalshi.client import ExchangeReader, Page
from pipelines.kalshi.errors import CursorRefused, NotFound
from pipelines.kalshi.extraction import Extraction, Reach
from pipelines.kalshi.pages import Rows
from pipelines.kalshi.rate_budget import RateBudget
from pipelines.kalshi.reread import rfqs_by_id_pass
from pipelines.kalshi.schema import Entity
from pipelines.kalshi.versions import Key, Versions, keys
from pipelines.sandbox import Behavior, ManualClock, Market, Refused
from pipelines.sandbox.parties import Party
from pipelines.sandbox.queries import ALWAYS_US, QuoteFilters, RfqFilters
from tests.running import ignore
from transforms.build import raw_tables

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LOADS = (("accounts", "rfqs"), ("quotes",), ("rfqs_by_id",))
ITEMS: dict[str, Callable[[Extraction, dict[str, Any]], Iterable[Any]]] = {
    "accounts": account_items,
    "rfqs": rfq_items,
    "quotes": quote_items,
    "rfqs_by_id": rfqs_by_id_pass,
}
VERSION_TABLES = {"rfq_versions", "quote_versions"}
SMALL = Reach(
    scope="self",
    retention=timedelta(hours=12),
    history=timedelta(hours=12),
    rfqs_per_page=3,
    quotes_per_page=3,
)
STATES = {
    "rfqs": "select rfq_id, status, updated_ts from staging.rfqs where is_own and gone_ts is null",
    "quotes": "select quote_id, status, updated_ts from staging.quotes where gone_ts is null",
}
IN_THE_END = "timestamptz '2027-11-20 12:00:00+00'"
_RUNS = count()


@dataclass
class InProcessReader:
    """The reader's methods over a market. `listing` is how lists are served:

    "keyset" as the sandbox does; "newest", "oldest" (by update), "by id" or "open first" with
    offset cursors, which skip and repeat rows when the list shifts. `moves` holds what happens
    before which page once "rfqs" or "quotes" are read.
    """

    market: Market
    caller: Party
    listing: str = "keyset"
    local_ahead_s: float = 0.0
    origin: str = "https://exchange.test:443"
    budget: RateBudget = field(default_factory=RateBudget)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    fails: dict[str, Exception] = field(default_factory=dict)
    moves: dict[str, dict[int, Callable[[], None]]] = field(default_factory=dict)

    def local_clock(self) -> datetime:
        return self.market.clock.now() + timedelta(seconds=self.local_ahead_s)

    @property
    def clock_skew_s(self) -> float:
        return (self._served_ts() - self.local_clock()).total_seconds()

    def get_rfqs(self, *, cursor: str | None = None, limit: int = 100, **asked: Any) -> Page:
        self.calls.append(("rfqs", {"cursor": cursor} | asked))
        self.market.faults.before_page.update(self.moves.pop("rfqs", {}))
        mine = self.caller.user_id if asked.get("user_filter") else None
        filters = RfqFilters(status=asked.get("status"), requester=mine)

        def listed(limit: int, cursor: str | None) -> Any:
            return self.market.get_rfqs(self.caller, filters, limit=limit, cursor=cursor)

        return self._list("rfqs", listed, limit, 100, cursor)

    def get_quotes(self, *, cursor: str | None = None, limit: int = 500, **asked: Any) -> Page:
        self.calls.append(("quotes", {"cursor": cursor} | asked))
        self.market.faults.before_page.update(self.moves.pop("quotes", {}))
        me, behavior = self.caller.user_id, self.market.behavior
        low, high = asked["min_ts"], asked["max_ts"]
        filters = QuoteFilters(
            maker=me if asked["user_filter"] else None,
            requester=me if asked["rfq_user_filter"] else None,
            low_us=low * 1_000_000 + (not behavior.min_ts_inclusive),
            high_us=(ALWAYS_US if high is None else high * 1_000_000)
            - (not behavior.max_ts_inclusive),
        )

        def listed(limit: int, cursor: str | None) -> Any:
            return self.market.get_quotes(self.caller, filters, limit=limit, cursor=cursor)

        return self._list("quotes", listed, limit, 500, cursor)

    def get_rfq(self, rfq_id: str) -> Page:
        return self._one("rfq", rfq_id, lambda: self.market.get_rfq(self.caller, rfq_id))

    def get_quote(self, quote_id: str, *, rfq_id: str | None = None) -> Page:
        read = lambda: self.market.get_quote(self.caller, quote_id, rfq_id)  # noqa: E731
        return self._one("quote", quote_id, read)

    def _one(self, name: str, id_: str, read: Callable[[], Any]) -> Page:
        self.calls.append((name, {"id": id_}))
        if id_ in self.fails:
            raise self.fails[id_]
        try:
            return self._answer({name: read()})
        except Refused as refused:
            raise NotFound(refused.message, status=refused.status) from None

    def _list(
        self, key: str, listed: Callable[..., Any], limit: int, most: int, cursor: str | None
    ) -> Page:
        if self.listing != "keyset":
            return self._by_offset(key, listed, limit, most, cursor)
        try:
            page = listed(limit, cursor)
        except Refused as refused:
            raise CursorRefused(refused.message, status=refused.status) from None
        return self._answer({key: page.rows, "cursor": page.cursor})

    def _by_offset(
        self, key: str, listed: Callable[..., Any], limit: int, most: int, cursor: str | None
    ) -> Page:
        start = int(cursor or 0)
        scripts = self.market.faults.before_page
        script = scripts.pop(start // limit + 1, None)
        if script:
            script()
        held, scripts_left = dict(scripts), scripts.clear()
        assert scripts_left is None
        rows = listed(most, None).rows
        scripts.update(held)
        if self.listing == "oldest":
            rows = rows[::-1]
        if self.listing == "by id":
            rows = sorted(rows, key=lambda row: row["id"])
        if self.listing == "open first":
            rows = sorted(rows, key=lambda row: row["status"] != "open")
        end = start + limit
        return self._answer({key: rows[start:end], "cursor": str(end) if end < len(rows) else ""})

    def _served_ts(self) -> datetime:
        step = timedelta(seconds=self.market.faults.clock_step_s)
        return (self.market.clock.now() + step).replace(microsecond=0)

    def _answer(self, body: dict[str, Any]) -> Page:
        return Page(json.dumps(body).encode(), self._served_ts(), self.local_clock(), 200)


def _remember_answers() -> None:
    """Let the two costly functions of nothing but their arguments remember their answers."""
    compute, parse = Versions.hashes, sweep.read_pages
    hashes_of, rows_of = dict[str, pa.Array](), dict[tuple[str, ...], Rows]()

    def hashes(self: Versions, rows: pa.Table) -> pa.Array:
        asked = self.table + repr(rows.to_pylist())
        if asked not in hashes_of:
            hashes_of[asked] = compute(self, rows)
        return hashes_of[asked]

    def read_pages(entity: Entity, bodies: Sequence[bytes]) -> Rows:
        asked = (entity.key, *(body.decode() for body in bodies))
        if asked not in rows_of:
            rows_of[asked] = parse(entity, bodies)
        return rows_of[asked]

    Versions.hashes = hashes  # type: ignore[method-assign]
    sweep.read_pages = read_pages


class Store:
    """Raw tables and resource states; both change together at the end of a load."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute("set timezone = 'UTC'")
        raw_tables(self.connection)
        _show_current(self.connection)
        self.keeps_reports = True
        self._filled: set[str] = set()
        self.clear()

    def clear(self) -> None:
        """Start again with nothing; cheaper than another database."""
        for table in self._filled:
            self.connection.execute(f"truncate raw.{table}")
        self._filled = set()
        self._held: dict[str, set[Key]] = {table: set() for table in VERSION_TABLES}
        self._states = "{}"

    @property
    def states(self) -> dict[str, dict[str, Any]]:
        """The resource states as the last load left them; a copy."""
        states: dict[str, dict[str, Any]] = json.loads(self._states)
        return states

    def rows(self, query: str) -> list[Any]:
        return self.connection.execute(query).fetchall()

    def current(self, entity: str) -> dict[str, tuple[Any, ...]]:
        """Status and update time by id of what is not gone."""
        return {row[0]: row[1:] for row in self.rows(STATES[entity])}

    def versions(self) -> int:
        return sum(self.rows(f"select count(*) from raw.{t}")[0][0] for t in VERSION_TABLES)

    def watermarks(self) -> dict[tuple[str, str], str]:
        return {
            (resource, key): state["watermark"]
            for resource, states in self.states.items()
            for key, state in states.items()
            if isinstance(state, dict) and "watermark" in state
        }

    def load(self, extraction: Extraction, resources: tuple[str, ...]) -> None:
        """One resource after the other, in as many loads as they ask for."""
        for _ in range(60):
            extraction.begin_load()
            states = self.states
            items = [
                item
                for resource in resources
                for item in ITEMS[resource](extraction, states.setdefault(resource, {}))
            ]
            self._commit(items)
            self._states = json.dumps(states)
            if not extraction.is_unfinished:
                return
        raise AssertionError("the loads never come to an end")

    def _commit(self, items: list[Any]) -> None:
        tables: dict[str, list[pa.Table]] = {}
        for item in items:
            tables.setdefault(item.meta.hints["table_name"], []).append(item.data)
        for name, parts in tables.items():
            if name == "extraction_runs" and not self.keeps_reports:
                continue
            self._insert(name, pa.concat_tables(parts))

    def _insert(self, name: str, rows: pa.Table) -> None:
        if name in VERSION_TABLES:
            rows = self._not_held(name, rows)
        self._filled.add(name)
        legs = " replace (to_json(mve_selected_legs) as mve_selected_legs)"
        every = f"*{legs if name == 'rfq_versions' else ''}"
        self.connection.register("_rows", rows)
        self.connection.execute(f"insert into raw.{name} by name select {every} from _rows")
        self.connection.unregister("_rows")

    def _not_held(self, name: str, rows: pa.Table) -> pa.Table:
        """Drop the versions that raw holds; no load may hand one on twice."""
        handed_on = keys(rows)
        assert len(handed_on) == len(set(handed_on)), "one load hands a version on twice"
        is_new = pa.array([key not in self._held[name] for key in handed_on], pa.bool_())
        self._held[name].update(handed_on)
        return rows.filter(is_new)


def run(
    store: Store,
    reader: InProcessReader | ExchangeReader,
    reach: Reach = SMALL,
    account: str = "me",
) -> Extraction:
    """One whole run; returns what it shared. An exception leaves what was loaded before it."""
    local = {"local_clock": reader.local_clock} if isinstance(reader, InProcessReader) else {}
    extraction = Extraction(
        reader, store.connection, reach, f"run {next(_RUNS)}", account, ignore, **local
    )
    for resources in LOADS:
        store.load(extraction, resources)
    return extraction


def _show_current(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the staging tables views here, which follow every load."""
    connection.execute("create schema staging")
    for name, raw in (("rfqs", "rfq_versions"), ("quotes", "quote_versions")):
        query = (files("transforms") / "views" / f"{name}.sql").read_text()
        known = {"$versions": f"raw.{raw}", "$as_of": IN_THE_END, "$viewer_id": "null::varchar"}
        for parameter, value in known.items():
            query = query.replace(parameter, value)
        connection.execute(f"create view staging.{name} as {query}")


def empty_market(**behavior: Any) -> tuple[Market, ManualClock]:
    """An exchange that stands still at noon."""
    clock = ManualClock(NOON)
    return Market(clock=clock, behavior=Behavior(rate_limits=False, **behavior)), clock


_remember_answers()
