"""The extraction's own passes, run in this process: a reader over a sandbox market, a small loader.

What dlt and HTTP add is tested elsewhere. The loader keeps what dlt's does: a load's rows and its
resource state are stored together or not at all, and a version is stored once.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import duckdb
import pyarrow as pa

from pipelines.kalshi import paging
from pipelines.kalshi.client.errors import ExchangeError
from pipelines.kalshi.client.reader import ExchangeReader
from pipelines.kalshi.entities import Entity
from pipelines.kalshi.extraction import Extraction, LoadSettings
from pipelines.kalshi.pages import Rows
from pipelines.kalshi.passes import Load, failures_of, passes_of
from pipelines.kalshi.reading import Ending
from pipelines.kalshi.resources import RESOURCES, items
from pipelines.kalshi.versions import Key, Versions, keys
from pipelines.sandbox import ManualClock, Market
from tests.extraction.reading import InProcessReader
from tests.running import UNHURRIED, ignore
from transforms.bounds import BOUNDS
from transforms.raw import create_raw_tables
from transforms.staging import view

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
VERSION_TABLES = {"rfq_versions", "quote_versions"}
REPORTS = {"extraction_runs", "passes", "open_sweeps", "last_seen"}
SMALL = LoadSettings(
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
_LOADS = count(1)


def _remember_answers() -> None:
    """Let the two costly functions of nothing but their arguments remember their answers."""
    compute, parse = Versions.hashes, paging.read_pages
    hashes_of, rows_of = dict[str, pa.Array](), dict[tuple[str, ...], Rows]()

    def hashes(self: Versions, rows: pa.Table) -> pa.Array:
        key = self.table + repr(rows.to_pylist())
        if key not in hashes_of:
            hashes_of[key] = compute(self, rows)
        return hashes_of[key]

    def read_pages(entity: Entity, bodies: Sequence[bytes]) -> Rows:
        key = (entity.key, *(body.decode() for body in bodies))
        if key not in rows_of:
            rows_of[key] = parse(entity, bodies)
        return rows_of[key]

    Versions.hashes = hashes  # type: ignore[method-assign]
    paging.read_pages = read_pages


class Store:
    """Raw tables and resource states; both change together at the end of a load."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute("set timezone = 'UTC'")
        create_raw_tables(self.connection)
        _show_current(self.connection)
        # What the runs say of themselves, which a history of many of them asks nothing of.
        self.keeps_reports = True
        self._filled: set[str] = set()
        self.clear()

    def clear(self) -> None:
        """Start again with nothing; cheaper than another database."""
        for table in self._filled:
            self.connection.execute(f"truncate raw.{table}")
        self.connection.execute("drop schema if exists candidates cascade")
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

    def load(self, extraction: Extraction) -> list[ExchangeError]:
        """Every pass, in as many loads as they ask for; return what failed."""
        endings: dict[str, Ending] = {}
        passes = passes_of(extraction.reach.scope)
        for _ in range(60):
            extraction.begin_load()
            load, states = Load(extraction, passes), self.states
            read = [
                item
                for resource in RESOURCES
                for item in items(load, resource, states.setdefault(resource, {}))
            ]
            self._commit(read)
            self._states = json.dumps(states)
            extraction.end_load()
            endings |= load.endings
            passes = load.left()
            if not passes:
                return failures_of(endings)
        raise AssertionError("the loads never come to an end")

    def _commit(self, items: list[Any]) -> None:
        tables: dict[str, list[pa.Table]] = {}
        for item in items:
            tables.setdefault(item.meta.hints["table_name"], []).append(item.data)
        for name, parts in tables.items():
            if name in REPORTS and not self.keeps_reports:
                continue
            self._insert(name, pa.concat_tables(parts))

    def _insert(self, name: str, rows: pa.Table) -> None:
        if name in VERSION_TABLES:
            rows = self._not_held(name, rows)
        self._filled.add(name)
        self.connection.register("_rows", rows)
        self.connection.execute(f"insert into raw.{name} by name from _rows")
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
    reach: LoadSettings = SMALL,
    account: str = "me",
) -> Extraction:
    """One whole run; returns what it shared. An exception leaves what was loaded before it."""
    kind = Extraction if store.keeps_reports else _Unreported
    extraction = kind(
        *(reader, store.connection, reach, f"run {next(_RUNS)}", account, ignore), bounds=BOUNDS
    )
    if failures := store.load(extraction):
        raise failures[0]
    return extraction


class _Unreported(Extraction):
    """Counts its loads without a note of them."""

    def next_load(self) -> int:
        return next(_LOADS)

    def end_load(self) -> None:
        pass


def _show_current(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the staging tables views here, which follow every load."""
    connection.execute("create schema staging")
    for name, raw in (("rfqs", "rfq_versions"), ("quotes", "quote_versions")):
        query = view(name, raw, f"from raw.{raw}")
        known = {"$as_of": IN_THE_END, "$viewer_id": "null::varchar"}
        for parameter, value in known.items():
            query = query.replace(parameter, value)
        connection.execute(f"create view staging.{name} as {query}")


def empty_market(**behavior: Any) -> tuple[Market, ManualClock]:
    """An exchange that stands still at noon."""
    clock = ManualClock(NOON)
    return Market(clock=clock, behavior=replace(UNHURRIED, **behavior)), clock


_remember_answers()
