"""`rfq report` and `rfq dictionary`: pages of `notebooks`, made of the published file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.console import say, warn
from pipelines.operations.runs import read_record
from pipelines.operations.standing import told_code
from pipelines.spans import told_moment
from pipelines.store.beside import lock_path, record_path
from pipelines.store.database import Database, is_duckdb
from pipelines.store.errors import DatabaseError, of_this_version

EXTRA = ("jinja2", "marimo", "xlsxwriter")


class PageRefused(DatabaseError):
    """What was asked of a page makes no sense: wrong usage."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is asked for, as it was written on the command line."""

    output: Path
    xlsx: Path | None = None
    since: str | None = None
    until: str | None = None
    zone: str = "America/New_York"
    unit: str = "cents"
    role: str | None = None
    own_file: Path | None = None
    names: Path | None = None
    only: tuple[str, ...] = ()


@contextmanager
def with_extra(extra: str) -> Iterator[None]:
    """Say how to install what is missing, as `DatabaseError`."""
    try:
        yield
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.split(".")[0] not in EXTRA:
            raise
        raise DatabaseError(
            f"{missing.name} is not installed: in a checkout of rfq, pip install '.[{extra}]'"
        ) from None


def write_report(database: Database, asked: Asked) -> None:
    """Write the report, and say on stderr what it lacks.

    Raises `DatabaseError` where there is no file or an older one, `PageRefused` for wrong usage.
    """
    with with_extra("report"):
        from notebooks.report.page import html, page_of
        from notebooks.report.scope import open_scope, read_names
        from notebooks.report.window import PageError, Unit, Zone, read_day, window

        if asked.xlsx is not None:
            from notebooks.report.workbook import workbook
    _demand_places(database, asked)
    with database.reading() as connection, _told(database, PageError):
        days = [None if day is None else read_day(day) for day in (asked.since, asked.until)]
        names = read_names(connection, asked.names) if asked.names else None
        ((as_of,),) = connection.execute("select as_of from marts.build_info").fetchall()
        shown = window(as_of, days[0], days[1], Zone(asked.zone))
        scope = open_scope(connection, shown, asked.role, asked.own_file, asked.only)
        page = page_of(
            connection, scope, Unit(asked.unit), last_run(database.path), asked.role, names
        )
        _written(asked.output, lambda: html(page))
        if asked.xlsx is not None:
            _written(asked.xlsx, lambda: workbook(page))
    for note in page.notes:
        warn(f"rfq: {note}")


@contextmanager
def _told(database: Database, wrong_usage: type[Exception]) -> Iterator[None]:
    try:
        with of_this_version(database.path):
            yield
    except wrong_usage as error:
        raise PageRefused(str(error)) from None


def write_dictionary(output: Path) -> None:
    """Write what every table and column means."""
    with with_extra("report"):
        from notebooks.dictionary import dictionary
    _demand_place(output)
    _written(output, dictionary)


def _demand_places(database: Database, asked: Asked) -> None:
    """Refuse, before anything is written, what would take the place of something else."""
    if asked.xlsx is not None and asked.xlsx.resolve() == asked.output.resolve():
        raise PageRefused(f"--output and --xlsx are both {asked.output}: give two files")
    read = [each for each in (asked.own_file, asked.names) if each is not None]
    of_database = (lock_path(database.path), record_path(database.path))
    for output in filter(None, (asked.output, asked.xlsx)):
        _demand_place(output)
        if any(_is_same(output, each) for each in (*read, *of_database)):
            raise PageRefused(f"{output} is there for another purpose: give another file")


def _is_same(output: Path, other: Path) -> bool:
    return output.exists() and other.exists() and output.samefile(other)


def _demand_place(output: Path) -> None:
    """Refuse what is no file or holds a database: a page may take the place of any other file."""
    try:
        if not output.parent.is_dir():
            raise DatabaseError(f"the folder {output.parent} does not exist: make it first")
        if output.is_dir():
            raise DatabaseError(f"{output} is a folder: give the path of a file")
        if output.exists() and not output.is_file():
            raise PageRefused(f"{output} is no file that can be replaced: give another one")
        if output.exists() and is_duckdb(output):
            raise PageRefused(f"{output} is a database: give another file")
    except OSError as error:
        raise DatabaseError(f"{output} cannot be written: {error.strerror}") from None


def _written(output: Path, made: Callable[[], str | bytes]) -> None:
    from notebooks.report.page import write

    write(made(), output)
    say(f"{output}: {output.stat().st_size:,} bytes")


def last_run(published: Path) -> str:
    """How the last run of the published file at *published* ended, in a sentence."""
    ended = read_record(published).ended
    if not ended or ended[-1].exit_code is None:
        return "No run is on record beside the file."
    last = ended[-1]
    return f"The last run, at {told_moment(last.started_ts)} UTC, {told_code(last.exit_code or 0)}."
