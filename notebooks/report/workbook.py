"""The page as a workbook: sheets `status` and `summary`, and one of the rows behind each chart.

Cells are text or numbers and nothing else: no formula, no link, whatever they begin with. Times are
UTC without a zone, which the format does not have.
"""

from collections.abc import Iterator
from io import BytesIO

import polars as pl
import polars.selectors as cs
from xlsxwriter import Workbook

from notebooks.report.page import Page

# What the format allows a name of a sheet and the text of a cell.
_LONGEST_NAME, _LONGEST_TEXT = 31, 32_767
_OPTIONS = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "nan_inf_to_errors": True,
}


def workbook(page: Page) -> bytes:
    """The workbook, as the bytes of a file."""
    made = BytesIO()
    with Workbook(made, _OPTIONS) as book:
        for name, rows in sheets(page):
            sheet = book.add_worksheet(name[:_LONGEST_NAME])
            _plain(rows).write_excel(book, sheet, autofit=True, float_precision=6)
    return made.getvalue()


def sheets(page: Page) -> Iterator[tuple[str, pl.DataFrame]]:
    """The sheets by name: the rows of the charts are those of the page."""
    yield "status", _status(page)
    yield "summary", _summary(page)
    for chart in page.charts:
        yield chart.name, chart.rows


def _status(page: Page) -> pl.DataFrame:
    window = page.scope.window
    lines = {
        "window": window.named,
        "days": f"{window.zone.named}, {window.first} to before {window.until}",
        "as of (UTC)": f"{page.as_of:%Y-%m-%d %H:%M:%S}",
        "verdict": page.verdict,
        "last run": page.last_run,
        **{f"{day} (UTC)": f"{verdict} {why}".strip() for day, verdict, why in page.days},
        **{f"note {n}": note for n, note in enumerate(page.notes, 1)},
        **{f"attention {n}": item.text for n, item in enumerate(page.items, 1)},
    }
    return pl.DataFrame({"what": list(lines), "said": list(lines.values())})


def _summary(page: Page) -> pl.DataFrame:
    """Both periods of each figure. Prices and spreads are dollars (or log odds), shares ratios."""
    window = page.scope.window
    periods = (
        ("window", window.since_ts, window.until_ts),
        ("before", window.before_ts, window.since_ts),
    )
    rows = [
        {
            "metric": each.figure.metric,
            "title": each.figure.title,
            "period": period,
            "since_ts": since,
            "until_ts": until,
            "value": value.value,
            "n": value.n,
            "low": value.low,
            "high": value.high,
        }
        for each in page.found
        for (period, since, until), value in zip(periods, (each.now, each.before), strict=True)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _plain(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        cs.datetime(time_zone="*").dt.convert_time_zone("UTC").dt.replace_time_zone(None),
        cs.decimal().cast(pl.Float64),
        cs.string().str.slice(0, _LONGEST_TEXT),
    )
