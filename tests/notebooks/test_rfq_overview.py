"""The overview notebook runs against a published file and says what it shows."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.accounts import Shown, of_desk, of_maker
from tests.accounts import published as shown_to
from tests.marts.exchange_objects import (
    ExchangeObject,
    executed_quote_object,
    load,
    quote_object,
    rfq_object,
)
from tests.marts.facts import after
from transforms.build import build
from transforms.catalogue import describe
from transforms.marts import MARTS
from transforms.settings import Settings

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "rfq_overview.py"
AS_OF = after(3600)

LIVE_CHARTS = ("spread_chart", "latency_chart")
WATCHED = "watched of own RFQs by lifetime: 5-20 s -, 20-60 s 100%, 60-600 s -, longer -"

# Runs the notebook's cells as `python notebook` does, and prints the charts they made.
SHOW_CHARTS = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("notebook", sys.argv[1])
notebook = importlib.util.module_from_spec(spec)
spec.loader.exec_module(notebook)
shown = []
for database in sys.argv[2:]:
    sys.argv[1:] = ["--", "--database", database]
    _, made = notebook.app.run()
    shown.append({name: of.to_dict() for name, of in made.items() if name.endswith("_chart")})
print(json.dumps(shown))
"""


def published(path: Path, rfqs: list[ExchangeObject], quotes: list[ExchangeObject]) -> Path:
    with duckdb.connect(path) as connection:
        load(connection, rfqs, quotes, AS_OF)
        for served_s in (15, 80):
            connection.execute(
                "insert into raw.passes values ('received', $1, 1)", [after(served_s)]
            )
        build(connection, MARTS, Settings(as_of=AS_OF, viewer_id="requester"))
        describe(connection)
    return path


def execute(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def shown_by(*databases: Path) -> list[dict[str, Any]]:
    """The charts of the notebook over each database, as Vega-Lite, by one interpreter."""
    done = execute("-c", SHOW_CHARTS, NOTEBOOK, *databases)
    assert done.returncode == 0, done.stderr
    shown: list[dict[str, Any]] = json.loads(done.stdout)
    return shown


@pytest.fixture(scope="module")
def small_market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three RFQs: one filled, one quoted and closed, both watched, one too young to count."""
    rfqs = [rfq_object("r1"), rfq_object("r2", 60)]
    young = rfq_object("r3", 3500, status="open", updated_ts=after(3500))
    quotes = [executed_quote_object("q1", "r1"), quote_object("q2", "r2", 62, creator_id="B")]
    return published(tmp_path_factory.mktemp("market") / "rfq.duckdb", [*rfqs, young], quotes)


@pytest.fixture(scope="module")
def charts(small_market: Path) -> dict[str, Any]:
    """The charts of the small market, as Vega-Lite."""
    return shown_by(small_market)[0]


def test_every_chart_says_when_whose_and_how_many(charts):
    of_desk = {"fill_rate_chart", "spread_chart", "latency_chart"}
    assert set(charts) == of_desk | {"hit_ratio_chart", "outcome_chart", "arrival_chart"}
    for name, chart in charts.items():
        subtitle = " ".join(chart["title"]["subtitle"])
        assert "as of 2026-01-05 13:00:00 UTC" in subtitle
        assert "n = " in subtitle
        assert "censored" in subtitle
        if name in of_desk:
            assert "own RFQs" in subtitle
            assert "n = 2" in subtitle


ANSWERS: list[tuple[Shown, dict[str, tuple[int, int]], dict[tuple[str, str], int]]] = [
    (
        Shown("desk", *of_desk()),
        {},
        {
            ("requester", "executed_in_time"): 1,
            ("requester", "executed_later"): 1,
            ("requester", "abandoned"): 2,
            ("requester", "open"): 2,
            ("maker", "unwatched"): 1,
        },
    ),
    (
        Shown("A", *of_maker()),
        {"0.5-1 s": (0, 0), "1-2 s": (1, 1), "2-5 s": (0, 1)},
        {
            ("maker", "executed"): 1,
            ("maker", "accept_pending"): 1,
            ("maker", "lapsed"): 1,
            ("maker", "open"): 1,
            ("maker", "closed_unknown"): 1,
            ("maker", "not_quoted"): 1,
        },
    ),
    (
        Shown("nobody", of_maker()[0]),
        {},
        {("maker", "open"): 2, ("maker", "not_quoted"): 3, ("maker", "unwatched"): 1},
    ),
]


def test_each_kind_of_account_finds_its_answers(tmp_path):
    """A desk, a maker, and an account that neither asked nor quoted."""
    databases = [
        shown_to(tmp_path / f"{n}.duckdb", account).path for n, (account, *_) in enumerate(ANSWERS)
    ]

    for charts, (_, hits, outcomes) in zip(shown_by(*databases), ANSWERS, strict=True):
        demand_answers(charts, hits, outcomes)


def demand_answers(
    charts: dict[str, Any],
    hits: dict[str, tuple[int, int]],
    outcomes: dict[tuple[str, str], int],
) -> None:
    def rows(name: str) -> list[dict[str, Any]]:
        return next(iter(charts[name].get("datasets", {}).values()), [])

    won = {row["latency_bucket"]: (row["n_won"], row["n"]) for row in rows("hit_ratio_chart")}
    assert won == {bucket: of for bucket, of in hits.items() if of[1]}
    died = {(row["role"], row["bucket"]): row["n_rfq"] for row in rows("outcome_chart")}
    assert died == outcomes
    assert sum(row["n_rfq"] for row in rows("arrival_chart")) == sum(outcomes.values())


def test_beside_what_was_watched_stands_how_much_of_it(charts):
    """Both RFQs that are over lived for 20 to 60 s, and a pass was served in each one's time."""
    spread, latency = (charts[name]["title"]["subtitle"] for name in LIVE_CHARTS)

    assert spread[2:] == [WATCHED, "mean in cents 5.00 · weighted to all lifetimes 5.00"]
    assert latency[2:] == [WATCHED, "answered within 5 s 100.0% · weighted to all lifetimes 100.0%"]


def test_the_fill_rate_shown_is_of_matured_rfqs(charts):
    """One of the two matured ones was filled; the third is censored."""
    (rows,) = charts["fill_rate_chart"]["datasets"].values()

    assert [(row["n_filled"], row["n"], row["n_censored"], row["fill_rate"]) for row in rows] == [
        (1, 2, 1, 0.5)
    ]


def test_latencies_shown_are_those_of_each_maker(charts):
    (rows,) = charts["latency_chart"]["datasets"].values()

    shown = {row["maker"]: row["latency_s"] for row in rows}
    assert shown == {"A": pytest.approx(1.0, rel=0.01), "B": pytest.approx(2.0, rel=0.01)}


def test_an_empty_database_is_no_failure(tmp_path):
    done = execute(NOTEBOOK, "--", "--database", published(tmp_path / "rfq.duckdb", [], []))

    assert done.returncode == 0, done.stderr


def test_a_missing_database_says_what_to_do(tmp_path):
    done = execute(NOTEBOOK, "--", "--database", tmp_path / "none.duckdb")

    assert done.returncode == 1
    assert "run `rfq run`, or pass --database PATH" in done.stderr


def test_the_notebook_is_in_the_form_its_editor_keeps():
    done = execute("-m", "marimo", "check", "--strict", NOTEBOOK)

    assert done.returncode == 0, done.stdout
