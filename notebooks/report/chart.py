"""A chart: its rows by a query, what is drawn of those rows alone, and what is said of them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import polars as pl

from notebooks.report.figures import MIN_N
from notebooks.report.scope import ask
from notebooks.report.window import seconds, short_id

# Series and makers that a chart has room for; the rows of the workbook and the pages have all.
MOST_ROWS = 12


@dataclass(frozen=True, slots=True)
class Chart:
    """Rows, the picture of them, and what the picture is and rests on."""

    name: str
    title: str
    note: str
    rows: pl.DataFrame
    picture: str | None
    section: str
    warnings: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """What a screen reader says in the place of the picture."""
        told = "; ".join(_told(row) for row in self.rows.head(MOST_ROWS).to_dicts())
        more = self.rows.height - MOST_ROWS
        rest = f"; and {more} more rows" if more > 0 else ""
        return f"{self.title}. {self.note} {told or 'Nothing to show'}{rest}."


@dataclass(frozen=True, slots=True)
class Wanted:
    """A chart to be made: its rows by *query*, its picture by *draw*."""

    name: str
    title: str
    note: str
    section: str
    query: str
    draw: Callable[[pl.DataFrame], str]
    n: str = "n"


def made(
    connection: duckdb.DuckDBPyConnection, wanted: Wanted, names: Mapping[str, str] | None = None
) -> Chart:
    """Ask for the rows of a chart, and draw it."""
    rows = ask(connection, wanted.query)
    if "id" in rows.columns:
        rows = _named(rows, names or {})
    return Chart(
        wanted.name,
        wanted.title,
        wanted.note,
        rows,
        wanted.draw(rows) if rows.height else None,
        wanted.section,
        tuple(_warnings(rows, wanted.n)),
    )


def _warnings(rows: pl.DataFrame, n: str) -> Iterator[str]:
    if n not in rows.columns or not rows.height:
        return
    thin = rows.filter(pl.col(n) < MIN_N).height
    if thin:
        of = f"{thin} of {rows.height}"
        yield f"{of} rows rest on fewer than {MIN_N}: not to be read alone."


def _named(rows: pl.DataFrame, known: Mapping[str, str]) -> pl.DataFrame:
    """Who it is by a name that is known, else by the first 8 characters of the id.

    Two of one name have their ids behind it: each row is somebody else.
    """
    names = [(known.get(id_) or short_id(id_), id_) for id_ in rows["id"]]
    times = Counter(name for name, _ in names)
    told = [f"{name} ({id_})" if times[name] > 1 else name for name, id_ in names]
    return rows.with_columns(pl.Series("id", told)).rename({"id": "who"})


def _told(row: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {told_cell(name, v)}" for name, v in row.items())


def told_cell(name: str, value: Any) -> str:
    """A cell as people read it, by what its column's name says it holds."""
    if value is None:
        return "–"
    if isinstance(value, float):
        if name.endswith(("rate", "ratio", "share", "low", "high", "incidence")):
            return f"{100 * value:.1f} %"
        if name.endswith("_s"):
            return seconds(value)
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
