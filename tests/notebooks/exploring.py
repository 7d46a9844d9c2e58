"""What the tests of the pages to explore share: a page without a browser, and its rows."""

from datetime import timedelta
from pathlib import Path

import polars as pl

from notebooks.explore.address import read
from notebooks.explore.content import content
from notebooks.explore.opening import Source, opened
from notebooks.explore.pages import PAGES
from notebooks.explore.view import View
from notebooks.report.chart import made
from notebooks.report.scope import open_scope
from tests.metrics.markets import MIDNIGHT
from tests.notebooks.written_pages import WrittenPage

DAY = MIDNIGHT.date()
TODAY = {"since": str(DAY), "until": str(DAY + timedelta(days=1)), "zone": "UTC"}


def written(path: Path, page: str, own: Path | None = None, **controls: str) -> WrittenPage:
    """What a page says at an address, and whether its SQL is there."""
    return WrittenPage(html(path, page, own, **controls))


def html(path: Path, page: str, own: Path | None = None, **controls: str) -> str:
    return content(opened(Source(path, own)), PAGES[page], controls)


def told(page: WrittenPage) -> str:
    return " ".join(" ".join(page.text).split())


def chart_rows(
    path: Path, page: str, chart: str, own: Path | None = None, **controls: str
) -> pl.DataFrame:
    found, of = opened(Source(path)), PAGES[page]
    assert found.connection is not None
    address = read(found.connection, TODAY | controls)
    scope = open_scope(
        *(found.connection, address.window, of.role, own),
        chosen=address.chosen,
        is_of_market=of.is_of_market,
    )
    view = View(found.connection, scope, address)
    (wanted,) = (each for each in PAGES[page].charts(view) if each.name == chart)
    return made(found.connection, wanted).rows
