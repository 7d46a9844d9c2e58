"""The page itself: one HTML file that needs nothing else, and shows no address and no script."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
from jinja2 import Environment, FunctionLoader, StrictUndefined

from notebooks.report.attention import Item, attention, verdicts
from notebooks.report.chart import Chart, told_cell
from notebooks.report.charts import charts
from notebooks.report.figures import Found, figures, values, written
from notebooks.report.scope import EVERYTHING, Scope
from notebooks.report.window import Unit, cut

_NOT_HERE = "fees, settlement, profit and loss, markouts, calibration, and the titles of markets"


@dataclass(frozen=True, slots=True)
class Page:
    """All that is said, before it is written down as a page or as a workbook."""

    scope: Scope
    unit: Unit
    as_of: datetime
    last_run: str
    verdict: str
    days: list[tuple[Any, str, str]]
    items: list[Item]
    found: list[Found]
    charts: list[Chart]
    notes: list[str]


def page_of(
    connection: duckdb.DuckDBPyConnection,
    scope: Scope,
    unit: Unit,
    last_run: str,
    role: str | None = None,
    names: Mapping[str, str] | None = None,
) -> Page:
    """Ask everything that a page says of *scope*."""
    found = values(connection, scope, figures(scope, unit))
    days = verdicts(connection, scope)
    return Page(
        scope,
        unit,
        scope.as_of,
        last_run,
        verdict_of([verdict for _, verdict, _ in days]),
        days,
        attention(connection, scope, found, unit),
        found,
        list(charts(connection, scope, unit, names)),
        list(notes(connection, scope, role)),
    )


def verdict_of(verdicts: Sequence[str]) -> str:
    """Missing where all days are, clean where all are, else partial."""
    if not verdicts or set(verdicts) == {"missing"}:
        return "missing"
    return "clean" if set(verdicts) == {"clean"} else "partial"


def notes(connection: duckdb.DuckDBPyConnection, scope: Scope, role: str | None) -> list[str]:
    """What is missing, and what to run for it."""
    ((n_now, n_before, n_quotes),) = connection.execute(
        "select count(*) filter (is_now), count(*) filter (not is_now),"
        " (select count(*) from quoted where is_now) from asked"
    ).fetchall()
    told = []
    whose = " of yours" if scope.shown == ("requester",) else ""
    is_chosen = scope.chosen != EVERYTHING or bool(scope.own and scope.own.only)
    if not n_now and is_chosen:
        told.append(
            f"No RFQ{whose} of {scope.window.named} meets what is chosen, so every figure is empty."
        )
    elif not n_now:
        told.append(
            f"No RFQ{whose} of {scope.window.named} is held, so every figure is empty. Data is"
            f" known up to {scope.as_of:%Y-%m-%d %H:%M} UTC: `rfq run` loads what is new,"
            f" `rfq backfill --since {scope.window.first}` reads a span again, and --since and"
            " --until choose other days."
        )
    elif not n_before:
        chosen = " of what is chosen" if is_chosen else ""
        told.append(f"Nothing{chosen} is held of the seven days before: figures stand alone.")
    if scope.window.until_ts > scope.as_of.astimezone(UTC):
        told.append(f"The window is not over: data ends at {scope.as_of:%Y-%m-%d %H:%M} UTC.")
    told += _missing_roles(scope, role)
    if n_now and not n_quotes and scope.shown:
        told.append("No quote is held of the window: `rfq run` loads those made and received.")
    for each in scope.shown:
        if n_now and scope.captures[each] == "late":
            told.append(
                "Nothing of the window was watched live: quote figures are of what was read late,"
                " and quotes may have vanished before. Run more often (pipelines/schedules)."
            )
            break
    if scope.own and (n_now or scope.own.only):
        told.append(_matched(connection, scope))
    return told


def _missing_roles(scope: Scope, role: str | None) -> list[str]:
    what = {
        "requester": "no RFQ of its own: figures of a desk need the key of one that asks",
        "maker": "no quote on an RFQ of somebody else: figures of a maker need the key of one",
    }
    if role and role not in scope.roles:
        return [f"This account has {what[role]}. Load with that key: `rfq run` (see `rfq doctor`)."]
    if not scope.roles:
        return [
            "This account has neither asked nor quoted: what there is of the market stands here."
        ]
    return []


def _matched(connection: duckdb.DuckDBPyConnection, scope: Scope) -> str:
    own = scope.own
    assert own is not None  # noqa: S101 -- only called with one
    view = "quoted" if own.key == "quote_id" else "asked"
    ((n, n_all),) = connection.execute(
        f"select count(*) filter (is_matched), count(*) from {view} where is_now"
    ).fetchall()
    told = (
        f"Your file has {own.n_rows:,} row{'s' * (own.n_rows != 1)} by {own.key};"
        f" {n:,} of {n_all:,} rows of the window match one."
    )
    if own.only:
        chosen = " and ".join(cut(each.replace("=", " is ", 1)) for each in own.only)
        told += f" Figures of RFQs and quotes are of its rows whose {chosen}, and of no others."
    if own.left_out:
        names = ", ".join(map(cut, own.left_out))
        told += f" Charts are of its first {len(own.tags)} columns, not of {names}."
    return told


# Writing it down


def html(page: Page) -> str:
    """The page as HTML; everything of the data is escaped."""
    sections: dict[str, list[Chart]] = {}
    for chart in page.charts:
        sections.setdefault(chart.section, []).append(chart)
    return rendered(
        "report.html",
        page=page,
        scope=page.scope,
        window=page.scope.window,
        sections=sections,
        written=lambda value, kind: written(value, kind, page.unit),
        cell=cell,
        rfc3339=rfc3339,
        slug=lambda text: text.lower().replace(" ", "-"),
        not_here=_NOT_HERE,
        range=range_of,
    )


def rendered(template: str, **said: Any) -> str:
    """A template of ours with *said* put in, every character of which is text."""
    return _templates().get_template(template).render(**said)


@cache
def _templates() -> Environment:
    folders = [files("notebooks.report"), files("notebooks.explore")]

    def source(name: str) -> str | None:
        found = (each / name for each in folders if (each / name).is_file())
        return next((each.read_text(encoding="utf-8") for each in found), None)

    return Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        loader=FunctionLoader(source),
    )


def range_of(found: Found, unit: Unit) -> str:
    """The least and the greatest of the days before."""
    if found.usual is None:
        return "–"
    low, high = (written(each, found.figure.kind, unit) for each in found.usual)
    return f"{low} – {high}"


def rfc3339(moment: datetime) -> str:
    """A moment in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def cell(name: str, value: Any) -> str:
    """A cell of a table, as short as a line."""
    return cut(told_cell(name, value))


def write(text: str | bytes, output: Path) -> None:
    """Put *text* in the place of *output*, whole or not at all, for its owner alone to read."""
    data = text.encode() if isinstance(text, str) else text
    with tempfile.NamedTemporaryFile(dir=output.parent, prefix=".rfq-", delete=False) as draft:
        try:
            draft.write(data)
            draft.flush()
            os.fsync(draft.fileno())
            Path(draft.name).replace(output)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise
