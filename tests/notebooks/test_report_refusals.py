"""What is wrong or missing: each is said, with what to run, and nothing else is written over."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from notebooks.report.window import Unit
from tests.accounts import Shown, published
from tests.metrics.markets import closed_rfq
from tests.metrics.markets import rfq as rfq_object
from tests.notebooks.conftest import HOSTILE_TICKERS
from tests.notebooks.test_report import ONE_DAY, as_table, now
from tests.notebooks.written_pages import WrittenPage
from tests.running import Command, Ended


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--since", "2026-11-20", "--until", "2026-11-19"), 2, "is not before --until"),
        (("--since", "2026-11-20", "--until", "2026-11-20"), 2, "is not before --until"),
        (("--since", "yesterday"), 2, "no day like 2026-11-20"),
        (("--since", "0001-01-01"), 2, "no day of the exchange"),
        (("--until", "9999-12-31"), 2, "no day of the exchange"),
        (("--xlsx", "OUTPUT"), 2, "give two files"),
        (("--zone", "Mars"), 2, "Invalid value"),
        (("--unit", "pence"), 2, "Invalid value"),
        (("--role", "broker"), 2, "Invalid value"),
        (("--with", "nothing.csv"), 2, "nothing.csv"),
        (("--names", "nothing.csv"), 2, "nothing.csv"),
    ],
)
def test_wrong_usage_ends_with_2_and_writes_nothing(
    rfq: Command, desk: Path, tmp_path: Path, options: tuple[str, ...], code: int, said: str
) -> None:
    output = tmp_path / "page.html"
    given = [output if each == "OUTPUT" else each for each in options]

    ended = rfq("report", "--output", output, "--database", desk, *given)

    assert (ended.code, "Traceback" in ended.err) == (code, False)
    assert said in ended.err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("option", ["--output", "--xlsx"])
def test_a_page_takes_the_place_of_nothing_that_it_is_not(
    rfq: Command, desk: Path, tmp_path: Path, option: str
) -> None:
    """Neither of the database, nor of what is read for the page, nor of a pipe; and where one of
    two files cannot be written none is."""
    database, own = Path(shutil.copy(desk, tmp_path / "rfq.duckdb")), tmp_path / "own.csv"
    own.write_text("rfq_id\n")
    lock, pipe = tmp_path / "rfq.duckdb.lock", tmp_path / "pipe"
    lock.touch()
    os.mkfifo(pipe)
    link = tmp_path / "link.html"
    link.symlink_to(database)
    before = {path: (path.lstat().st_ino, path.lstat().st_size) for path in tmp_path.iterdir()}
    asked = ("report", "--database", database, "--with", own, "--output", tmp_path / "page.html")

    codes = {
        place.name: rfq(*asked, option, place).code
        for place in (database, own, lock, pipe, link, tmp_path / ("n" * 300))
    }

    assert codes.pop("n" * 300) == 78
    assert set(codes.values()) == {2}
    assert before == {
        path: (path.lstat().st_ino, path.lstat().st_size) for path in tmp_path.iterdir()
    }


def test_damage_that_is_found_while_reading_is_the_published_files(
    rfq: Command, desk: Path, tmp_path: Path
) -> None:
    whole = bytearray(desk.read_bytes())
    half = len(whole) // 2
    whole[half:] = bytes(len(whole) - half)
    (tmp_path / "rfq.duckdb").write_bytes(whole)

    asked = ("report", "--output", tmp_path / "page.html", "--database", tmp_path / "rfq.duckdb")
    ended = rfq(*asked, *ONE_DAY)

    assert ended.code == 65
    assert "rfq.duckdb is damaged: `rfq build --full-refresh` makes it anew" in ended.err


def test_no_file_an_older_one_and_no_folder_end_with_78(
    rfq: Command, desk: Path, tmp_path: Path
) -> None:
    def ended(database: Path, output: Path = tmp_path / "page.html") -> Ended:
        return rfq("report", "--output", output, "--database", database)

    assert ended(tmp_path / "none.duckdb").code == 78
    no_folder = ended(desk, tmp_path / "nowhere" / "page.html")
    assert (no_folder.code, "make it first" in no_folder.err) == (78, True)
    folder = ended(desk, tmp_path)
    assert (folder.code, "is a folder: give the path of a file" in folder.err) == (78, True)
    earlier = Path(shutil.copy(desk, tmp_path / "earlier.duckdb"))
    with duckdb.connect(earlier) as connection:
        as_table(connection, "rfq_facts")
        connection.execute("alter table marts.rfq_facts drop column outcome_bucket")
    older = ended(earlier)
    assert (older.code, "`rfq build` makes it anew" in older.err) == (78, True)
    assert not (tmp_path / "page.html").exists()


def test_a_missing_extra_is_named(
    rfq: Command, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "notebooks.report.page", None)
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    monkeypatch.delitem(__import__("sys").modules, "notebooks.report.page")

    ended = rfq("report", "--output", tmp_path / "page.html", "--database", desk)

    assert ended.code == 78
    assert "pip install '.[report]'" in ended.err


@pytest.mark.parametrize("unit", list(Unit))
def test_one_rfq_and_nothing_else_is_a_page(write_figures: Any, tmp_path: Path, unit: Unit) -> None:
    alone = published(tmp_path / "one.duckdb", Shown("desk", [rfq_object("only", 0)])).path

    page = write_figures(alone, *ONE_DAY, "--unit", unit)

    assert now(page)["n_rfq_own"] == (1, 1)
    of = "log_odds" if unit is Unit.LOGODDS else "dollars"
    assert now(page)[f"quote_spread_p50_{of}"] == (None, 0)
    assert "No quote is held of the window" in " ".join(page.text)


def test_an_account_that_did_nothing_reads_of_the_market(write: Any, tmp_path: Path) -> None:
    theirs = closed_rfq("theirs", 0, 30, creator_id="stranger")
    idle = published(tmp_path / "idle.duckdb", Shown("nobody", [theirs])).path

    page = write(idle, *ONE_DAY)

    assert "neither asked nor quoted" in " ".join(page.text)
    assert "arrivals" in page.charts
    assert now(page)["n_rfq"] == (1, 1)


def test_a_role_that_the_account_does_not_have_is_told(write_figures: Any, desk: Path) -> None:
    page = write_figures(desk, *ONE_DAY, "--role", "maker")

    told = " ".join(page.text)
    assert "no quote on an RFQ of somebody else" in told
    assert "rfq run" in told


def test_a_window_without_data_says_so_and_what_to_run(write_figures: Any, desk: Path) -> None:
    page = write_figures(desk, "--since", "2020-01-01", "--until", "2020-01-02")

    told = " ".join(page.text)
    assert "No RFQ of yours of Wednesday, 1 January 2020 is held" in told
    assert "rfq backfill --since 2020-01-01" in told
    assert all(value in (None, 0) for value, _, _ in page.figures.values())


def test_hostile_tickers_are_text(rfq: Command, hostile: Path, tmp_path: Path) -> None:
    """In the page and its descriptions: as text, cut."""
    output = tmp_path / "page.html"

    ended = rfq("report", "--output", output, "--database", hostile, *ONE_DAY)

    assert ended.code == 0, ended.err
    page = WrittenPage(output.read_text())
    assert "script" not in page.tags
    assert output.stat().st_size < 400_000
    assert max(map(len, page.text)) < 2_000
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", output.read_text())
    assert page.charts["hits_by_series"].n_rows == len(HOSTILE_TICKERS)
