"""The workbook holds what the page holds, as text and numbers alone."""

import re
import zipfile
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.metrics.markets import MIDNIGHT
from tests.notebooks.conftest import HOSTILE_TICKERS
from tests.notebooks.written_pages import WrittenPage
from tests.running import Command

NAMESPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
DAY = MIDNIGHT.date()
ONE_DAY = ("--since", DAY, "--until", DAY + timedelta(days=1), "--zone", "UTC")


def sheets(workbook: Path) -> dict[str, list[list[str]]]:
    """The cells of each sheet, as they are stored."""
    with zipfile.ZipFile(workbook) as parts:
        book = ElementTree.fromstring(parts.read("xl/workbook.xml"))  # noqa: S314 -- our own
        texts = [
            "".join(each.itertext())
            for each in ElementTree.fromstring(parts.read("xl/sharedStrings.xml"))  # noqa: S314
        ]
        found = {}
        for n, sheet in enumerate(book.iter(f"{NAMESPACE}sheet"), 1):
            part = ElementTree.fromstring(parts.read(f"xl/worksheets/sheet{n}.xml"))  # noqa: S314
            found[sheet.attrib["name"]] = [
                [_cell(cell, texts) for cell in row] for row in part.iter(f"{NAMESPACE}row")
            ]
    return found


def _cell(cell: ElementTree.Element, texts: list[str]) -> str:
    value = cell.findtext(f"{NAMESPACE}v") or ""
    return texts[int(value)] if cell.get("t") == "s" else value


@pytest.mark.parametrize("account", ["desk", "maker"])
def test_a_sheet_for_the_status_the_summary_and_each_chart(
    rfq: Command, seed_one: dict[str, Path], account: str, tmp_path: Path
) -> None:
    output, xlsx = tmp_path / "page.html", tmp_path / "page.xlsx"

    ended = rfq("report", "--output", output, "--xlsx", xlsx, "--database", seed_one[account])

    assert ended.code == 0, ended.err
    page, found = WrittenPage(output.read_text()), sheets(xlsx)
    assert list(found) == ["status", "summary", *(name[:31] for name in page.charts)]
    for name, chart in page.charts.items():
        assert len(found[name[:31]]) == 1 + chart.n_rows, name
    header, *rows = found["summary"]
    summary = {row[0]: row for row in rows if row[header.index("period")] == "window"}
    (metric, since), (value, n, _) = next(iter(page.figures.items()))
    assert float(summary[metric][header.index("value")]) == value
    assert int(summary[metric][header.index("n")]) == n
    assert {row[header.index("period")] for row in rows} == {"window", "before"}
    # A time is a number of days, which knows no zone.
    assert float(summary[metric][header.index("since_ts")]) > 40_000
    assert since.endswith("Z")
    assert xlsx.stat().st_mode & 0o777 == 0o600


def test_a_cell_is_text_whatever_it_begins_with(
    rfq: Command, hostile: Path, tmp_path: Path
) -> None:
    output, xlsx = tmp_path / "page.html", tmp_path / "page.xlsx"

    ended = rfq("report", "--output", output, "--xlsx", xlsx, "--database", hostile, *ONE_DAY)

    assert ended.code == 0, ended.err
    with zipfile.ZipFile(xlsx) as parts:
        written = " ".join(parts.read(name).decode() for name in parts.namelist())
        assert not any("hyperlink" in name or "external" in name for name in parts.namelist())
    assert not re.search(r"<f>|<f |hyperlink r:id", written)
    series = [row[0] for row in sheets(xlsx)["hits_by_series"]]
    for ticker in HOSTILE_TICKERS:
        begins = ticker.split("-")[0].split("\x1b")[0][:20]
        assert any(cell.startswith(begins) for cell in series), begins
