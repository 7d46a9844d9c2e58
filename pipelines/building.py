"""From what raw holds to a published file: build, check, publish."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from threading import Lock

import duckdb

from pipelines import effects
from pipelines.kalshi.extraction import Limits
from pipelines.kalshi.moments import Moments, last_moments
from pipelines.operations import recording
from pipelines.spans import told_bytes
from pipelines.store.beside import keep_aside
from pipelines.store.database import Database
from pipelines.store.errors import DatabaseError
from pipelines.store.invariants import (
    checks_everything,
    demand_few_rejected,
    demand_sound,
    find_lost,
)
from pipelines.store.known import note_publication
from pipelines.store.older_layouts import leave_older_layout
from pipelines.store.publish import (
    COMPACTS_ABOVE_BYTES,
    Last,
    attached,
    base_of,
    complete_draft,
    free_bytes,
    has_published,
    is_damage,
    last_published,
    note_draft,
    note_phases,
    provenance,
    reading_draft,
    replace_published,
    writing_draft,
)
from transforms.build import build, why_afresh
from transforms.last_build import has_only_grown
from transforms.marts import MARTS
from transforms.partition import Here
from transforms.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did: new versions by raw table, rows by mart, and the moment the marts show."""

    new_versions: dict[str, int]
    mart_rows: dict[str, int]
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Work:
    """What a run works on: the files, its own directory, what was published last."""

    database: Database
    directory: Path
    last: Last | None
    is_published: bool = True
    """Whether what is put in place is what readers see."""
    spoilt: str | None = None
    """Why the published file is kept under another name: somebody has changed or damaged it."""
    raw: Lock = field(default_factory=Lock, repr=False, compare=False)
    """Who loads into raw while this is built holds it from the number of a load to its last row."""


def work_on(database: Database, directory: Path, raw: "Lock | None" = None) -> Work:
    """What a run goes on from now; *raw* is held by whoever loads while it builds."""
    last = last_published(database.path, directory, is_ours=database.is_loaded)
    return Work(database, directory, last, raw=raw or Lock())


@dataclass(frozen=True, slots=True)
class Draft:
    """A file to be published, its rows by mart, and whether only its changes need be checked."""

    path: Path
    mart_rows: dict[str, int]
    changes_alone: bool


@dataclass(frozen=True, slots=True)
class How:
    """Where parts are computed; and what is called once nothing that is loaded can reach in."""

    builder: Here | None = None
    on_begun: Callable[[], None] = lambda: None


def build_and_publish(
    connection: duckdb.DuckDBPyConnection,
    work: Work,
    new_versions: dict[str, int],
    limits: Limits,
    *,
    account: str | None,
    maturity_s: float,
    afresh: bool = False,
    builder: Here | None = None,
) -> Outcome:
    """Bring what was published last up to what raw holds, or build everything; publish it.

    A last published file that cannot be read, wherever that shows, costs a build of everything.
    Raises `DataRefused` where a rule is broken, whatever it was built from.
    """

    def once(work: Work, *, afresh: bool) -> Outcome:
        work = _without_changed(connection, work)
        base = None if afresh else _copied_base(connection, work)
        with _alone(work.raw) as let_others:
            demand_few_rejected(connection, limits)
            settings = settings_of(connection, shown_moments(connection), account, maturity_s)
            how = How(builder, let_others)
            draft = _gone_on(connection, base, settings, how) if base else None
            if draft is None:
                draft = _built_anew(connection, work, settings, how)
        _publish(connection, work, draft)
        return Outcome(new_versions, draft.mart_rows, settings.as_of)

    try:
        outcome = once(work, afresh=afresh)
    except duckdb.Error as error:
        # Of a private file that is damaged nothing can be built either, as the next attempt tells.
        if work.last is None or not is_damage(error):
            raise
        said = str(error).splitlines()[0]
        _log.warning("all is built anew: what is stored cannot be read (%s)", said)
        outcome = once(replace(work, last=None, spoilt="damaged"), afresh=True)
    note_phases(connection, recording.run_id())
    return outcome


@contextmanager
def _alone(raw: Lock) -> Iterator[Callable[[], None]]:
    """Let nobody load into raw until the block ends, or until what it is given is called."""
    is_held = raw.acquire()

    def let_others() -> None:
        nonlocal is_held
        if is_held:
            is_held = False
            raw.release()

    try:
        yield let_others
    finally:
        let_others()


def lost_rows(connection: duckdb.DuckDBPyConnection, work: Work) -> dict[str, int]:
    """Count what was published and raw no longer holds.

    What is in a file that raw has noted is in raw, unless somebody has deleted rows there. What
    somebody has changed in the file was never published.
    """
    work = _without_changed(connection, work)
    with attached(connection, work.last) as has_last:
        if work.last is None or not has_last:
            return {}
        is_noted = provenance(connection, work.last, work.last.place) == "noted"
        if is_noted and has_only_grown(connection, "published.incremental"):
            return {}
        lost, unreadable = find_lost(connection)
        if unreadable:
            _log.warning(
                "what is stored cannot be read whole: whether the private file has lost %s that"
                " were published cannot be told",
                " or ".join(unreadable),
            )
        return lost


def _without_changed(connection: duckdb.DuckDBPyConnection, work: Work) -> Work:
    """*work* without what was published last, if somebody has changed or moved it since."""
    last = work.last
    if last is None:
        return work
    if not last.place.exists():
        return replace(work, last=None)
    if provenance(connection, last, last.place) != "changed":
        return work
    return replace(work, last=None, spoilt="changed")


def shown_moments(connection: duckdb.DuckDBPyConnection) -> Moments:
    """Return the moments that a build shows now. Raises `DatabaseError` before any load."""
    moments = last_moments(connection)
    if moments is None:
        raise DatabaseError("nothing was loaded yet, so there is nothing to publish: `rfq run`")
    return moments


def settings_of(
    connection: duckdb.DuckDBPyConnection,
    moments: Moments,
    account: str | None,
    maturity_s: float,
) -> Settings:
    """Return what a build depends on besides the rows, as raw and the configuration tell it."""
    return Settings(
        moments.as_of,
        viewer(connection, account),
        _scope(connection),
        maturity_s=maturity_s,
        known_until=moments.known_until,
        is_market_complete=moments.is_market_complete,
    )


def _copied_base(connection: duckdb.DuckDBPyConnection, work: Work) -> Path | None:
    """Return a copy of the last published file; None where there is none to go on from.

    Others may load meanwhile: copying may take long, and raw is read once they no longer can.
    """
    if work.last is None:
        if work.spoilt is None and has_published(connection):
            _log.warning("all is built anew: %s is not there any more", work.database.path)
        return None
    with effects.phase("copy"):
        try:
            return base_of(connection, work.last)
        except FileNotFoundError:
            _log.warning("all is built anew: %s was moved meanwhile", work.database.path)
            return None


def _gone_on(
    connection: duckdb.DuckDBPyConnection, base: Path, settings: Settings, how: How
) -> Draft | None:
    """Bring the copy at *base* up to date; None where it may not be gone on from."""
    with writing_draft(connection, base):
        why = why_afresh(connection, MARTS, settings)
        if free_bytes(connection) > COMPACTS_ABOVE_BYTES:
            why = f"{told_bytes(free_bytes(connection))} hold nothing"
    if why is None:
        return built(connection, base, settings, how, afresh=False)
    _log.info("all is built anew: of what was published last, %s", why)
    base.unlink()
    return None


def _built_anew(
    connection: duckdb.DuckDBPyConnection, work: Work, settings: Settings, how: How
) -> Draft:
    path = work.directory / "anew.duckdb"
    # One that was not put in place, as a rule was broken or what was published is damaged.
    path.unlink(missing_ok=True)
    return built(connection, path, settings, how, afresh=True)


def built(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    settings: Settings,
    how: How,
    *,
    afresh: bool,
) -> Draft:
    """Build into the file at *path*, and make it ready to be checked and put in place."""
    with effects.phase("publish"), writing_draft(connection, path):
        with effects.phase("build"):
            mart_rows = build(
                *(connection, MARTS, settings),
                afresh=afresh,
                builder=how.builder,
                on_begun=how.on_begun,
            )
        is_due = checks_everything(connection, settings.known_until or settings.as_of)
        complete_draft(connection)
    return Draft(path, mart_rows, changes_alone=not (afresh or is_due))


def _publish(connection: duckdb.DuckDBPyConnection, work: Work, draft: Draft) -> None:
    """Check what readers will read, note the file in raw, and put it in place."""
    with (
        effects.phase("publish"),
        reading_draft(connection, draft.path),
        attached(connection, work.last) as has_last,
    ):
        if has_last:
            note_publication(connection, "published")
        with effects.phase("check"):
            demand_sound(connection, has_last=has_last, changes_alone=draft.changes_alone)
        with work.raw:
            note_draft(connection, draft.path)
            # A log may be damaged by a power cut: what is published must not outlive what it rests
            # on.
            connection.execute("checkpoint")
        if work.spoilt and work.database.path.exists():
            aside = keep_aside(work.database.path, work.spoilt)
            _log.warning("%s was %s: it is now %s", work.database.path, work.spoilt, aside.name)
        replace_published(draft.path, work.database.path, is_published=work.is_published)
        note_publication(connection, "draft")
        leave_older_layout(connection)


def _scope(connection: duckdb.DuckDBPyConnection) -> str:
    """Which RFQs are held: once the market's list was read, foreign ones are among them."""
    rows = connection.execute(
        "select coalesce(bool_or(pass = 'rfqs_market'), false) from raw.extraction_runs"
    ).fetchall()
    return "market" if rows[0][0] else "self"


def known_accounts(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the communications ids that runs were made with."""
    rows = connection.execute(
        "select distinct communications_id from raw.accounts order by all"
    ).fetchall()
    return [account for (account,) in rows]


def viewer(connection: duckdb.DuckDBPyConnection, named: str | None) -> str:
    """Return whose figures the marts show. Without an account every RFQ would pass for our own."""
    known = known_accounts(connection)
    if not known:
        raise DatabaseError("whose account this is was not loaded yet: `rfq run` loads it")
    if len(known) == 1 and named in (None, *known):
        return known[0]
    if named not in known:
        raise DatabaseError(
            "the rows are of other accounts than [sources.kalshi] account names"
            if named
            else f"the rows are of {len(known)} accounts: say with [sources.kalshi] account whose "
            "figures you want. Their ids are in raw.accounts of the private file"
        )
    return named
