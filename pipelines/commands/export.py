"""`rfq export`: the published tables as Parquet files, with a data package that describes them."""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from hashlib import file_digest
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb

from pipelines.console import say
from pipelines.spans import read_moment, rfc3339, told_bytes
from pipelines.stopping import stoppable
from pipelines.store.beside import fresh_directory
from pipelines.store.database import DISK_FULL, Database
from pipelines.store.errors import DatabaseBusy, DatabaseError, of_this_version

PACKAGE = "datapackage.json"
NAME = "rfq-export"
PARTITION = "cohort_date"
# What readers of partitioned folders take for NULL.
NO_DATE = "__HIVE_DEFAULT_PARTITION__"
LAYOUT = f"<schema>.<table>/{PARTITION}=YYYY-MM-DD/part-0.parquet"

_TABLES = """
select schema_name || '.' || table_name, bool_or(column_name = $1) from duckdb_columns()
where database_name = current_catalog() and schema_name in ('marts', 'staging') and not internal
group by all order by all
"""
_MADE_OF = """
select
    shown.as_of, known_until, scope, viewer_sees, maturity_s, recipe as metric_version
from marts.build_info as shown, incremental.last_build
"""


class ExportRefused(DatabaseError):
    """What was asked of an export makes no sense: wrong usage."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Days:
    """The days of cohorts that are exported, the last one not among them; None for all."""

    since: date | None
    until: date | None

    @property
    def is_all(self) -> bool:
        """Whether no span was asked for."""
        return self.since is None and self.until is None

    @property
    def condition(self) -> str:
        """SQL that is true of them: rows without a day belong to no span."""
        bounds = ((">=", self.since), ("<", self.until))
        told = [f"{PARTITION} {sign} date '{day}'" for sign, day in bounds if day is not None]
        return " and ".join(told) or "true"


@dataclass(frozen=True, slots=True)
class Resource:
    """A file of the package, as the Data Package standard names what is known of it."""

    name: str
    path: str
    table: str
    rows: int
    bytes: int
    sha256: str
    hash: str
    # The span that was asked for, where it chose the rows; None where the table is whole.
    since: str | None = None
    until: str | None = None
    format: str = "parquet"
    mediatype: str = "application/vnd.apache.parquet"


def export(
    database: Database,
    folder: Path,
    since: str | None = None,
    until: str | None = None,
    tables: Sequence[str] = (),
) -> None:
    """Write *tables*, or all of marts and staging, to *folder*, which appears whole or not at all.

    Tables that have a `cohort_date` are in a file per day, of the days from *since* to before
    *until*; others are in one, whatever the span. Raises `ExportRefused` for wrong usage,
    `DatabaseBusy` where another export writes the same folder, `DatabaseError` for a folder that
    holds something else and where nothing is published.
    """
    days = _days(since, until)
    folder = folder.absolute()
    _demand_free(folder)
    with (
        stoppable(),
        _alone(folder),
        # It outlives the connection: a query that a signal ends may write a while longer.
        fresh_directory(folder.parent, f".{folder.name}.export-") as beside,
        database.reading() as connection,
        of_this_version(database.path),
        # What DuckDB makes of a signal is one again, or the next nudge would cut the undoing short.
        stoppable(),
    ):
        wanted = _wanted(connection, tables)
        draft = beside / "draft"
        # What it holds is as private as the published file.
        draft.mkdir(mode=0o700)
        files = [
            resource
            for table in wanted
            for resource in _written(connection, draft, table, days, is_parted=wanted[table])
        ]
        package = _package(connection, files)
        (draft / PACKAGE).write_text(json.dumps(package, indent=1) + "\n")
        undated = {} if days.is_all else _undated(connection, wanted)
        _put_in_place(draft, folder, beside / "replaced")
    size, rows = (sum(getattr(each, name) for each in files) for name in ("bytes", "rows"))
    say(f"{folder}: {len(wanted)} tables, {rows:,} rows, {told_bytes(size)} in {len(files)} files")
    if not days.is_all:
        _say_beyond(wanted, undated)


def _say_beyond(wanted: Mapping[str, bool], undated: Mapping[str, int]) -> None:
    """Say which tables the span has not chosen the rows of, and what it has left out unseen."""
    if whole := [table for table, is_parted in wanted.items() if not is_parted]:
        say(f"whole, as they have no {PARTITION}: {', '.join(whole)}")
    if left_out := [f"{rows:,} of {table}" for table, rows in undated.items() if rows]:
        say(f"left out, as their {PARTITION} is not known: {', '.join(left_out)}")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let no other export write *folder* meanwhile: each would remove what the other has drafted.

    The kernel lets go of the lock with the process, however that ends.
    """
    place = folder.with_name(f".{folder.name}.export.lock")
    descriptor = _locked(place, folder)
    try:
        yield
    finally:
        place.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(place: Path, folder: Path) -> int:
    """Lock the file at *place*, made if need be; return its descriptor."""
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(place, flags, 0o600)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            why = "it is a link" if place.is_symlink() else error.strerror
            raise DatabaseError(f"{place} cannot be made the lock of an export: {why}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DatabaseBusy(
                f"another export is writing {folder}: wait for it to end, or give another folder"
            ) from None
        except OSError:
            # A disk that knows no locks: an export that cannot be alone is better than none.
            return descriptor
        # The export before has removed the file that it had locked: that one locks nobody out.
        with suppress(FileNotFoundError):
            if os.path.samestat(place.stat(), os.fstat(descriptor)):
                return descriptor
        os.close(descriptor)


def _put_in_place(draft: Path, folder: Path, replaced: Path) -> None:
    """Give *draft* the place of *folder*; the older one comes back where that is cut short."""
    try:
        if folder.exists():
            folder.rename(replaced)
        draft.rename(folder)
    except BaseException:
        if replaced.exists() and not folder.exists():
            replaced.rename(folder)
        raise


def _days(since: str | None, until: str | None) -> Days:
    now = datetime.now(UTC)
    try:
        days = Days(*(text and read_moment(text, now).date() for text in (since, until)))  # type: ignore[arg-type]
    except ValueError as error:
        raise ExportRefused(str(error)) from None
    if days.since and days.until and days.since >= days.until:
        raise ExportRefused(f"--since {days.since} is not before --until {days.until}")
    return days


def _demand_free(folder: Path) -> None:
    """Refuse to write over what no export has made."""
    if not folder.parent.is_dir():
        raise DatabaseError(f"the folder {folder.parent} does not exist: make it first")
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise DatabaseError(f"{folder} is no folder: give the path of one")
    if folder.is_mount():
        raise DatabaseError(f"{folder} is the root of a disk: give a folder in it")
    if any(folder.iterdir()) and not _is_ours(folder):
        raise DatabaseError(
            f"{folder} holds something else and was left as it is: give a new or an empty folder"
        )


def _is_ours(folder: Path) -> bool:
    try:
        package = json.loads((folder / PACKAGE).read_bytes())
    except (OSError, ValueError):
        return False
    if not isinstance(package, dict) or package.get("name") != NAME:
        return False
    known = {PACKAGE, *(each["path"].split("/")[0] for each in package.get("resources", []))}
    return {each.name for each in folder.iterdir()} <= known


def _wanted(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> dict[str, bool]:
    """Return the tables to be exported, each with whether it is parted by day."""
    found = dict(connection.execute(_TABLES, [PARTITION]).fetchall())
    for table in tables:
        if table not in found:
            raise ExportRefused(f"there is no table {table}: choose among {', '.join(found)}")
    return {table: found[table] for table in (tables or found)}


def _written(
    connection: duckdb.DuckDBPyConnection, draft: Path, table: str, days: Days, *, is_parted: bool
) -> Iterator[Resource]:
    (draft / table).mkdir(exist_ok=True)
    span = days if is_parted else Days(None, None)
    query = f"select distinct {PARTITION} from {table} where {days.condition} order by all"  # noqa: S608
    found = connection.execute(query).fetchall() if is_parted else []
    for (day,) in found:
        place = Path(table) / f"{PARTITION}={NO_DATE if day is None else day}"
        (draft / place).mkdir()
        is_of_day = f"{PARTITION} is null" if day is None else f"{PARTITION} = date '{day}'"
        rows = f"select * exclude ({PARTITION}) from {table} where {is_of_day}"  # noqa: S608
        yield _file(connection, rows, draft, place, span)
    if not found:
        # A table without rows of those days has a file as well, which shows its columns.
        limit = "limit 0" if is_parted else ""
        yield _file(connection, f"from {table} {limit}", draft, Path(table), span)


def _undated(connection: duckdb.DuckDBPyConnection, wanted: Mapping[str, bool]) -> dict[str, int]:
    """How many rows of each parted table belong to no day, and so to no span."""
    counts = {
        table: connection.execute(
            f"select count(*) from {table} where {PARTITION} is null"  # noqa: S608
        ).fetchall()
        for table, is_parted in wanted.items()
        if is_parted
    }
    return {table: int(count) for table, ((count,),) in counts.items()}


def _file(
    connection: duckdb.DuckDBPyConnection, rows: str, draft: Path, place: Path, span: Days
) -> Resource:
    path = place / "part-0.parquet"
    target = str(draft / path).replace("'", "''")
    ((count,),) = connection.execute(
        f"copy ({rows}) to '{target}' (format parquet, compression zstd)"
    ).fetchall()
    with (draft / path).open("rb") as written:
        digest = file_digest(written, "sha256").hexdigest()
    size = (draft / path).stat().st_size
    name = re.sub(r"[^a-z0-9._-]+", "-", str(place).lower().replace(f"/{PARTITION}=", "-"))
    since, until = (None if day is None else str(day) for day in (span.since, span.until))
    known = (name, str(path), place.parts[0], count, size, digest, f"sha256:{digest}")
    return Resource(*known, since, until)


def _package(connection: duckdb.DuckDBPyConnection, files: Sequence[Resource]) -> dict[str, Any]:
    made_of = connection.execute(_MADE_OF)
    names = [name for name, *_ in made_of.description or ()]
    known = dict(zip(names, made_of.fetchall()[0], strict=True))
    return {
        "name": NAME,
        "created": rfc3339(datetime.now(UTC)),
        "layout": LAYOUT,
        "rfq_version": version("rfq"),
        **{name: _told(value) for name, value in known.items()},
        "resources": [_described(each) for each in files],
    }


def _described(file: Resource) -> dict[str, Any]:
    return {name: value for name, value in asdict(file).items() if value is not None}


def _told(value: Any) -> Any:
    return rfc3339(value) if isinstance(value, datetime) else value
