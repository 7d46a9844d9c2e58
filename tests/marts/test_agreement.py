"""Summaries of a built database, added up in SQL, agree with its facts."""

from collections.abc import Iterator

import duckdb
import pytest

from tests.metrics.markets import at, cancelled_quote, closed_rfq, executed_quote, moment, read_at
from transforms.build import build
from transforms.catalogue import describe
from transforms.marts import MARTS
from transforms.metrics.objects import load_objects
from transforms.settings import Settings

HOUR_S = 3600


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Forty RFQs over two days and four markets; every fourth is filled, all kinds of quotes."""
    rfqs, quotes = [], []
    for i in range(40):
        created_s, rfq_id = i * HOUR_S, f"r{i}"
        rfqs.append(
            closed_rfq(rfq_id, created_s, created_s + 30, market_ticker=f"KXTEST-26-{i % 4}")
        )
        spread = f"0.{40 + i % 13}00"
        quotes.append(
            executed_quote(f"a{i}", rfq_id, created_s + 1)
            if i % 4 == 0
            else cancelled_quote(f"a{i}", rfq_id, created_s + 1, no_bid_dollars=spread)
        )
        one_sided = {"no_bid_dollars": "0.0000"} if i % 5 == 0 else {}
        crossed = {"yes_bid_dollars": "0.6000"} if i % 7 == 0 else {}
        changes = {"creator_id": "B"} | one_sided | crossed
        quotes.append(cancelled_quote(f"b{i}", rfq_id, created_s + 2 + i / 10, **changes))
    quotes.append(cancelled_quote("orphan", "never seen"))
    end_s = 41 * HOUR_S
    with duckdb.connect() as connection:
        load_objects(connection, read_at(end_s, rfqs), read_at(end_s, quotes))
        build(connection, MARTS, Settings(as_of=moment(at(end_s)), viewer_id="desk"))
        describe(connection)
        yield connection


def one_row(database: duckdb.DuckDBPyConnection, query: str) -> tuple[float, ...]:
    (row,) = database.execute(query).fetchall()
    return tuple(float(value) for value in row)


def test_fill_rates_add_up_to_the_facts(database):
    summed = one_row(
        database,
        "select sum(n_rfq), sum(fill_rate_matured_numerator), sum(fill_rate_matured_denominator),"
        " sum(fill_rate_contracts_all_numerator) from marts.fill_rates",
    )

    assert summed == one_row(
        database,
        "select count(*), count(*) filter (state = 'executed' and time_to_fill_s <= 300),"
        " count(*) filter (is_matured), sum(executed_contracts) from marts.rfq_facts",
    )
    assert summed[:2] == (40, 10)


def test_quote_spreads_add_up_to_the_facts(database):
    summed = one_row(
        database,
        "select sum(n_spread), sum(quote_spread_sum_microdollars) / 1e6, sum(n_self_crossed),"
        " sum(n_composite), sum(cover_distance_sum_microdollars) / 1e6 from marts.quote_spreads",
    )

    quotes = one_row(
        database,
        "select count(quote_spread), sum(quote_spread), count(*) filter (is_self_crossed)"
        " from marts.quote_facts where is_effective",
    )
    rfqs = one_row(
        database,
        "select count(composite_spread), coalesce(sum(cover_distance), 0) from marts.rfq_facts",
    )
    assert summed == pytest.approx((*quotes, *rfqs))


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9, 0.99])
def test_merged_quantiles_are_within_one_percent_of_the_facts(database, q):
    merged = one_row(
        database,
        f"select marts.histogram_quantile(list(latency_histogram), {q})"
        " from marts.response_latencies where clock = 'response'",
    )

    assert merged == pytest.approx(
        one_row(database, f"select quantile_cont(response_latency_s, {q}) from marts.quote_facts"),
        rel=0.01,
    )


def test_makers_and_funnel_count_what_the_facts_hold(database):
    assert one_row(
        database, "select sum(n_rfq_won), sum(executed_contracts) from marts.makers"
    ) == one_row(
        database,
        "select count(*), sum(executed_contracts) from marts.rfq_facts where state = 'executed'",
    )
    assert one_row(database, "select sum(n_rfq), sum(n_executed) from marts.funnel") == (40, 10)


@pytest.mark.parametrize(
    ("mart", "grain"),
    [
        ("fill_rates", "cohort_date, market_ticker, visibility, n_legs, size_bucket"),
        (
            "quote_spreads",
            "cohort_date, market_ticker, visibility, n_legs, size_bucket, capture, maker_id",
        ),
        (
            "response_latencies",
            "cohort_date, market_ticker, visibility, n_legs, size_bucket, capture, maker_id, clock",
        ),
        ("makers", "maker_id, cohort_date, visibility, capture"),
        (
            "maker_league",
            "maker_id, cohort_date, capture, series_ticker, n_legs, size_bucket",
        ),
        ("lost_quotes", "quote_id"),
        ("outcomes", "role, cohort_date, bucket"),
        ("funnel", "cohort_date, n_legs"),
        ("activity", "hour_of_week"),
        ("data_quality", "check_name"),
    ],
)
def test_no_two_rows_share_a_grain(database, mart, grain):
    repeated = database.execute(
        f"select {grain} from marts.{mart} group by all having count(*) > 1"
    ).fetchall()

    assert repeated == []


def test_an_orphan_is_in_no_denominator(database):
    counted = database.execute(
        "select count, n_checked from marts.data_quality where check_name = 'orphan_quote'"
    ).fetchall()

    assert counted == [(1, 81)]
    assert one_row(database, "select sum(n_quotes) from marts.quote_spreads") == (80,)
