"""`rfq sql`: a query of the published file, answered as a table, as CSV or as JSON.

It only reads: the published file is attached to be read, nothing else is, and what would write a
file of its own is refused: a statement by its kind, a log or a profile by locking DuckDB's
settings. The zone is one of them, so times are UTC.
"""

import csv
import json
import math
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import duckdb

from pipelines.console import say
from pipelines.spans import rfc3339
from pipelines.store.database import Database
from pipelines.store.errors import DatabaseError

SHOWN_ROWS = 100
WIDEST_CELL = 80
_BATCH = 10_000
_EXAMPLE = re.compile(r"^-- (\w+): (.+)\n((?:[^\n]+\n)+)", re.MULTILINE)
# What can be asked. DuckDB itself refuses to change the file, and says so in its own words.
# MULTI is a PIVOT. PREPARE is not among them, as what it holds may write.
_ASKED = ["SELECT", "EXPLAIN", "SET", "PRAGMA", "CALL", "DETACH", "MULTI"]
_REFUSED_BY_DUCKDB = ["INSERT", "UPDATE", "CREATE", "DELETE", "ALTER", "DROP", "MERGE_INTO"]
_ATTACHED_TO_READ = re.compile(r"\(\s*(type\s+\w+\s*,\s*)?read_only\s*(true)?\s*\)", re.IGNORECASE)
_EXPLAINED = re.compile(
    r"\s*explain(\s+analyze\b)?(\s*\(\s*(analyze|format)\b[^()]*\))?", re.IGNORECASE
)
# `import database` is a PRAGMA to DuckDB, and carries out whatever the folder's files say.
_IMPORT = re.compile(r"\bimport\s+database\b", re.IGNORECASE)
_INFINITE = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
_LOCKED = "set allow_persistent_secrets = false; set lock_configuration = true"
# DuckDB has not understood the query, or has and refuses it. Memory, disks and damage are others.
_OF_THE_QUERY = (
    duckdb.ProgrammingError,
    duckdb.DataError,
    duckdb.IntegrityError,
    duckdb.NotSupportedError,
    duckdb.DependencyException,
    duckdb.PermissionException,
    duckdb.TransactionException,
)
# Files and extensions that are not there are errors of input and output to DuckDB.
_NAMED_IN_VAIN = re.compile(
    r"\A(IO Error: (No files found|Cannot open file)"
    r"|IO Error: (.*database does not exist|Extension .* not found)"
    r"|An error occurred while trying to automatically install)"
)


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class QueryRefused(DatabaseError):
    """A query that DuckDB does not understand or that does more than read: wrong usage."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Example:
    """A question of `queries.sql`, and the query that answers it."""

    name: str
    question: str
    sql: str


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of an answer as they come, and the names of their columns, each one once."""

    names: list[str]
    rows: Iterator[tuple[Any, ...]]


def examples() -> dict[str, Example]:
    """The examples by name, in the order of the file."""
    text = (files("notebooks") / "queries.sql").read_text()
    found = [Example(*match) for match in _EXAMPLE.findall(text)]
    return {each.name: each for each in found}


def example_named(name: str) -> Example:
    """The example of that name. Raises `QueryRefused` with all the names there are."""
    found = examples()
    if name not in found:
        raise QueryRefused(f"{name!r} is no example. There are: {', '.join(found)}")
    return found[name]


def show_examples(form: Format) -> None:
    """Print each example's name and question and, where a program reads them, its query."""
    found = list(examples().values())
    if form is not Format.TABLE:
        names = list(asdict(found[0]))
        show(Rows(names, (tuple(asdict(each).values()) for each in found)), form)
        return
    for each in found:
        say(f"{each.name:<20} {each.question}")


def answer(database: Database, query: str, form: Format) -> None:
    """Print what the published file answers. Raises `QueryRefused` with DuckDB's message."""
    with database.reading() as connection:
        # What is not attached cannot be written to.
        connection.execute(f"detach memory; {_LOCKED}")
        try:
            show(asked(connection, query), form)
        except duckdb.Error as error:
            if not _is_of_the_query(error):
                raise
            raise QueryRefused(str(error).strip()) from None


def _is_of_the_query(error: duckdb.Error) -> bool:
    """Whether another query would be the remedy, and neither a whole file nor more room."""
    return isinstance(error, _OF_THE_QUERY) or bool(_NAMED_IN_VAIN.search(str(error)))


def asked(connection: duckdb.DuckDBPyConnection, query: str) -> Rows:
    """Carry out all statements of *query*; return the rows of the last one."""
    try:
        query.encode()
    except UnicodeEncodeError:
        raise QueryRefused("the query is not UTF-8") from None
    statements = connection.extract_statements(query)
    if not statements:
        raise QueryRefused("there is no query: give one, or a name of `rfq sql --examples`")
    for statement in statements:
        _demand_reading(connection, statement)
        connection.execute(statement)
    names = [name for name, *_ in connection.description or ()]
    return Rows(list(_told_apart(names)), _fetched(connection))


def _demand_reading(connection: duckdb.DuckDBPyConnection, statement: Any) -> None:
    """Refuse what writes a file, also where it is only explained: ANALYZE carries it out."""
    kind, text = statement.type.name, statement.query
    if kind == "EXPLAIN":
        inner = connection.extract_statements(_EXPLAINED.sub("", text, count=1))
        for each in inner:
            _demand_reading(connection, each)
        return
    is_attached_to_read = kind == "ATTACH" and _ATTACHED_TO_READ.search(text)
    if kind == "PRAGMA" and _IMPORT.search(text):
        kind = "IMPORT"
    if kind not in (*_ASKED, *_REFUSED_BY_DUCKDB) and not is_attached_to_read:
        raise QueryRefused(
            f"`rfq sql` only reads, so it does no {kind}"
            + (": attach the file as (read_only)" if kind == "ATTACH" else "")
        )


def _fetched(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while batch := connection.fetchmany(_BATCH):
        yield from batch


def _told_apart(names: list[str]) -> Iterator[str]:
    """Each name once: a second column of the same name gets a number, as in DuckDB's own tables."""
    taken: set[str] = set()
    for name in names:
        free = (new for n in range(len(names) + 1) if (new := f"{name}_{n}") not in taken)
        chosen = next(free) if name in taken else name
        taken.add(chosen)
        yield chosen


# Writing rows


def show(answered: Rows, form: Format) -> None:
    """Print rows."""
    {Format.TABLE: _show_table, Format.CSV: _show_csv, Format.JSON: _show_json}[form](answered)


def _show_csv(answered: Rows) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(answered.names)
    writer.writerows([_in_text(value) for value in row] for row in answered.rows)


def _show_json(answered: Rows) -> None:
    """One array, an object a line, written as the rows come."""
    separator = "["
    for row in answered.rows:
        cells = zip(answered.names, map(_in_json, row), strict=True)
        sys.stdout.write(f"{separator}{json.dumps(dict(cells), ensure_ascii=False)}")
        separator = ",\n "
    say("[]" if separator == "[" else "]")


def _show_table(answered: Rows) -> None:
    shown = list(islice(answered.rows, SHOWN_ROWS))
    more = sum(1 for _ in answered.rows)
    cells = [answered.names, *([_in_cell(value) for value in row] for row in shown)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    is_number = [
        all(isinstance(value, int | float | Decimal | None) for value in column)
        for column in zip(*shown, strict=True)
    ] or [False] * len(widths)
    for row in (cells[0], ["-" * width for width in widths], *cells[1:]):
        columns = zip(row, widths, is_number, strict=True)
        say("  ".join(f"{cell:{'>' if right else '<'}{w}}" for cell, w, right in columns).rstrip())
    rows = f"{len(shown):,} row" + "s" * (len(shown) != 1)
    say(f"({rows}{f', and {more:,} more: --csv or --json shows all' if more else ''})")


def _in_json(value: Any) -> Any:
    """*value* in JSON: exact decimals as strings, times with a Z, what is no number as null.

    DuckDB's infinite times arrive as the first and the last moment that Python has.
    """
    match value:
        case float():
            return value if math.isfinite(value) else None
        case None | bool() | int() | str():
            return value
        case Decimal():
            return f"{value:f}"
        case datetime() if value.replace(tzinfo=UTC) in _INFINITE:
            return None
        case datetime():
            return rfc3339(value if value.tzinfo else value.replace(tzinfo=UTC))
        case date() | time():
            return value.isoformat()
        case timedelta():
            return _interval(value)
        case list() | tuple():
            return [_in_json(each) for each in value]
        case dict():
            return {str(key): _in_json(each) for key, each in value.items()}
        case bytes():
            return value.hex()
        case _:
            return str(value)


def _interval(value: timedelta) -> str:
    """*value* as DuckDB writes it: days, and a clock that may be above or below zero."""
    sign, length = ("-", -value) if value < timedelta(0) else ("", value)
    days = f"{sign}{length.days} day{'s' * (length.days != 1)}"
    minutes, seconds = divmod(length.seconds, 60)
    fraction = f".{length.microseconds:06}".rstrip("0") if length.microseconds else ""
    clock = f"{sign}{minutes // 60:02}:{minutes % 60:02}:{seconds:02}{fraction}"
    if not length.days:
        return clock
    return f"{days} {clock}" if length - timedelta(length.days) else days


def _in_text(value: Any) -> str:
    plain = _in_json(value)
    if plain is None:
        return ""
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _in_cell(value: Any) -> str:
    """*value* in one line of a terminal, which no character of it can command."""
    text = _in_digits(value) if isinstance(value, float) else _in_text(value)
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= WIDEST_CELL else f"{text[: WIDEST_CELL - 1]}…"


def _in_digits(value: float) -> str:
    """*value* to six decimals or, below 1, to six digits; exponents are for extreme sizes alone.

    Sums of dollars and contracts have at most six decimals, so a reader sees all of one, up to the
    fifteen digits that a float is exact to.
    """
    size = abs(value)
    if 1 <= size < 1e12:
        decimals = min(6, 14 - int(math.log10(size)))
        return f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    if 1e-9 <= size < 1:
        return f"{Decimal(f'{value:.6g}'):f}"
    return f"{value:.6g}"


# DuckDB's own shell


def open_shell(database: Database) -> NoReturn:
    """Become DuckDB's shell on the published file, to read, in UTC.

    Raises `DatabaseError` where there is no file, or no shell.
    """
    with database.reading():
        pass
    shell = Path(sys.executable).with_name("duckdb")
    if not shell.is_file():
        raise DatabaseError(
            "DuckDB's shell is not installed: in a checkout of rfq, pip install '.[shell]'"
        )
    arguments = [str(shell), "-readonly", "-cmd", "set timezone = 'UTC'", str(database.path)]
    os.execv(shell, arguments)  # noqa: S606 -- the shell that is installed beside us
