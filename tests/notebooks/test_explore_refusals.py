"""What goes wrong on a page to explore: each thing is named on it, with what to do."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from notebooks.explore.address import read
from notebooks.explore.pages import NAMES
from tests.notebooks.conftest import HOSTILE_TICKERS
from tests.notebooks.exploring import DAY, TODAY, html, told, written
from tests.notebooks.written_pages import WrittenPage


@pytest.mark.parametrize(
    ("controls", "named"),
    [
        ({"series": "NOPE"}, "series “NOPE” is not in this file"),
        ({"market": "KX<script>"}, "market “KX<script>” is not in this file"),
        ({"legs": "1,99"}, "number of legs “99” is not in this file"),
        ({"legs": "two"}, "number of legs “two” is no number"),
        ({"size": "huge"}, "size “huge” is not in this file"),
        ({"maker": "nobody"}, "maker “nobody” is not in this file"),
        ({"rfq_id": "'; drop table"}, "RFQ “'; drop table” is not in this file"),
        ({"unit": "furlongs"}, "unit “furlongs” is none of cents"),
        ({"zone": "Mars"}, "zone “Mars” is none of"),
        ({"role": "king"}, "role “king” is none of"),
        ({"sort": "luck"}, "sort “luck” is none of"),
        ({"since": "tomorrow"}, "'tomorrow' is no day"),
        ({"since": "2026-02-30"}, "'2026-02-30' is no day"),
        ({"since": "2026-01-05", "until": "2026-01-05"}, "is not before until"),
        ({"sereis": "KX"}, "“sereis” is no control"),
        ({"market": "K" * 20_000}, "is not in this file"),
        ({"market": "a\0b"}, "is not in this file"),
    ],
)
def test_a_value_that_is_unknown_is_named(
    known: duckdb.DuckDBPyConnection, controls: dict[str, str], named: str
) -> None:
    problems = " ".join(read(known, controls).problems)

    assert named in problems
    assert len(problems) < 200


def test_what_is_unknown_stands_in_a_callout_as_text(both: Path) -> None:
    text = html(both, "today", market="<script>alert(1)</script>", since="tomorrow")

    assert "<script>" not in text
    assert text.count("data-problem>") == 2
    assert "market “<script>alert(1)</script>” is not in this file" in told(WrittenPage(text))


def test_what_is_not_in_the_file_is_empty_and_not_everything(both: Path) -> None:
    page = written(both, "fills", **TODAY, series="NOPE")

    assert "`rfq run` loads what is new" not in told(page)
    assert "meets what is chosen, so every figure is empty" in told(page)
    assert page.figures["n_rfq_own", f"{DAY}T00:00:00Z"][:2] == (0, 0)


def _make_nothing(path: Path) -> None:
    """There is no file."""


def _make_other(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("create table t (a int)")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_make_nothing, "does not exist: `rfq run` makes it"),
        (Path.touch, "is empty: `rfq run` makes it"),
        (Path.mkdir, "is no file"),
        (lambda path: path.write_text("no database" * 1000), "cannot be read"),
        (_make_other, "`rfq build` makes it anew"),
    ],
    ids=["none", "empty", "folder", "text", "other"],
)
@pytest.mark.parametrize("page", ["today", "rfq"])
def test_a_file_that_shows_nothing_says_what_to_run(
    tmp_path: Path, make: Any, said: str, page: str
) -> None:
    make(tmp_path / "rfq.duckdb")

    assert said in told(written(tmp_path / "rfq.duckdb", page))


def test_an_older_file_is_named_as_such(both: Path, tmp_path: Path) -> None:
    """One that lacks a table that a chart asks for."""
    path = tmp_path / "older.duckdb"
    path.write_bytes(both.read_bytes())
    with duckdb.connect(path) as connection:
        connection.execute("drop table marts.trust")

    assert "was published by an earlier version" in told(written(path, "trust"))


def test_a_file_of_ones_own_that_cannot_be_joined_is_named(both: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("rfq_id,fair_yes\na,0.5\na,0.6\n")

    assert "'a' stands in 2 rows" in told(written(both, "today", own))


def test_a_desk_on_the_makers_page_is_told_whose_it_is(by_hand: dict[str, Path]) -> None:
    page = written(by_hand["desk"], "maker", **TODAY)

    assert "this account has made none" in told(page)
    assert page.charts == {}


def test_one_rfq_and_nothing_else_is_a_page(one: Path) -> None:
    for page in NAMES:
        assert 'data-state="shown"' in html(one, page, **TODAY), page
        assert 'data-state="shown"' in html(one, page), page


def test_hostile_tickers_are_text(hostile: Path) -> None:
    for page in NAMES:
        text = html(hostile, page, **TODAY, market=HOSTILE_TICKERS[0])
        assert "<script" not in text, page
        assert "\x1b" not in text, page
        assert len(text) < 400_000, page
