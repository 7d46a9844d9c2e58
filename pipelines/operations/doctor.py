"""`rfq doctor`: everything that a scheduled run needs, looked at before it is needed.

Nothing is written but a file that is removed again, and the exchange is asked four questions.
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TypeVar

import duckdb

from pipelines.console import say
from pipelines.effects import WATCH
from pipelines.kalshi.client.api_keys import DOES_NOT_TELL
from pipelines.kalshi.client.errors import (
    ConfigurationError,
    CredentialsMissing,
    CredentialsRefused,
    CredentialsUnusable,
    ExchangeError,
)
from pipelines.kalshi.client.origin import checked_base_url
from pipelines.kalshi.client.reader import ExchangeReader, RetryPolicy, open_reader
from pipelines.kalshi.settings import ExchangeSettings, configured_access
from pipelines.operations.runs import Run, is_at_work, read_record
from pipelines.operations.standing import standing
from pipelines.spans import told_bytes, told_span
from pipelines.store.beside import record_path
from pipelines.store.database import Database, demand_publishable
from pipelines.store.errors import DatabaseError
from pipelines.store.stamp import LAYOUT, kind_of, quoted_text, read_stamp

T = TypeVar("T")

# The exchange refuses what is signed at another time than its own; how far off is not documented.
CLOCK_IS_OFF_S, CLOCK_IS_WRONG_S = 2.0, 30.0
SPACE_SOON_DAYS, SPACE_NOW_DAYS = 14.0, 1.0
# A cron line that missed so many of its times in a row is taken for dead.
MISSED_TIMES = 3
RUNS_OF_A_SCHEDULE = 5
CREDENTIALS, UNREACHABLE, CONFIGURATION = 77, 69, 78
CHECKS = (
    *("key", "scopes", "clock", "limits", "base_url"),
    *("disk", "permissions", "layout", "space", "schedule"),
)
SCHEDULED = ("run", "load", "backfill", WATCH)
# A doctor says what is wrong at once; a run is the one to be patient.
IMPATIENT = RetryPolicy(attempts=1)


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found, and what to do about it. A failed one tells its exit *code*."""

    check: str
    state: State
    found: str
    do: str = ""
    code: int = CONFIGURATION


def examined(
    path: Path, base_url: str | None, now: datetime, *, allow_unknown_host: bool, is_offline: bool
) -> list[Finding]:
    """Look at everything, each check for itself; in the order of `CHECKS`."""
    found = [*_exchange(base_url, allow_unknown_host, is_offline), *_files(path, now)]
    by_name = {finding.check: finding for finding in found}
    skipped = "not asked" if is_offline else "could not be asked"
    return [by_name.get(name) or Finding(name, State.SKIPPED, skipped) for name in CHECKS]


def exit_code(findings: list[Finding]) -> int:
    """Return 0 or, of what failed, the code of the exchange's refusal before all others."""
    codes = {finding.code for finding in findings if finding.state is State.FAIL}
    return next((code for code in (CREDENTIALS, UNREACHABLE, CONFIGURATION) if code in codes), 0)


def show(findings: list[Finding], *, as_json: bool) -> None:
    """Print what was found, a line each, or one list of objects."""
    if as_json:
        say(json.dumps([_object(finding) for finding in findings]))
        return
    for finding in findings:
        say(f"{finding.state:<8} {finding.check:<12} {finding.found}")
        if finding.do:
            say(f"{'':<21} {finding.do}")


def _object(finding: Finding) -> dict[str, str]:
    return {
        "check": finding.check,
        "state": finding.state,
        "found": finding.found,
        "do": finding.do,
    }


# The exchange


def _exchange(
    base_url: str | None, allow_unknown_host: bool, is_offline: bool
) -> Iterator[Finding]:
    try:
        access = configured_access(base_url, allow_unknown_host=allow_unknown_host)
    except (CredentialsMissing, CredentialsUnusable) as error:
        yield _failed("key", error, CREDENTIALS)
        return
    except ConfigurationError as error:
        yield _failed("base_url", error, CONFIGURATION)
        return
    try:
        checked_base_url(access.base_url, allow_unknown_host=allow_unknown_host)
    except ConfigurationError as error:
        yield _failed("base_url", error, CONFIGURATION)
        return
    if is_offline:
        yield Finding("key", State.OK, "it is there, ours alone to read, and can sign; not tried")
        yield Finding("base_url", State.OK, f"{access.base_url}, not asked")
        return
    with open_reader(
        access.base_url,
        access.signer,
        allow_unknown_host=allow_unknown_host,
        retry_policy=IMPATIENT,
    ) as reader:
        yield from _asked(reader, access)


def _failed(check: str, error: ExchangeError, code: int) -> Finding:
    return Finding(check, State.FAIL, error.what, error.advice, code)


def _asked(reader: ExchangeReader, access: ExchangeSettings) -> Iterator[Finding]:
    try:
        reader.get_communications_id()
    except (CredentialsRefused, CredentialsUnusable) as error:
        yield _failed("key", error, CREDENTIALS)
        yield Finding("base_url", State.OK, f"{access.base_url} answers")
        yield from _clock(reader)
        return
    except ExchangeError as error:
        yield _failed("base_url", error, UNREACHABLE)
        return
    yield Finding("key", State.OK, "the exchange takes it")
    yield Finding("base_url", State.OK, f"{access.base_url} answers")
    yield _scopes(reader, access)
    yield from _clock(reader)
    yield _limits(reader)


def _scopes(reader: ExchangeReader, access: ExchangeSettings) -> Finding:
    try:
        keys = reader.get_api_keys()
    except DOES_NOT_TELL:
        keys = ()
    own = access.signer.api_key_id.casefold()
    ours = next((key for key in keys if key.api_key_id.casefold() == own and key.scopes), None)
    if ours is None:
        return Finding(
            *("scopes", State.WARN, "the exchange does not tell what this key may do"),
            "Make sure that it has the scope read alone: loading needs no more.",
        )
    if not ours.writing_scopes:
        return Finding("scopes", State.OK, "it may only read")
    if access.allow_writing_key:
        return Finding(
            *("scopes", State.WARN, "it may also write, which allow_writing_key allows"),
            "Whoever gets hold of it can trade: a key with the scope read alone is enough.",
        )
    return Finding(
        *("scopes", State.FAIL, "it may also write, so a run refuses it"),
        "Make a key with the scope read alone.",
        CREDENTIALS,
    )


def _clock(reader: ExchangeReader) -> Iterator[Finding]:
    skew_s = reader.clock_skew_s
    if skew_s is None:
        return
    found = f"the exchange's clock is {skew_s:+.1f} s from this machine's"
    do = "Let this machine keep time (systemd-timesyncd or chrony): signatures hold the time."
    # It tells whole seconds, and an answer takes time.
    if abs(skew_s) <= CLOCK_IS_OFF_S:
        yield Finding("clock", State.OK, found)
    elif abs(skew_s) <= CLOCK_IS_WRONG_S:
        yield Finding("clock", State.WARN, found, do)
    else:
        yield Finding("clock", State.FAIL, found, do)


def _limits(reader: ExchangeReader) -> Finding:
    try:
        reader.budget.adopt(reader.get_account_limits(), reader.get_endpoint_costs())
    except DOES_NOT_TELL as error:
        return Finding(
            *("limits", State.WARN, f"the exchange does not tell them: {error.what}"),
            "Nothing: runs read at the pace of the smallest tier.",
        )
    limit = reader.budget.read_limit
    return Finding("limits", State.OK, f"reads may spend {limit.refill_rate:,} tokens a second")


# The files


def _files(path: Path, now: datetime) -> Iterator[Finding]:
    try:
        database = Database(path)
    except DatabaseError as error:
        yield Finding("layout", State.FAIL, str(error), "Choose another file with --database.")
        return
    yield _disk(database)
    yield _permissions(database)
    yield _layout(database)
    yield _space(database, now)
    yield _schedule(database, now)


def _disk(database: Database) -> Finding:
    """Whether runs can work in the folder: make files, lock them, and put them in place."""
    folder = database.path.parent
    if not folder.is_dir():
        return Finding("disk", State.FAIL, f"the folder {folder} does not exist", "Make it first.")
    try:
        with tempfile.TemporaryDirectory(prefix=".rfq-doctor-", dir=folder) as directory:
            tried, place = Path(directory) / "a", Path(directory) / "b"
            with tried.open("wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.write(b"x")
                os.fsync(file.fileno())
            tried.replace(place)
    except OSError as error:
        return Finding(
            *("disk", State.FAIL, f"runs cannot work in {folder}: {error.strerror}"),
            "Use a folder of your own on a disk of this machine.",
        )
    return Finding("disk", State.OK, f"files can be made, locked and replaced in {folder}")


def _permissions(database: Database) -> Finding:
    ours = (database.path, database.private_path, record_path(database.path))
    for path in filter(Path.exists, ours):
        status = path.stat()
        if status.st_uid != os.geteuid() and os.geteuid() != 0:
            return Finding(
                *("permissions", State.FAIL, f"{path} belongs to another user"),
                f"Run as that user, or: sudo chown {os.geteuid()} '{path}'",
            )
        if path != database.path and status.st_mode & 0o077:
            return Finding(
                *("permissions", State.FAIL, f"others can read {path}, which is private"),
                f"chmod 600 '{path}'",
            )
    return Finding("permissions", State.OK, "the files are ours, and the private ones ours alone")


def _layout(database: Database) -> Finding:
    if not database.may_be_loaded:
        return Finding(
            *("layout", State.WARN, f"nothing was loaded into {database.path} yet"), "`rfq run`"
        )
    older = None
    try:
        _examined(database.path, lambda c, name: demand_publishable(c, name, database.path))
        if not is_at_work(database.path):
            older = _examined(database.private_path, _older_layout)
    except DatabaseError as error:
        return Finding(
            *("layout", State.FAIL, str(error)), "Install that version, or choose another file."
        )
    except duckdb.Error as error:
        return Finding(
            *("layout", State.FAIL, f"a file cannot be read: {str(error).splitlines()[0]}"),
            "Close other programs that have it open, or put a backup in its place.",
        )
    if not database.is_loaded:
        return Finding(
            *("layout", State.WARN, "the files are named as an earlier version did"),
            "Nothing: the next run takes them over.",
        )
    if older is not None:
        return Finding(
            *("layout", State.WARN, f"the private file has {older}; this version writes {LAYOUT}"),
            "Nothing: the next run or build brings it up to that.",
        )
    return Finding("layout", State.OK, f"layout {LAYOUT}, as this version writes it")


def _examined(path: Path, look: Callable[[duckdb.DuckDBPyConnection, str], T]) -> T | None:
    """What *look* finds in the file at *path*, attached to read; None where there is none."""
    if not path.exists() or not path.stat().st_size:
        return None
    with duckdb.connect() as connection:
        connection.execute(f"attach {quoted_text(path)} as examined (read_only)")
        return look(connection, "examined")


def _older_layout(connection: duckdb.DuckDBPyConnection, name: str) -> str | None:
    """Which earlier layout a private file has; None for today's.

    Raises `DatabaseError` for one that no run would take.
    """
    stamp = read_stamp(connection, name)
    if kind_of(connection, name) != "private" or (stamp is not None and stamp.layout > LAYOUT):
        raise DatabaseError("the private file is none of ours, or of a later version")
    if stamp is None:
        return "no stamp that tells its layout"
    return f"layout {stamp.layout}" if stamp.layout < LAYOUT else None


def _space(database: Database, now: datetime) -> Finding:
    folder = database.path.parent
    if not folder.is_dir():
        return Finding("space", State.SKIPPED, "the folder does not exist")
    free = shutil.disk_usage(folder).free
    size = database.path.stat().st_size if database.path.exists() else 0
    found = f"{told_bytes(free)} are free"
    if free < 2 * size:
        return Finding(
            *("space", State.FAIL, f"{found}, and a run needs {told_bytes(2 * size)}"),
            "Make room, or move the database to a larger disk.",
        )
    days = None
    with suppress(DatabaseError, OSError):
        days = standing(database, now).days_until_full
    if days is None or days > SPACE_SOON_DAYS:
        return Finding("space", State.OK, found)
    state = State.FAIL if days < SPACE_NOW_DAYS else State.WARN
    return Finding(
        *("space", state, f"{found}, for {told_span(days * 86_400)} of runs"),
        "Make room, or move the database to a larger disk.",
    )


def _schedule(database: Database, now: datetime) -> Finding:
    """Whether runs come as regularly as they did."""
    try:
        runs = [run for run in read_record(database.path).runs if run.command in SCHEDULED]
    except OSError as error:
        what = f"the record of runs cannot be read: {error.strerror}"
        return Finding("schedule", State.SKIPPED, what)
    if runs and runs[-1].exit_code is None:
        since_s = (now - runs[-1].started_ts).total_seconds()
        return Finding("schedule", State.OK, f"a run has been at work for {told_span(since_s)}")
    # Whoever changes from a watch to a schedule, or back, changes the rhythm.
    alike = [run for run in runs if (run.command == WATCH) == (runs[-1].command == WATCH)]
    runs = alike if len(alike) >= RUNS_OF_A_SCHEDULE else runs
    if len(runs) < 2:
        return Finding(
            *("schedule", State.WARN, "fewer than two runs were recorded"),
            "Schedule one: the README has a line for cron, and recipes.",
        )
    every, since = _rhythm(runs), now - max(run.started_ts for run in runs)
    found = f"a run every {told_span(every.total_seconds())}, the last one "
    found += f"{told_span(since.total_seconds())} ago"
    if since > MISSED_TIMES * every:
        # A few runs may have been started by hand.
        state = State.FAIL if len(runs) >= RUNS_OF_A_SCHEDULE else State.WARN
        return Finding(
            *("schedule", state, found),
            "Look whether the scheduler is alive: `systemctl list-timers`, `crontab -l`.",
        )
    return Finding("schedule", State.OK, found)


def _rhythm(runs: list[Run]) -> timedelta:
    """The middle one of the times between the starts of the last runs."""
    starts = sorted(run.started_ts for run in runs[-20:])
    return timedelta(
        seconds=median((later - earlier).total_seconds() for earlier, later in pairwise(starts))
    )
