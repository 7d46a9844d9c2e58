"""The examples of `rfq sql`: each answers its question, in six lines, in both DuckDBs."""

import csv
import json
import math
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from pipelines.commands.sql import examples
from tests.notebooks.conftest import ACCOUNTS
from tests.running import Command

EXPECTED = Path(__file__).parent / "expected"
SHELL = Path(sys.executable).with_name("duckdb")
NAMES = (
    *("fill_rate_by_day", "fill_rate_by_series", "fill_rate_by_legs", "fill_rate_by_size"),
    *("incidence_30s", "died_where", "abandoned", "time_to_fill"),
    *("spread_by_size", "spread_by_price", "spread_by_makers", "cover_by_day"),
    *("passed_over", "second_best_cost", "worst_executions", "hardest_legs"),
    *("latency_by_maker", "latency_fill_rate", "lapse_by_maker", "hold_time"),
    *("maker_league", "concentration", "lost_quotes", "tightest_losses"),
    *("my_hit_ratio", "my_unquoted", "my_lapses", "hour_of_week"),
    *("day_is_whole", "one_rfq"),
)


def is_same(one: Any, other: Any) -> bool:
    """Whether two cells are equal; sums of floats may come in another order."""
    try:
        return math.isclose(float(one), float(other), rel_tol=1e-9, abs_tol=1e-12)
    except (TypeError, ValueError):
        return str(one) == str(other)


def are_same(some: list[list[Any]], others: list[list[Any]]) -> bool:
    return len(some) == len(others) and all(
        len(one) == len(other) and all(map(is_same, one, other))
        for one, other in zip(some, others, strict=True)
    )


def test_there_are_thirty_questions_of_at_most_six_lines():
    found = examples()

    assert tuple(found) == NAMES
    for each in found.values():
        assert each.question.endswith(("?", ".)", "?)", ")")), each.name
        assert len(each.sql.strip().splitlines()) <= 6, each.name
        assert each.sql.strip().endswith(";"), each.name
        assert "order by" in each.sql, each.name


@pytest.mark.parametrize("account", ACCOUNTS)
def test_each_answers_what_is_expected_of_seed_1(
    seed_one: dict[str, Path], account: str, rfq: Command
) -> None:
    """`expected/` holds what each answered when its rows were looked at one by one."""
    wrong = {}
    for name in NAMES:
        ended = rfq("sql", "--example", name, "--csv", "--database", seed_one[account])
        assert (ended.code, ended.err) == (0, ""), name
        expected = (EXPECTED / account / f"{name}.csv").read_text()
        if not are_same(*(list(csv.reader(StringIO(text))) for text in (ended.out, expected))):
            wrong[name] = ended.out

    assert wrong == {}


@pytest.mark.parametrize("account", ACCOUNTS)
def test_the_shell_of_an_older_duckdb_answers_the_same(
    seed_one: dict[str, Path], account: str
) -> None:
    """One shell for all of them: an array of JSON each."""
    found = list(examples().values())
    queries = [part for each in found for part in ("-c", each.sql)]

    said = subprocess.run(
        [SHELL, "-readonly", "-csv", "-cmd", "set timezone = 'UTC'", seed_one[account], *queries],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    expected = "".join((EXPECTED / account / f"{each.name}.csv").read_text() for each in found)
    told = [[as_we_write(cell) for cell in row] for row in csv.reader(StringIO(said))]
    assert are_same(told, list(csv.reader(StringIO(expected))))


def as_we_write(cell: str) -> str:
    """A time as RFC 3339 has it, which DuckDB's shell writes with a space and an offset."""
    if cell.endswith("+00") and cell[10:11] == " ":
        moment = cell.removesuffix("+00").replace(" ", "T")
        whole, _, fraction = moment.partition(".")
        return f"{whole}.{fraction:0<6}Z"
    return "" if cell == "NULL" else cell


def answers(rfq: Command, database: Path, name: str) -> list[dict[str, Any]]:
    ended = rfq("sql", "--example", name, "--json", "--database", database)
    assert ended.code == 0, ended.err
    found: list[dict[str, Any]] = json.loads(ended.out)
    return found


def test_a_desk_finds_what_was_worked_by_hand(rfq: Command, by_hand: dict[str, Path]) -> None:
    """Of three matured singles one filled in 27 s and one too late; the combo did not."""
    desk = by_hand["desk"]

    by_legs = answers(rfq, desk, "fill_rate_by_legs")
    assert [(row["n_legs"], row["n_filled"], row["n"]) for row in by_legs] == [(1, 1, 4), (2, 0, 1)]
    assert by_legs[0]["fill_rate_matured"] == 0.25
    died = {(row["role"], row["bucket"]): row["n_rfq"] for row in answers(rfq, desk, "died_where")}
    assert died["requester", "executed_in_time"] == died["requester", "executed_later"] == 1
    assert answers(rfq, desk, "time_to_fill") == [
        {"is_combo": False, "n": 2, "p50_s": 182.0, "p90_s": None, "p99_s": None},
        {"is_combo": True, "n": 0, "p50_s": None, "p90_s": None, "p99_s": None},
    ]
    found = {row["capture"]: row for row in answers(rfq, desk, "concentration")}
    # Live A answered two RFQs and B one: (2/3)² + (1/3)²; A executed all there was.
    assert found["live"]["hhi_rfqs_quoted"] == pytest.approx(5 / 9)
    assert {row["hhi_executed_contracts"] for row in found.values()} <= {1, None}


def test_a_maker_finds_what_was_worked_by_hand(rfq: Command, by_hand: dict[str, Path]) -> None:
    """It won one of two that were decided and watched, and let one of three accepts lapse."""
    maker = by_hand["maker"]

    live = [row for row in answers(rfq, maker, "my_hit_ratio") if row["capture"] == "live"]
    assert sum(row["n"] for row in live) == 2
    assert sum(row["n_won"] for row in live) == 1
    assert [row["rfq_id"] for row in answers(rfq, maker, "my_lapses")] == ["lapsed"]
    (lapses,) = answers(rfq, maker, "lapse_by_maker")
    assert (lapses["n"], lapses["n_lapses"], lapses["lapse_rate"]) == (2, 1, 0.5)
    assert [row["n_rfq_unquoted"] for row in answers(rfq, maker, "my_unquoted")] == [1]
