"""One batch run: load, build, publish. The only module that knows both halves."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

# Before dlt is imported, and whatever folder we are in, as its settings file is found from one
# folder only. It reports to its vendor unless told otherwise; it would answer a signal only
# between its own steps; it would keep private rows that it is done with; and its log names values
# that DuckDB refused.
os.environ |= {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__INTERCEPT_SIGNALS": "false",
    "RUNTIME__LOG_LEVEL": "CRITICAL",
    "LOAD__DELETE_COMPLETED_JOBS": "true",
    "LOAD__TRUNCATE_STAGING_DATASET": "true",
}

import dlt
import duckdb

from pipelines.database import Database, DatabaseError
from pipelines.destination import HeldDuckDb
from pipelines.invariants import Limits, demand_few_rejected, demand_sound
from pipelines.kalshi import kalshi
from pipelines.kalshi.api_keys import demand_reading_key
from pipelines.kalshi.client import open_reader
from pipelines.kalshi.errors import ConfigurationError
from pipelines.kalshi.extraction import Extraction, Progress
from pipelines.kalshi.settings import Access
from pipelines.publish import drafted, last_published, put_in_place
from pipelines.stopping import stoppable
from transforms.build import build, raw_tables
from transforms.marts import MARTS
from transforms.settings import Settings

# A load each, in this order: what is ours does not wait for the market, which may take hours.
LOADS = (("accounts", "quotes"), ("rfqs",), ("quotes_by_id", "rfqs_by_id"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did: new versions by raw table, rows by mart, and the moment the marts show."""

    new_versions: dict[str, int]
    mart_rows: dict[str, int]
    as_of: datetime


def run(database: Database, access: Access, on_progress: Callable[[Progress], None]) -> Outcome:
    """Load, build and publish under one lock; the last published file stays if anything fails."""
    with _writing(database) as connection:
        new_versions = _load(connection, database, access, on_progress)
        return _build_and_publish(connection, database, new_versions)


def load(
    database: Database, access: Access, on_progress: Callable[[Progress], None]
) -> dict[str, int]:
    """Load what is new into the private file; return new versions by raw table."""
    with _writing(database) as connection:
        new_versions = _load(connection, database, access, on_progress)
        demand_few_rejected(connection, _limits())
        return new_versions


def backfill(
    database: Database,
    access: Access,
    since: datetime,
    until: datetime | None,
    on_progress: Callable[[Progress], None],
) -> Outcome:
    """Run with what was updated from *since* to *until* (default: now) read again.

    Quotes are read by the day, RFQs down to *since*, and the usual passes run as well. Interrupted,
    it goes on where it stood when asked the same again.
    """
    reach = replace(access.reach, since=since, until=until)
    return run(database, replace(access, reach=reach), on_progress)


def rebuild(database: Database, as_of: datetime | None) -> Outcome:
    """Build every mart anew, as the data stood at *as_of* (default: the last load), and publish."""
    with _writing(database) as connection:
        return _build_and_publish(connection, database, {}, as_of, afresh=True)


@contextmanager
def _writing(database: Database) -> Iterator[duckdb.DuckDBPyConnection]:
    """Hold the database until done or told to stop; raises before any work what would refuse it."""
    with stoppable(), database.writing() as connection:
        with last_published(connection, database.path):
            raw_tables(connection)
        yield connection


def _load(
    connection: duckdb.DuckDBPyConnection,
    database: Database,
    access: Access,
    on_progress: Callable[[Progress], None],
) -> dict[str, int]:
    before = _versions(connection)
    with (
        database.working_directory() as directory,
        open_reader(
            access.base_url, access.signer, allow_unknown_host=access.allow_unknown_host
        ) as reader,
    ):
        account = reader.get_communications_id()
        if not access.allow_writing_key:
            demand_reading_key(reader, access.signer.api_key_id)
        reader.learn_budget()
        extraction = Extraction(reader, connection, access.reach, uuid4().hex, account, on_progress)
        _refuse_other_origin(connection, database, extraction.origin)
        _load_all(extraction, directory)
    return {table: rows - before[table] for table, rows in _versions(connection).items()}


def _load_all(extraction: Extraction, directory: Path) -> None:
    """Try every list, then raise what the first that failed met: each counts for itself."""
    pipeline = _pipeline(extraction, directory)
    for resources in LOADS:
        _load_resources(pipeline, extraction, resources)
    if extraction.failures:
        raise extraction.failures[0]


def _pipeline(extraction: Extraction, directory: Path) -> dlt.Pipeline:
    return dlt.pipeline(
        "kalshi",
        pipelines_dir=str(directory),
        destination=HeldDuckDb(extraction.connection, staging_dataset_name_layout="_merge_%s"),
        dataset_name="raw",
    )


def _load_resources(
    pipeline: dlt.Pipeline, extraction: Extraction, resources: tuple[str, ...]
) -> None:
    """Load in as many packages as it takes: each is kept if a later one fails."""
    extraction.is_unfinished = True
    while extraction.is_unfinished:
        extraction.is_unfinished = False
        pipeline.run(kalshi(extraction).with_resources(*resources))


def _build_and_publish(
    connection: duckdb.DuckDBPyConnection,
    database: Database,
    new_versions: dict[str, int],
    as_of: datetime | None = None,
    *,
    afresh: bool = False,
) -> Outcome:
    demand_few_rejected(connection, _limits())
    moment = as_of or _last_seen(connection)
    settings = Settings(moment, _viewer(connection), _scope(connection))
    if settings.viewer_id is None:
        # Without it every RFQ would pass for our own.
        raise DatabaseError("whose account this is was not loaded yet: `rfq run` loads it")
    mart_rows = build(connection, MARTS, settings, afresh=afresh)
    _publish(connection, database)
    return Outcome(new_versions, mart_rows, moment)


def _publish(connection: duckdb.DuckDBPyConnection, database: Database) -> None:
    with database.working_directory() as directory:
        with (
            drafted(connection, directory) as draft,
            last_published(connection, database.path) as has_last,
        ):
            demand_sound(connection, has_last=has_last)
        put_in_place(draft, database.path)


def _limits() -> Limits:
    share: Any = dlt.config.get("sources.kalshi.rejected_share")
    if share is None:
        return Limits()
    try:
        return Limits(rejected_share=float(share))
    except ValueError:
        raise ConfigurationError("sources.kalshi.rejected_share is not a number") from None


def _versions(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    counts = connection.execute(
        "select (select count(*) from raw.rfq_versions), (select count(*) from raw.quote_versions)"
    ).fetchall()[0]
    return dict(zip(("rfq_versions", "quote_versions"), counts, strict=True))


def _last_seen(connection: duckdb.DuckDBPyConnection) -> datetime:
    rows = connection.execute("select max(ended_ts) from raw.extraction_runs").fetchall()
    seen: datetime | None = rows[0][0]
    if seen is None:
        raise DatabaseError("nothing was loaded yet, so there is nothing to publish: `rfq run`")
    # The exchange tells its time in whole seconds: what we saw last may be that much younger.
    return seen + timedelta(seconds=1)


def _scope(connection: duckdb.DuckDBPyConnection) -> str:
    """Which RFQs are held: once the market's list was read, foreign ones are among them."""
    rows = connection.execute(
        "select coalesce(bool_or(pass = 'rfqs_market'), false) from raw.extraction_runs"
    ).fetchall()
    return "market" if rows[0][0] else "self"


def _viewer(connection: duckdb.DuckDBPyConnection) -> str | None:
    rows = connection.execute(
        "select max_by(communications_id, observed_ts) from raw.accounts"
    ).fetchall()
    viewer: str | None = rows[0][0]
    return viewer


def _refuse_other_origin(
    connection: duckdb.DuckDBPyConnection, database: Database, origin: str
) -> None:
    """One database holds one exchange: demo rows among production's would look like trades."""
    known = connection.execute(
        "select distinct origin from raw.extraction_runs where origin <> $1 limit 1", [origin]
    ).fetchall()
    if known:
        raise DatabaseError(
            f"{database.path} holds rows of {known[0][0]}, and this run reads {origin}: "
            "choose another file with --database"
        )
