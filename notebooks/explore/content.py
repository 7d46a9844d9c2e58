"""A page as HTML: what is wrong with its address, its figures, and its charts with their SQL."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from notebooks.explore.address import CONTROLS, given_of, question, read
from notebooks.explore.opening import Published, Unreadable, told
from notebooks.explore.pages import PAGES, Page
from notebooks.explore.view import View
from notebooks.report.attention import attention, verdicts
from notebooks.report.chart import Chart, Wanted, made
from notebooks.report.figures import OF_RECORD, Found, figures, of_market, values, written
from notebooks.report.page import cell, notes, range_of, rendered, rfc3339, verdict_of
from notebooks.report.scope import open_scope
from notebooks.report.window import PageError

# So many rows stand in the page; the CSV beside them has all.
MOST_ROWS = 60
# What marimo itself puts into an address.
_OF_MARIMO = ("file", "session_id", "access_token", "show-chrome", "kiosk", "embed", "vscode")


@dataclass(frozen=True, slots=True)
class Block:
    """A chart, and the query of its rows as `rfq sql` takes it."""

    chart: Chart
    sql: str
    csv: str
    is_folded: bool


def head(page: Page, params: Mapping[str, object], *, is_served: bool = True) -> str:
    """The way to the other pages, which keeps the controls, and what this page answers.

    A page that `rfq explore` does not serve has no others beside it, and so no way to them.
    """
    asked = question(given_of(params))
    pages = list(PAGES.values())
    return rendered("head.html", page=page, pages=pages, question=asked, is_served=is_served)


def content(published: Published, page: Page, params: Mapping[str, object]) -> str:
    """What the page says of the open file, or why it says nothing."""
    if published.connection is None:
        return callout(published.problem or "There is nothing to show.")
    try:
        with told(published.source):
            return _content(published, published.connection, page, params)
    except (Unreadable, PageError) as error:
        return callout(str(error))


def callout(text: str) -> str:
    """A page that can say this alone."""
    return rendered("callout.html", text=text)


def _content(
    published: Published,
    connection: duckdb.DuckDBPyConnection,
    page: Page,
    params: Mapping[str, object],
) -> str:
    address = read(connection, params, _OF_MARIMO)
    scope = open_scope(
        connection,
        address.window,
        page.role or address.role,
        published.source.own_file,
        chosen=address.chosen,
        is_of_market=page.is_of_market,
    )
    view = View(connection, scope, address)
    wanted = list(page.charts(view))
    known = [of_market(scope), OF_RECORD] if page.is_of_market else figures(scope, address.unit)
    found = values(connection, scope, [each for each in known if page.shows(each.metric)])
    sections: dict[str, list[Block]] = {}
    for each in wanted:
        sections.setdefault(each.section, []).append(_block(view, page, each))
    days, served = verdicts(connection, scope), published.source.served
    return rendered(
        "content.html",
        page=page,
        address=address,
        scope=scope,
        window=scope.window,
        verdict=verdict_of([verdict for _, verdict, _ in days]),
        last_run=served.last_run() if served and page.name == "today" else "",
        notes=[*notes(connection, scope, page.role or address.role), *page.notes(view)],
        found=found,
        items=list(_linked(view, page, found, is_served=served is not None))
        if page.name == "today"
        else None,
        sections=sections,
        filters={name: address.given[name] for name in CONTROLS if name in address.given},
        picks=list(page.picks(view)),
        most=MOST_ROWS,
        cell=cell,
        rfc3339=rfc3339,
        range=range_of,
        written=lambda value, kind: written(value, kind, address.unit),
        slug=lambda text: text.lower().replace(" ", "-"),
    )


def _block(view: View, page: Page, wanted: Wanted) -> Block:
    chart = made(view.connection, wanted)
    csv = base64.b64encode(chart.rows.write_csv().encode()).decode()
    is_folded = wanted.name in page.folded
    return Block(chart, view.scope.in_full(wanted.query), f"data:text/csv;base64,{csv}", is_folded)


def _linked(
    view: View, page: Page, found: Sequence[Found], *, is_served: bool
) -> Iterator[tuple[str, str, str]]:
    """What needs attention, each with the page that has its chart; none where none is beside."""
    for item in attention(view.connection, view.scope, found, view.address.unit):
        name = item.place.removeprefix("chart-")
        holds = (each for each in PAGES.values() if name in each.holds)
        other = next(holds, page)
        way = "" if other is page else view.address.link(other.name)
        yield item.kind, item.text, f"{way}#{item.place}" if is_served or not way else ""
