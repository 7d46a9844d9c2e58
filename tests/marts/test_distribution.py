"""Histograms merge exactly and give quantiles within 1 %; sums are whole."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.benches.histogram_quantile import SUBQUERY_FORM
from transforms.catalogue import describe
from transforms.definitions.statistics import GROWTH, dollar_distribution, histogram, quantile

SECONDS = st.integers(min_value=0, max_value=10**10).map(lambda us: us / 1e6)
BOUND = (GROWTH - 1) / (GROWTH + 1)
"""Half a bin: 0.99 %."""

BINS = st.fixed_dictionaries(
    {"bin": st.integers(-2207, 2207), "n": st.integers(min_value=1, max_value=3)}
)

Bins = list[dict[str, int]]


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        describe(connection)
        connection.execute(SUBQUERY_FORM)
        yield connection


def bins(values: list[float]) -> Bins:
    frame = pl.DataFrame({"x": values}, schema={"x": pl.Float64})
    return frame.group_by(pl.lit(1)).agg(h=histogram(pl.col("x")))["h"].to_list()[0]


def merged_quantile(
    database: duckdb.DuckDBPyConnection,
    histograms: Sequence[Bins | None],
    q: float | None,
    macro: str = "marts.histogram_quantile",
) -> float | None:
    parameter = "$1::struct(bin integer, n bigint)[][]"
    query = f"select {macro}({parameter}, $2)"
    return database.execute(query, [histograms, q]).fetchall()[0][0]


@settings(deadline=None)
@given(st.lists(st.lists(SECONDS, min_size=1), min_size=1, max_size=4))
def test_histograms_of_parts_add_up_to_the_histogram_of_the_whole(parts):
    whole = bins([x for part in parts for x in part])

    added: dict[int, int] = {}
    for entry in (entry for part in parts for entry in bins(part)):
        added[entry["bin"]] = added.get(entry["bin"], 0) + entry["n"]

    assert added == {entry["bin"]: entry["n"] for entry in whole}


@settings(deadline=None)
@given(
    parts=st.lists(st.lists(SECONDS, min_size=1), min_size=1, max_size=3),
    q=st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]),
)
def test_the_quantile_of_merged_histograms_is_within_one_percent(database, parts, q):
    values = pl.Series([x for part in parts for x in part])
    exact = values.quantile(q, interpolation="linear")

    found = merged_quantile(database, [bins(part) for part in parts], q)

    assert exact is not None
    assert found == pytest.approx(exact, rel=BOUND + 1e-9, abs=1e-12)


@settings(deadline=None)
@given(st.lists(SECONDS, min_size=1))
def test_negative_values_mirror_positive_ones(values):
    mirrored = [{"bin": -entry["bin"], "n": entry["n"]} for entry in reversed(bins(values))]

    assert bins([-x for x in values]) == mirrored


@pytest.mark.parametrize(
    ("microseconds", "expected"),
    [(0, 0), (1, 1), (2, 37), (-1, -1), (1_000_000, 699)],
)
def test_bins_are_the_documented_ones(microseconds, expected):
    """1.02^35 < 2 <= 1.02^36, and 1.02^697 < 10^6 <= 1.02^698."""
    assert bins([microseconds / 1e6]) == [{"bin": expected, "n": 1}]


def test_missing_values_are_in_no_bin(database):
    frame = pl.DataFrame({"x": [None]}, schema={"x": pl.Float64})

    assert frame.select(h=histogram(pl.col("x")))["h"].to_list() == [[]]
    assert merged_quantile(database, [[]], 0.5) is None


@settings(deadline=None)
@given(
    histograms=st.lists(st.none() | st.lists(BINS, max_size=4), max_size=4),
    q=st.sampled_from([None, 0.0, 0.123, 0.5, 0.9, 0.99, 1.0]),
)
def test_the_form_over_lists_has_the_values_of_the_subquery(database, histograms, q):
    """Of bins at either end, of histograms that are empty or missing, and of no rank."""
    expected = merged_quantile(database, histograms, q, "main.subquery_quantile")

    found = merged_quantile(database, histograms, q)

    assert found == (None if expected is None else pytest.approx(expected, rel=1e-12))


@pytest.mark.parametrize("rank", ["0.5", "0.5::double", "0.5::decimal(3, 2)"])
def test_a_rank_between_two_values_is_between_them_however_it_is_spelt(database, rank):
    """Bins 1 and 36 stand for 2/2.02 and 2 x 1.02^35/2.02 millionths; half way between them."""
    query = "select marts.histogram_quantile([[{'bin': 1, 'n': 1}, {'bin': 36, 'n': 1}]], %s)"

    ((found,),) = database.execute(query % rank).fetchall()

    assert found == pytest.approx((1 + 1.02**35) / 2.02 / 1e6)


def test_a_hundred_thousand_parts_take_no_longer_than_their_bins_are_many(database):
    """The subquery would take minutes. A third of the values each in bins 100, 200 and 300."""
    query = (
        "select marts.histogram_quantile(list([{'bin': 100 * (1 + i % 3), 'n': 1}]), 0.5)"
        " from range(100_000) as t(i)"
    )

    ((found,),) = database.execute(query).fetchall()

    assert found == pytest.approx(2 * 1.02**199 / 2.02 / 1e6)


def test_quantiles_are_linear():
    """Of 1, 2, 3, 10 the median is 2.5, not the nearest value."""
    values = pl.DataFrame({"x": [1.0, 2.0, 3.0, 10.0]})

    assert values.select(quantile(pl.col("x"), 50)).item() == 2.5


def test_sums_of_dollars_do_not_depend_on_their_order():
    prices = [Decimal("0.1"), Decimal("0.2"), Decimal("0.3"), Decimal("0.000001")]
    frame = pl.DataFrame({"x": prices}, schema={"x": pl.Decimal(18, 6)})
    total = dollar_distribution("x")["x_sum_microdollars"]

    assert frame.select(total).item() == frame.reverse().select(total).item() == 600_001
