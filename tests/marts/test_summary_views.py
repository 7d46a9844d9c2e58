"""Sums of the marts that the published file holds ready as views."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tests.metrics.markets import (
    at,
    cancelled_quote,
    closed_rfq,
    executed_quote,
    moment,
    read_at,
    rfq,
)
from transforms.build import build
from transforms.catalogue import describe
from transforms.marts import MARTS
from transforms.marts.my_quotes import LATENCIES, latency_bucket
from transforms.metrics.objects import load_objects
from transforms.settings import Settings

DAY_S = 86_400
MONDAY, TUESDAY = date(2026, 5, 4), date(2026, 5, 5)
LEGS = [{"market_ticker": "A", "side": "yes"}, {"market_ticker": "B", "side": "no"}]
COMBO = {"mve_collection_ticker": "KXMVE-R", "mve_selected_legs": LEGS}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Monday: three singles of two series, one filled, and a combo. Tuesday: one filled, one young.

    Maker A answers 1 s after an RFQ, B 3 s after it; of A's two accepts both executed.
    """
    rfqs = [
        closed_rfq("r1", 0, 30, market_ticker="KXTEST-26-A"),
        closed_rfq("r2", 60, 90, market_ticker="KXTEST-26-B"),
        closed_rfq("r3", 120, 150, market_ticker="KXRAIN-26-A"),
        closed_rfq("c1", 180, 210, market_ticker="KXMVE-26-1", **COMBO),
        closed_rfq("r4", DAY_S, DAY_S + 30, market_ticker="KXTEST-26-A"),
        rfq("r5", DAY_S + 900, market_ticker="KXTEST-26-A"),
    ]
    quotes = [
        executed_quote("a1", "r1", 1),
        cancelled_quote("b1", "r1", 3, creator_id="B"),
        cancelled_quote("b2", "r2", 63, creator_id="B"),
        cancelled_quote("a3", "c1", 181, market_ticker="KXMVE-26-1"),
        executed_quote("a4", "r4", DAY_S + 1),
    ]
    made = tmp_path_factory.mktemp("views") / "published.duckdb"
    end_s = DAY_S + 1000
    with duckdb.connect(made) as connection:
        load_objects(connection, read_at(end_s, rfqs), read_at(end_s, quotes))
        build(connection, MARTS, Settings(as_of=moment(at(end_s)), viewer_id="desk"))
        describe(connection)
    return made


@pytest.fixture(scope="module")
def database(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file as one of several that a reader has attached, under a name of the reader's own."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{path}' as desk (read_only)")
        yield connection


def test_each_day_has_its_fill_rate_singles_and_combos_apart(database):
    """Monday 1 of 3 singles and 0 of 1 combo; Tuesday 1 of 1, and one RFQ too young to count."""
    found = database.execute(
        "select cohort_date, is_combo, n_rfq, n_immature, n_censored, fill_rate_matured_numerator,"
        " fill_rate_matured_denominator, fill_rate_matured from desk.marts.fill_rate_daily"
    ).fetchall()

    assert found == [
        (MONDAY, False, 3, 0, 0, 1, 3, pytest.approx(1 / 3)),
        (MONDAY, True, 1, 0, 0, 0, 1, 0.0),
        (TUESDAY, False, 2, 1, 1, 1, 1, 1.0),
    ]


def test_the_interval_of_a_day_is_wilsons(database):
    """1 of 3: (1/3 + 1.92/3 -+ 1.96 sqrt(2/27 + 0.9604/9)) / (1 + 3.84/3) = 0.0615 and 0.7923."""
    found = database.execute(
        "select fill_rate_matured_low, fill_rate_matured_high from desk.marts.fill_rate_daily"
        " where cohort_date = '2026-05-04' and not is_combo"
    ).fetchall()

    assert found == [(pytest.approx(0.0615, abs=5e-5), pytest.approx(0.7923, abs=5e-5))]


def test_each_series_has_its_fill_rate_over_all_days(database):
    """KXTEST: r1 and r4 filled of r1, r2 and r4, and r5 too young."""
    found = database.execute(
        "select series_ticker, is_combo, n_rfq, fill_rate_matured_numerator,"
        " fill_rate_matured_denominator from desk.marts.fill_rate_by_series"
    ).fetchall()

    assert found == [
        ("KXTEST", False, 4, 2, 3),
        ("KXMVE", True, 1, 0, 1),
        ("KXRAIN", False, 1, 0, 1),
    ]


def test_each_maker_has_its_latencies_over_all_markets(database):
    """A answers two singles and a combo after 1 s, confirms after 2 s, is executed 15 s later."""
    found = database.execute(
        "select maker_id, is_combo, clock, capture, n, latency_p50_s, latency_p90_s"
        " from desk.marts.latency_by_maker"
    ).fetchall()

    def about(seconds: float) -> object:
        return pytest.approx(seconds, rel=0.01)

    assert found == [
        ("A", False, "confirm", "every", 2, about(2), None),
        ("A", False, "execute", "every", 2, about(15), None),
        ("A", False, "response", "late", 2, about(1), None),
        ("A", True, "response", "late", 1, about(1), None),
        ("B", False, "response", "late", 2, about(3), None),
    ]


# Buckets


@pytest.mark.parametrize("latency_s", [0.0, 0.49, 0.5, 0.99, 1.0, 2.0, 4.9, 5.0, 29.9, 30.0, 1e6])
def test_a_latency_falls_into_the_bucket_of_the_mart(
    database: duckdb.DuckDBPyConnection, latency_s: float
) -> None:
    of_mart = pl.select(response_latency_s=latency_s).select(latency_bucket()).item()

    found = database.execute("select desk.marts.latency_bucket($1)", [latency_s]).fetchall()

    assert found == [(of_mart,)]


def test_buckets_are_ordered_by_where_they_begin(database: duckdb.DuckDBPyConnection) -> None:
    def starts(names: Sequence[str]) -> list[float | None]:
        query = "select desk.marts.bucket_start($1)"
        return [database.execute(query, [name]).fetchall()[0][0] for name in names]

    assert starts(LATENCIES) == [0, 0.5, 1, 2, 5, 30]
    assert starts(["under $10 target cost", "$10-$50 target cost"]) == [0, 10]
    assert starts(["1-10 contracts", "5000+ contracts", "unknown"]) == [1, 5000, None]
