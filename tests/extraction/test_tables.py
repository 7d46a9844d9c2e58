"""The tables beside this file name tests and mutants that exist, and leave out none of a kind."""

import re
from pathlib import Path

import pytest

from tests.extraction import (
    test_drift_through_the_job,
    test_hazards_of_lists,
    test_hazards_of_records,
    test_hazards_of_time,
    test_mutants,
    test_schema_drift,
    test_sights,
    test_trouble,
    test_unreadable_rows,
)
from tests.extraction.test_mutants import MUTANTS

HERE = Path(__file__).parent
HAZARDS, DRIFT = 24, 22
OF_HAZARDS = (
    test_hazards_of_lists,
    test_hazards_of_records,
    test_hazards_of_time,
    test_sights,
    test_trouble,
    test_unreadable_rows,
)


def rows(table: str) -> list[list[str]]:
    """The cells of each numbered row."""
    lines = (HERE / table).read_text().splitlines()
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [cells for cells in split if cells[0].isdigit()]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


@pytest.mark.parametrize(("table", "count"), [("HAZARDS.md", HAZARDS), ("DRIFT.md", DRIFT)])
def test_every_case_has_its_row_with_a_decision_and_a_test(table: str, count: int) -> None:
    assert [int(cells[0]) for cells in rows(table)] == list(range(1, count + 1))
    assert all(all(cells) for cells in rows(table))
    assert all(quoted(cells[3]) for cells in rows(table))


def test_the_tests_of_the_hazards_and_their_mutants_exist() -> None:
    owned = {(number, mutant.__name__) for number, _, mutant in MUTANTS}
    listed = {(int(cells[0]), name) for cells in rows("HAZARDS.md") for name in quoted(cells[4])}

    tests = {name for cells in rows("HAZARDS.md") for name in quoted(cells[3])}

    found = {name.removeprefix("test_") for module in OF_HAZARDS for name in vars(module)}
    assert tests - found == set()
    assert listed == owned
    assert all(hasattr(test_mutants, name) for _, name in listed)


def test_the_tests_of_the_drift_exist_where_the_table_says() -> None:
    text = (HERE / "DRIFT.md").read_text()
    through_the_job = set(re.findall(r"\(job\) `(\w+)`", text))
    in_process = {n for cells in rows("DRIFT.md") for n in quoted(cells[3])} - through_the_job

    assert len(through_the_job) >= 3
    assert {n for n in in_process if not hasattr(test_schema_drift, f"test_{n}")} == set()
    assert {
        n for n in through_the_job if not hasattr(test_drift_through_the_job, f"test_{n}")
    } == set()
