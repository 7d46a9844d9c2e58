"""What follows the question mark of a page's address, and what of it this data knows.

A value that the file does not hold is named, and the page is of it all the same: it is empty then,
and not of everything. What is no value at all (a day like `tomorrow`) is named and left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TypeVar
from urllib.parse import quote, urlencode

import duckdb

from notebooks.report.scope import Chosen
from notebooks.report.window import PageError, Unit, Window, Zone, cut, read_day, window

CONTROLS = (
    "since", "until", "series", "market", "legs", "size",
    "role", "maker", "rfq_id", "unit", "zone", "sort",
)  # fmt: skip
_LONGEST = 10_000
_Kind = TypeVar("_Kind", bound=StrEnum)
_Default = TypeVar("_Default")
# Where a value is looked up; the legs of an RFQ are numbers.
_HELD = {
    "series": ("series_ticker", ("rfq_facts", "quote_facts")),
    "market": ("market_ticker", ("rfq_facts", "quote_facts")),
    "size": ("size_bucket", ("rfq_facts", "quote_facts")),
    "legs": ("n_legs::varchar", ("rfq_facts", "quote_facts")),
    "maker": ("maker_id", ("makers",)),
    "rfq_id": ("rfq_id", ("rfq_facts", "quote_facts")),
}
_NAMED = {
    "series": "series",
    "market": "market",
    "size": "size",
    "legs": "number of legs",
    "maker": "maker",
    "rfq_id": "RFQ",
}


class Role(StrEnum):
    """Whose figures are shown."""

    REQUESTER = "requester"
    MAKER = "maker"


class Sort(StrEnum):
    """By what the league of makers is sorted."""

    WON = "won"
    HIT_RATIO = "hit_ratio"
    QUOTED = "quoted"
    ANSWER = "answer"
    SPREAD = "spread"
    LAPSES = "lapses"


@dataclass(frozen=True, slots=True)
class Address:
    """What an address asks for. `problems` names what of it makes no sense here."""

    window: Window
    chosen: Chosen
    unit: Unit
    role: str | None
    rfq_id: str | None
    sort: Sort
    given: Mapping[str, str]
    problems: tuple[str, ...]

    def link(self, page: str, **changed: str | None) -> str:
        """The address of a page with the same controls but for those *changed*."""
        kept = {k: v for k, v in {**self.given, **changed}.items() if v}
        return f"../{page}/{question(kept)}"


def question(controls: Mapping[str, str]) -> str:
    """The controls as they stand in an address."""
    return f"?{urlencode(controls, quote_via=quote, safe=',')}" if controls else ""


def given_of(params: Mapping[str, object]) -> dict[str, str]:
    """The controls of an address; one that stands twice counts as it stands last."""
    found = {}
    for name in CONTROLS:
        value = params.get(name)
        text = str(value[-1] if isinstance(value, list) and value else value or "").strip()
        # DuckDB takes no text with a NUL in it.
        if text:
            found[name] = text.replace("\0", "�")[:_LONGEST]
    return found


def read(
    connection: duckdb.DuckDBPyConnection, params: Mapping[str, object], own: tuple[str, ...] = ()
) -> Address:
    """What *params* ask of the file behind *connection*; *own* are names that are not controls."""
    given, problems = given_of(params), []
    unknown = [name for name in params if name not in (*CONTROLS, *own)]
    problems += [f"“{cut(name)}” is no control of this page." for name in unknown]
    zone = _one_of(Zone, given, "zone", Zone.NEW_YORK, problems)
    unit = _one_of(Unit, given, "unit", Unit.CENTS, problems)
    role = _one_of(Role, given, "role", None, problems)
    sort = _one_of(Sort, given, "sort", Sort.WON, problems)
    legs = _legs(given.get("legs", ""), problems)
    held = {name: [given[name]] for name in _HELD if name in given and name != "legs"}
    for name, values in (held | {"legs": [str(n) for n in legs]}).items():
        for value in values:
            if not _is_held(connection, name, value):
                problems.append(f"{_NAMED[name]} “{cut(value)}” is not in this file.")
    days = _window(connection, given, zone, problems)
    chosen = Chosen(
        *(given.get("series"), given.get("market"), legs, given.get("size"), given.get("maker"))
    )
    return Address(
        *(days, chosen, unit, role, given.get("rfq_id"), sort, given, tuple(problems)),
    )


def _one_of(
    kind: type[_Kind],
    given: Mapping[str, str],
    name: str,
    default: _Default,
    problems: list[str],
) -> _Kind | _Default:
    if name not in given:
        return default
    try:
        return kind(given[name])
    except ValueError:
        known = ", ".join(kind)
        problems.append(f"{name} “{cut(given[name])}” is none of {known}.")
        return default


def _legs(text: str, problems: list[str]) -> tuple[int, ...]:
    found = []
    for each in filter(None, (part.strip() for part in text.split(","))):
        if each.isdecimal() and len(each) < 10:
            found.append(int(each))
        else:
            problems.append(f"number of legs “{cut(each)}” is no number like 1,2.")
    return tuple(dict.fromkeys(found))


def _is_held(connection: duckdb.DuckDBPyConnection, name: str, value: str) -> bool:
    column, tables = _HELD[name]
    return any(
        connection.execute(
            f"select 1 from marts.{table} where {column} = $1 limit 1", [value]
        ).fetchall()
        for table in tables
    )


def _window(
    connection: duckdb.DuckDBPyConnection, given: Mapping[str, str], zone: Zone, problems: list[str]
) -> Window:
    """The days; those that make no sense are left out, and so the last complete day is shown."""
    ((as_of,),) = connection.execute("select as_of from marts.build_info").fetchall()
    days: dict[str, date | None] = {}
    for name in ("since", "until"):
        try:
            days[name] = read_day(given[name]) if name in given else None
        except PageError as error:
            days[name] = None
            problems.append(f"{name}: {cut(str(error), 100)}; it is left out.")
    try:
        return window(as_of, days["since"], days["until"], zone)
    except (PageError, OverflowError):
        problems.append(
            f"since {days['since']} is not before until {days['until']}, the day after the last:"
            " the last complete day is shown."
        )
        return window(as_of, None, None, zone)
