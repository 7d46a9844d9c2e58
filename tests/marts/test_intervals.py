"""Rates and Wilson intervals, against published values and in SQL."""

from collections.abc import Iterator

import duckdb
import polars as pl
import pytest

from transforms.catalogue import describe
from transforms.definitions.statistics import effective_n, rate, wilson

# Newcombe, Statistics in Medicine 17 (1998), table I, method 3: x, n, low, high.
PUBLISHED = [
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0000, 0.1611),
    (1, 29, 0.0061, 0.1718),
]


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        describe(connection)
        yield connection


def interval(x: float | None, n: float) -> tuple[float | None, float | None]:
    frame = pl.DataFrame({"x": [x], "n": [n]}, schema={"x": pl.Float64, "n": pl.Float64})
    low, high = wilson(rate(pl.col("x"), pl.col("n")), pl.col("n"))
    return frame.select(low=low, high=high).row(0)


@pytest.mark.parametrize(("x", "n", "low", "high"), PUBLISHED)
def test_the_wilson_interval_is_the_published_one(x, n, low, high):
    assert interval(x, n) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize(
    ("x", "n"), [(x, n) for x, n, *_ in PUBLISHED] + [(7, 7), (1, 1), (0.5, 20.5)]
)
def test_sql_and_polars_agree_on_the_interval(database, x, n):
    found = database.execute(
        "select marts.wilson_low($1, $2), marts.wilson_high($1, $2)", [x, n]
    ).fetchall()

    assert found == [(pytest.approx(interval(x, n)[0]), pytest.approx(interval(x, n)[1]))]


@pytest.mark.parametrize(("x", "n"), [(-0.5, 20), (20.5, 20), (0, -1), (None, 20)])
def test_what_is_no_share_has_no_interval_in_sql(database, x, n):
    query = "select marts.wilson_low($1, $2), marts.wilson_high($1, $2)"
    assert database.execute(query, [x, n]).fetchall() == [(None, None)]


def test_no_trials_have_no_rate_and_no_interval(database):
    assert interval(0, 0) == (None, None)
    assert database.execute("select marts.wilson_low(0, 0)").fetchall() == [(None,)]


def test_a_share_outside_the_unit_interval_has_no_interval():
    assert interval(3, 2) == (None, None)


def test_equal_weights_count_as_what_they_are():
    """Five weights of 7: (5 x 7)² / (5 x 49) = 5."""
    found = pl.select(n=effective_n(pl.lit(35), pl.lit(245))).item()

    assert found == 5.0
