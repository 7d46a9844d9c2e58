"""One batch run: load, build, publish. The only module that knows both halves.

What comes after the load is in `building`.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import duckdb

from pipelines import effects
from pipelines.building import (
    How,
    Outcome,
    Work,
    build_and_publish,
    built,
    known_accounts,
    lost_rows,
    settings_of,
    shown_moments,
    viewer,
    work_on,
)
from pipelines.destination import forget_old_loads, own_settings
from pipelines.kalshi.client.api_keys import demand_reading_key
from pipelines.kalshi.client.errors import ExchangeError
from pipelines.kalshi.client.origin import origins_of_exchange
from pipelines.kalshi.client.reader import ExchangeReader, open_reader
from pipelines.kalshi.extraction import Extraction, Limits, Progress
from pipelines.kalshi.moments import Moments
from pipelines.kalshi.passes import passes_of
from pipelines.kalshi.reading import Pass
from pipelines.kalshi.settings import REJECTED_SHARE, ExchangeSettings
from pipelines.loading import Loader
from pipelines.operations import recording
from pipelines.publishing import Publisher
from pipelines.stopping import stoppable
from pipelines.store.database import Database
from pipelines.store.errors import DatabaseError, DataRefused
from pipelines.store.invariants import (
    accept_losses,
    demand_few_rejected,
    demand_nothing_lost,
    demand_sound,
    find_lost,
    told,
)
from pipelines.store.known import known_after, note_publication, shown_at
from pipelines.store.publish import (
    attached,
    last_published,
    reading_draft,
    replace_published,
)
from pipelines.store.stamp import claim, read_stamp
from transforms.bounds import BOUNDS
from transforms.partition import Here
from transforms.settings import MATURITY_S

_OTHER_ACCOUNT = (
    "{} holds the rows of another account than this key's: choose a second file with --database; "
    "the README shows how to ask both at once"
)
_log = logging.getLogger(__name__)

Between: TypeAlias = Callable[[Extraction], None]


def _nothing(extraction: Extraction) -> None:
    """Do nothing between two loads."""


def run(
    database: Database,
    access: ExchangeSettings,
    on_progress: Callable[[Progress], None],
    *,
    accept_loss: bool = False,
    maturity_s: float = MATURITY_S,
) -> Outcome:
    """Load, build and publish under one lock; the last published file stays if a rule is broken.

    What is ours is published as soon as it is read, also where the market's list takes long or
    fails.

    What was published and the private file has lost is read again. What the exchange no longer has
    of it ends the run with `DataRefused`, unless told to *accept_loss*: then it is counted.
    """
    with (
        at_work(database) as work,
        extracting(work, access, on_progress, asking(access)) as extraction,
    ):
        publisher = Publisher(work, access.account, maturity_s)
        try:
            new_versions = _load(extraction, work, publisher.between)
        except ExchangeError:
            publisher.after_failure(extraction)
            raise
        was_lost = read_lost_again(
            extraction, publisher.work, lambda anew: _load(anew, work), accept_loss=accept_loss
        )
        # Marts cannot go on from what they were built of, if that is not there any more.
        return publisher.at_the_end(
            extraction.connection, new_versions, extraction.limits, afresh=was_lost
        )


def read_lost_again(
    extraction: Extraction,
    work: Work,
    load_anew: Callable[[Extraction], object] | None,
    *,
    accept_loss: bool = False,
) -> bool:
    """Read again what was published and raw has lost; return whether there was any.

    What the exchange no longer has of it raises `DataRefused`, or is counted. Without *load_anew*
    it was asked before.
    """
    connection = extraction.connection
    was_lost = lost_rows(connection, work)
    if not was_lost:
        return False
    if load_anew is not None:
        _log.warning(
            "the private file has lost %s that were published: reading again", told(was_lost)
        )
        load_anew(extraction.begun_anew())
    with attached(connection, work.last) as has_last:
        lost = find_lost(connection)[0] if has_last else {}
        if accept_loss:
            accept_losses(connection, lost)
        else:
            demand_nothing_lost(lost, work.database.private_path)
    return True


def load(
    database: Database, access: ExchangeSettings, on_progress: Callable[[Progress], None]
) -> dict[str, int]:
    """Load what is new into the private file; return new versions by raw table."""
    with (
        at_work(database) as work,
        extracting(work, access, on_progress, asking(access)) as extraction,
    ):
        new_versions = _load(extraction, work)
        demand_few_rejected(extraction.connection, extraction.limits)
        return new_versions


def backfill(
    database: Database,
    access: ExchangeSettings,
    since: datetime,
    until: datetime | None,
    on_progress: Callable[[Progress], None],
    *,
    maturity_s: float = MATURITY_S,
) -> Outcome:
    """Run with what was updated from *since* to *until* (default: now) read again.

    Quotes are read by the day, RFQs down to *since*, and the usual passes run as well. Interrupted,
    it goes on where it stood when asked the same again.
    """
    reach = replace(access.reach, since=since, until=until)
    return run(database, replace(access, reach=reach), on_progress, maturity_s=maturity_s)


def rebuild(
    database: Database,
    rejected_share: float = REJECTED_SHARE,
    account: str | None = None,
    maturity_s: float = MATURITY_S,
    *,
    afresh: bool = False,
    builder: Here | None = None,
) -> Outcome:
    """Bring the marts up to what was loaded, or make all of them *afresh*, and publish.

    *account* says whose figures they are where the database holds rows of several, *builder* where
    they are computed.
    """
    _demand_loaded(database)
    with at_work(database) as work, database.writing(work.directory) as connection:
        demand_buildable(connection, work)
        limits = Limits(rejected_share)
        return build_and_publish(
            *(connection, work, {}, limits),
            account=account,
            maturity_s=maturity_s,
            afresh=afresh,
            builder=builder,
        )


def published_anew(
    database: Database,
    connection: duckdb.DuckDBPyConnection,
    settings: tuple[float, str | None],
    maturity_s: float,
) -> Outcome:
    """Build every mart anew from the open private file, and publish beside it what is new there."""
    rejected_share, account = settings
    work = Work(database, database.path.parent, None, is_published=False)
    return build_and_publish(
        *(connection, work, {}, Limits(rejected_share)),
        account=account,
        maturity_s=maturity_s,
        afresh=True,
    )


def build_into(
    output: Path,
    database: Database,
    as_of: datetime | None = None,
    rejected_share: float = REJECTED_SHARE,
    account: str | None = None,
    maturity_s: float = MATURITY_S,
    *,
    builder: Here | None = None,
) -> Outcome:
    """Build every mart anew into *output*, from all that was loaded into *database*.

    With *as_of*, what the last run that ended by then has published, whatever was loaded since.
    Neither the published file nor what a later run goes on from is touched. Raises `DatabaseError`
    for a moment before the first run, and for an *output* that may not be replaced.
    """
    _demand_loaded(database)
    with at_work(database) as work, _place_for(output, database) as place:
        with database.writing(work.directory) as connection:
            demand_buildable(connection, work)
            load, moments, shown_maturity_s = _shown(connection, work, as_of)
        with known_after(database.private_path, work.directory, load) as connection:
            demand_few_rejected(connection, Limits(rejected_share))
            settings = settings_of(connection, moments, account, shown_maturity_s or maturity_s)
            draft = built(connection, place / "draft.duckdb", settings, How(builder), afresh=True)
            with reading_draft(connection, draft.path):
                demand_sound(connection, has_last=False)
            replace_published(draft.path, Database(output).path, is_published=False)
        return Outcome({}, draft.mart_rows, moments.as_of)


def _demand_loaded(database: Database) -> None:
    if not database.may_be_loaded:
        raise DatabaseError(f"nothing was loaded into {database.path} yet: `rfq run` loads it")


def demand_buildable(connection: duckdb.DuckDBPyConnection, work: Work) -> None:
    """A build asks nobody for what the private file has lost."""
    _demand_same_stamp(connection, work)
    if lost := lost_rows(connection, work):
        raise DataRefused(
            f"nothing was published: the private file has lost {told(lost)} that were "
            "published. `rfq run` reads again what the exchange still has of them"
        )


@contextmanager
def _place_for(output: Path, database: Database) -> Iterator[Path]:
    """A directory beside *output* to draft it in. Raises `DatabaseError` if it may not be made."""
    target = Database(output)
    if target.path in (database.path, database.private_path) or target.private_path.exists():
        raise DatabaseError(
            f"{output} is a file that runs write, and was left as it is: choose another --output"
        )
    if not target.path.parent.is_dir():
        raise DatabaseError(f"the folder {target.path.parent} does not exist: make it first")
    with target.working_directory() as directory:
        last_published(target.path, directory, is_ours=False)
        yield directory


def _shown(
    connection: duckdb.DuckDBPyConnection, work: Work, as_of: datetime | None
) -> tuple[int, Moments, float | None]:
    """Return the last load to build from, the moments to show, and the M that was shown then."""
    if as_of is None:
        ((load,),) = connection.execute("select coalesce(max(load), 0) from raw.loads").fetchall()
        return load, shown_moments(connection), None
    # A run that was killed as soon as it had published has not noted it.
    with attached(connection, work.last) as has_last:
        if has_last:
            note_publication(connection, "published")
    return shown_at(connection, as_of)


@contextmanager
def at_work(database: Database) -> Iterator[Work]:
    """Hold the files until done or told to stop; raises before any request what would refuse."""
    with stoppable(), database.held():
        recording.begin()
        with database.working_directory() as directory:
            yield work_on(database, directory)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who reads the exchange, and the communications id of the account that the key is of."""

    reader: ExchangeReader
    account: str


@contextmanager
def asking(access: ExchangeSettings, **client: Any) -> Iterator[Asked]:
    """Ask the exchange whose key this is. *client* is how to ask, as `open_reader` takes it."""
    with reader_of(access, **client) as reader:
        account = reader.get_communications_id()
        if not access.allow_writing_key:
            demand_reading_key(reader, access.signer.api_key_id)
        reader.learn_budget()
        yield Asked(reader, account)


@contextmanager
def extracting(
    work: Work,
    access: ExchangeSettings,
    on_progress: Callable[[Progress], None],
    exchange: AbstractContextManager[Asked],
) -> Iterator[Extraction]:
    """Open the private file and ask the exchange; a file that is new is made once it has answered.

    Nothing is asked where the file refuses.
    """
    database = work.database
    with ExitStack() as stack:
        writing = partial(database.writing, work.directory)
        held = stack.enter_context(writing()) if database.is_loaded else None
        if held:
            _demand_same_stamp(held, work)
        asked = stack.enter_context(exchange)
        connection = held or stack.enter_context(writing(may_create=True))
        extraction = Extraction(
            *(asked.reader, connection, access.reach, recording.run_id(), asked.account),
            on_progress,
            limits=Limits(access.rejected_share),
            bounds=BOUNDS,
        )
        _demand_same_exchange(connection, work, extraction.origin)
        _demand_same_account(connection, database, asked.account, access.account)
        _demand_published_by(work, extraction.account_fingerprint)
        claim(connection, extraction.origin, extraction.account_fingerprint)
        yield extraction


def reader_of(access: ExchangeSettings, **client: Any) -> AbstractContextManager[ExchangeReader]:
    """A reader of the exchange that the settings name."""
    allowed = access.allow_unknown_host
    return open_reader(access.base_url, access.signer, allow_unknown_host=allowed, **client)


def _load(extraction: Extraction, work: Work, between: Between = _nothing) -> dict[str, int]:
    """Load everything with dlt in a directory of its own."""
    with work.database.loading_directory(work.directory) as directory, own_settings(directory):
        return load_by(Loader(extraction.connection, directory), extraction, between=between)


def load_by(
    loader: Loader,
    extraction: Extraction,
    passes: tuple[Pass, ...] | None = None,
    between: Between = _nothing,
) -> dict[str, int]:
    """Try every list, then raise what the first that failed met: each counts for itself.

    Return new versions by raw table. *passes* are all of the extraction's scope, unless named.
    *between* is called after each load that has left something for the next one.
    """
    before = noted = _versions(extraction.connection)

    def note() -> None:
        nonlocal noted
        held = _versions(extraction.connection)
        effects.note_loaded(sum(held.values()) - sum(noted.values()), _rejected(extraction))
        noted = held

    def after_a_part() -> None:
        note()
        between(extraction)

    with effects.phase("load"):
        wanted = passes or passes_of(extraction.reach.scope)
        failures = loader.load(extraction, wanted, after_a_part)
        forget_old_loads(extraction.connection)
    note()
    if failures:
        raise failures[0]
    return {table: rows - before[table] for table, rows in noted.items()}


def land_by(loader: Loader, extraction: Extraction, passes: tuple[Pass, ...]) -> None:
    """Store in one load what *passes* have seen; it counts for the run that is being recorded."""
    began_s, before = time.monotonic(), _versions(extraction.connection)
    loader.load_once(extraction, passes)
    held = _versions(extraction.connection)
    effects.note_loaded(sum(held.values()) - sum(before.values()), _rejected(extraction))
    effects.note_landed(time.monotonic() - began_s)


def _rejected(extraction: Extraction) -> int:
    """How many rows of this load could not be read."""
    rows = extraction.connection.execute(
        "select coalesce(sum(rejected_rows), 0) from raw.extraction_runs where run_id = $1",
        [extraction.run_id],
    ).fetchall()
    return int(rows[0][0])


def _versions(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    counts = connection.execute(
        "select (select count(*) from raw.rfq_versions), (select count(*) from raw.quote_versions)"
    ).fetchall()[0]
    return dict(zip(("rfq_versions", "quote_versions"), counts, strict=True))


def _demand_same_account(
    connection: duckdb.DuckDBPyConnection, database: Database, account: str, named: str | None
) -> None:
    """One database holds one account: of another's RFQs only that one's key shows the quotes."""
    known = known_accounts(connection)
    if named not in (None, account):
        raise DatabaseError("this key is of another account than [sources.kalshi] account names")
    if known and account not in known:
        raise DatabaseError(_OTHER_ACCOUNT.format(database.path))
    if len(known) > 1:
        viewer(connection, named)


def _demand_same_stamp(connection: duckdb.DuckDBPyConnection, work: Work) -> None:
    """What is published from one private file replaces nothing that another one published."""
    ours, last = read_stamp(connection), work.last.stamp if work.last else None
    if ours is None or last is None or None in (ours.exchange, last.exchange):
        return
    is_same = (ours.exchange, ours.account_fingerprint) == (
        last.exchange,
        last.account_fingerprint,
    )
    if not is_same:
        raise DatabaseError(
            f"{work.database.path} was published from another database than "
            f"{work.database.private_path}: move it away, or put back the one it belongs to"
        )


def _demand_published_by(work: Work, account_fingerprint: str) -> None:
    """Where the private file is gone, the published one still says whose rows it holds."""
    last = work.last.stamp if work.last else None
    if last and last.account_fingerprint not in (None, account_fingerprint):
        raise DatabaseError(_OTHER_ACCOUNT.format(work.database.path))


def _demand_same_exchange(connection: duckdb.DuckDBPyConnection, work: Work, exchange: str) -> None:
    """One database holds one exchange: demo rows among production's would look like trades."""
    known = connection.execute(
        "select distinct origin from raw.extraction_runs union"
        " select exchange from raw.stamp where exchange is not null"
    ).fetchall()
    held = {origin for (origin,) in known}
    if work.last and work.last.stamp and work.last.stamp.exchange:
        held.add(work.last.stamp.exchange)
    others = sorted(held - set(origins_of_exchange(exchange)))
    if others:
        raise DatabaseError(
            f"{work.database.path} holds the rows of {others[0]}, and this run reads {exchange}: "
            "choose another file with --database"
        )
