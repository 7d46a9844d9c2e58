"""How a database stands: whether its runs go well, how old its data is, what it lacks and needs."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import duckdb

from pipelines.operations.runs import KILLED, Run, read_record
from pipelines.spans import told_span
from pipelines.store.beside import record_path
from pipelines.store.database import PUBLISHED as CATALOG
from pipelines.store.database import Database
from pipelines.store.errors import DatabaseError, of_this_version
from pipelines.store.stamp import read_stamp

STALE_AFTER = timedelta(minutes=15)  # `rfq status` has the same, before it imports this
# What a run ended with that the next one will end with too, unless somebody does something.
WANTS_SOMEBODY = (65, 70, 77, 78, KILLED)
FAILURES_IN_A_ROW = 3
SHOWN_RUNS = 10
# Growth is told from what the runs of so long left behind, and not from less than an hour.
GROWTH_OVER = timedelta(days=7)
GROWTH_OF_AT_LEAST = timedelta(hours=1)
DAY_S = 86_400.0
MEANING = {
    0: "done",
    65: "the data breaks a rule",
    69: "the exchange is unavailable",
    70: "a bug",
    75: "try again later",
    77: "credentials refused",
    78: "configuration",
    129: "its terminal was closed",
    130: "stopped by Ctrl-C",
    KILLED: "killed",
    143: "stopped",
}

_PASSES = """
select pass, arg_max(watermark_after_ts, place), arg_max(gap_s, place),
    arg_max(is_verified, place), max(started_ts)
from (select *, rowid as place from raw.extraction_runs)
where pass not like 'backfill%' group by pass order by pass
"""
_GONE = """
select min(started_ts) as found_ts,
    if(count(watermark_before_ts) = count(*), min(watermark_before_ts), null) as ended_after_ts,
    max(forgotten_before_ts) as ended_before_ts
from raw.extraction_runs
where forgotten_before_ts is not null and pass not like 'backfill%'
group by run_id order by 1
"""
_COVERAGE = """
select checked_ts, open_rfqs_listed, open_rfqs_missed, is_complete
from raw.coverage order by checked_ts desc limit 7
"""
# Counted, as DuckDB's estimate has the rows too that were replaced since.
_TABLES = """
select schema_name || '.' || table_name from duckdb_tables()
where database_name = current_catalog() and schema_name in ('staging', 'marts')
union all
-- A view over two tables; the other views are sums.
select schema_name || '.' || view_name from duckdb_views()
where database_name = current_catalog() and (schema_name, view_name) = ('marts', 'rfq_facts')
order by 1
"""
_CHECKS = """
select check_name, count, share, meaning from marts.data_quality where count <> 0 order by 1
"""
_REJECTED = """
select coalesce(sum(rejected_rows), 0) from raw.extraction_runs
where run_id = (select run_id from raw.extraction_runs order by rowid desc limit 1)
"""


class Verdict(StrEnum):
    """What a scheduler may act on."""

    FRESH = "fresh"
    STALE = "stale"
    FAILING = "failing"
    NEVER_RAN = "never_ran"


EXIT_CODES = {Verdict.FRESH: 0, Verdict.STALE: 3, Verdict.FAILING: 4, Verdict.NEVER_RAN: 5}


@dataclass(frozen=True, slots=True)
class Pass:
    """The last report of a pass over a list: read up to when, after what break, for certain?"""

    name: str
    watermark_ts: datetime | None
    gap_s: float | None
    is_verified: bool
    started_ts: datetime


@dataclass(frozen=True, slots=True)
class Gap:
    """What had ended within a span and was gone before a run could load it."""

    found_ts: datetime
    ended_after_ts: datetime | None
    ended_before_ts: datetime


@dataclass(frozen=True, slots=True)
class Coverage:
    """A daily comparison of the market's open RFQs with those held."""

    checked_ts: datetime
    listed: int
    missed: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Check:
    """A data-quality counter that is not zero."""

    check_name: str
    count: int
    share: float | None
    meaning: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What the published file says of itself."""

    published_ts: datetime
    as_of: datetime
    is_market_complete: bool
    scope: str
    exchange: str | None
    account: str | None
    passes: tuple[Pass, ...]
    gaps: tuple[Gap, ...]
    coverage: tuple[Coverage, ...]
    rows: tuple[tuple[str, int], ...]
    checks: tuple[Check, ...]
    rejected_rows: int


@dataclass(frozen=True, slots=True)
class File:
    """A file of the database, and by how much it grows; None where too little is known yet."""

    path: Path
    bytes: int
    bytes_per_day: float | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything that `rfq status` tells; *shown* is None while nothing was published."""

    verdict: Verdict
    reason: str
    checked_ts: datetime
    runs: tuple[Run, ...]
    shown: Shown | None
    files: tuple[File, ...]
    free_bytes: int
    days_until_full: float | None

    @property
    def age_s(self) -> float | None:
        """How long ago it was that everything shown was known, in seconds."""
        return None if self.shown is None else (self.checked_ts - self.shown.as_of).total_seconds()


def standing(database: Database, now: datetime, stale_after: timedelta = STALE_AFTER) -> Standing:
    """Look at the published file, the record of runs and the disk.

    Raises `DatabaseError` for a file that cannot be read or is none of ours.
    """
    runs = read_record(database.path).runs
    shown = _shown(database)
    verdict, reason = judged(runs, shown.published_ts if shown else None, now, stale_after)
    files = tuple(_files(database, runs, now))
    free_bytes = shutil.disk_usage(_existing(database.path.parent)).free
    days = _days_until_full(database, files, free_bytes)
    return Standing(verdict, reason, now, runs, shown, files, free_bytes, days)


def judged(
    runs: Sequence[Run], published_ts: datetime | None, now: datetime, stale_after: timedelta
) -> tuple[Verdict, str]:
    """Return the verdict and why: failing goes first, as it says what to do."""
    ended = [run for run in runs if run.exit_code is not None]
    last_run = ended[-1] if ended and ended[-1].exit_code == 0 else None
    codes = [run.exit_code for run in ended]
    if codes and codes[-1] in WANTS_SOMEBODY:
        return Verdict.FAILING, f"the last run {told_code(codes[-1])}"
    last = codes[-FAILURES_IN_A_ROW:]
    if len(last) == FAILURES_IN_A_ROW and all(last):
        ends = ", ".join(str(code) for code in last)
        return Verdict.FAILING, f"the last three runs failed: they ended with {ends}"
    if published_ts is None:
        return Verdict.NEVER_RAN, "nothing was published yet: `rfq run` does it"
    age_s = max(0.0, (now - published_ts).total_seconds())
    ago = f"published {told_span(age_s)} ago"
    limit = told_span(stale_after.total_seconds())
    if age_s > stale_after.total_seconds():
        # What a run that ended well says is why it has not published.
        said = f": {last_run.message}" if last_run and last_run.message else ""
        return Verdict.STALE, f"{ago}, which is longer than {limit}{said}"
    return Verdict.FRESH, ago


def told_code(code: int) -> str:
    """How a run ended, in words."""
    if code == KILLED:
        return "was killed"
    return f"ended with {code} ({MEANING.get(code, 'not one of our codes')})"


def _shown(database: Database) -> Shown | None:
    if not database.path.exists() or not database.path.stat().st_size:
        if not database.path.parent.is_dir():
            raise DatabaseError(f"the folder {database.path.parent} does not exist")
        return None
    with database.reading() as connection, of_this_version(database.path):
        return _read(connection)


def _read(connection: duckdb.DuckDBPyConnection) -> Shown:
    def rows(query: str) -> list[Any]:
        return connection.execute(query).fetchall()

    ((published_ts, as_of, is_complete, scope),) = rows(
        "select built_ts, as_of, is_market_complete, scope from marts.build_info"
    )
    stamp = read_stamp(connection, CATALOG)
    return Shown(
        published_ts,
        as_of,
        is_market_complete=is_complete,
        scope=scope,
        exchange=stamp.exchange if stamp else None,
        account=stamp.account_fingerprint if stamp else None,
        passes=tuple(Pass(*row) for row in rows(_PASSES)),
        gaps=tuple(Gap(*row) for row in rows(_GONE)),
        coverage=tuple(Coverage(*row) for row in rows(_COVERAGE)),
        rows=tuple(
            (table, rows(f"select count(*) from {table}")[0][0])  # noqa: S608
            for (table,) in rows(_TABLES)
        ),
        checks=tuple(Check(*row) for row in rows(_CHECKS)),
        rejected_rows=int(rows(_REJECTED)[0][0]),
    )


def sizes(database: Database) -> dict[str, int]:
    """The size of each file of the database that is there, by name, in bytes."""
    beside = _beside(database)
    return {path.name: path.stat().st_size for path in beside if path.is_file()}


def _beside(database: Database) -> Iterator[Path]:
    private = database.private_path
    yield from (database.path, private, private.with_name(f"{private.name}.wal"))
    yield record_path(database.path)


def _files(database: Database, runs: Sequence[Run], now: datetime) -> Iterator[File]:
    first = next((run for run in runs if _tells_growth(run, now)), None)
    for path in _beside(database):
        if not path.is_file():
            continue
        size = path.stat().st_size
        per_day = None
        if first is not None and first.ended_ts is not None:
            days = (now - first.ended_ts).total_seconds() / DAY_S
            per_day = (size - first.files.get(path.name, 0)) / days
        yield File(path, size, per_day)


def _tells_growth(run: Run, now: datetime) -> bool:
    """Whether the sizes at the end of *run* are of a time that growth is told from."""
    # A run that has not published leaves one file or none, and the other would seem to grow.
    if run.ended_ts is None or not run.published or not run.files:
        return False
    return GROWTH_OF_AT_LEAST <= now - run.ended_ts <= GROWTH_OVER


def _days_until_full(database: Database, files: Sequence[File], free_bytes: int) -> float | None:
    """Until when a run will have room: it needs a copy of the published file, and a new one.

    Both are as large as the published file will be by then. With so much free now, the last day is
    when free - per_day * days = 2 * (bytes + bytes_per_day * days).
    """
    published = next((file for file in files if file.path == database.path), None)
    size, growth = (published.bytes, published.bytes_per_day or 0.0) if published else (0, 0.0)
    per_day = sum(file.bytes_per_day or 0.0 for file in files) + 2 * growth
    if per_day <= 0:
        return None
    return max(0.0, free_bytes - 2 * size) / per_day


def _existing(folder: Path) -> Path:
    return folder if folder.is_dir() else Path(folder.anchor)
