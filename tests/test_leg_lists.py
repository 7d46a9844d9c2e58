"""Raw keeps the legs that the RFQs of a market share once, and staging shows them with each RFQ."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pipelines.kalshi.entities import RFQ
from pipelines.kalshi.leg_lists import LegLists
from tests.metrics.markets import MIDNIGHT, rfq
from tests.metrics.test_staging import LATER
from transforms.build import build
from transforms.marts import MARTS
from transforms.metrics.objects import load_objects
from transforms.raw import create_raw_tables

Leg = dict[str, Any]

A: Leg = {"event_ticker": "KXA-26", "market_ticker": "KXA-26-T", "side": "yes"}
B: Leg = {"event_ticker": "KXB-26", "market_ticker": "KXB-26-T", "side": "no"}
SETTLED = A | {"yes_settlement_value_dollars": Decimal("1.000000")}
ONE, OTHER = "KXMVE-S2026A-1", "KXMVE-S2026B-2"


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        create_raw_tables(connection)
        yield connection


def served(*rows: tuple[str | None, Sequence[Leg | None] | None]) -> pa.Table:
    """Versions as a load has read them, each of a market and its legs."""
    return pa.Table.from_pylist(
        [
            {
                **{"id": f"r{place}", "market_ticker": market, "mve_selected_legs": legs},
                **{"status": "open", "created_ts": MIDNIGHT, "version_hash": f"v{place}"},
                **{"observed_ts": MIDNIGHT, "observed_pass": "load", "load": 1},
            }
            for place, (market, legs) in enumerate(rows)
        ],
        schema=RFQ.version,
    )


def stored(connection: duckdb.DuckDBPyConnection) -> list[Any]:
    return connection.execute(
        "select market_ticker, mve_selected_legs, load from raw.leg_lists"
        " order by load, market_ticker, len(mve_selected_legs)"
    ).fetchall()


def test_a_list_is_stored_once_whichever_load_brings_it(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    lists = LegLists(connection)
    first = lists.kept_apart(served((ONE, [A, B]), (ONE, [A, B]), ("KXONE", None)), 1)
    second = lists.kept_apart(served((ONE, [A, B]), (OTHER, [A, B]), (ONE, [SETTLED, B])), 2)

    one, again, none = first.column("leg_list").to_pylist()
    assert (one, none) == (again, None)
    assert second.column("leg_list").to_pylist()[0] == one
    assert [(market, load) for market, _, load in stored(connection)] == [
        *((ONE, 1), (ONE, 2), (OTHER, 2)),
    ]


@pytest.mark.parametrize(
    "legs",
    [[], [None], [{}], [{"side": 'a "quoted" \\ side \x1f of lines\n'}], [SETTLED], [A, B] * 500],
)
def test_whatever_is_served_as_legs_is_stored_as_the_database_writes_it(
    connection: duckdb.DuckDBPyConnection, legs: list[Leg | None]
) -> None:
    versions = served((ONE, legs))
    connection.register("_served", versions)

    kept = LegLists(connection).kept_apart(versions, 1)

    as_served = connection.sql("select to_json(mve_selected_legs)::varchar from _served").fetchall()
    assert [(text,) for _, text, _ in stored(connection)] == as_served
    assert kept.column("leg_list").null_count == 0


@pytest.mark.parametrize("market", [None, "", "KX\x1fMVE"])
def test_a_market_of_any_name_has_lists(
    connection: duckdb.DuckDBPyConnection, market: str | None
) -> None:
    lists = LegLists(connection)
    for load in (1, 2):
        lists.kept_apart(served((market, [A])), load)

    ((shown, _, load),) = stored(connection)
    assert (shown or "", load) == (market or "", 1)


def test_two_loads_that_store_a_list_at_once_double_no_rfq(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    versions = served((ONE, [A, B]))
    with ThreadPoolExecutor(2) as both:
        lists = [LegLists(connection), LegLists(connection)]
        kept, _ = both.map(lambda each: each.kept_apart(versions, 1), lists)
    connection.execute("insert into raw.leg_lists from raw.leg_lists limit 1")
    connection.register("_kept", kept)
    connection.execute("insert into raw.rfq_versions by name from _kept")

    build(connection, MARTS, LATER)

    assert connection.sql("select rfq_id from staging.rfqs").fetchall() == [("r0",)]
    assert len(connection.sql("from staging.rfq_legs").fetchall()) == 2


def test_a_list_that_no_version_names_is_in_no_table(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """A load that was killed has stored it, whether the next build goes on or builds everything."""
    lists = LegLists(connection)
    connection.register("_kept", lists.kept_apart(served((ONE, [A])), 1))
    connection.execute("insert into raw.rfq_versions by name from _kept")
    lists.kept_apart(served((ONE, [B]), (OTHER, [B])), 2)

    build(connection, MARTS, LATER)

    assert connection.sql("select market_ticker from incremental.leg_lists").fetchall() == [(ONE,)]


def test_a_market_with_two_lists_is_counted_and_each_rfq_keeps_its_own(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    combo = {"mve_collection_ticker": "KXMVE-R"}
    served = {"r1": [A, B], "r2": [B, A], "r3": [SETTLED, B], "r4": []}
    rfqs = [
        rfq(each, market_ticker=ONE, mve_selected_legs=legs, **combo)
        for each, legs in served.items()
    ]
    rfqs.append(rfq("r5", market_ticker=OTHER, mve_selected_legs=[A], **combo))
    load_objects(connection, rfqs, [])

    build(connection, MARTS, LATER)

    checked = connection.sql(
        "select count, n_checked from marts.data_quality"
        " where check_name = 'market_of_two_leg_lists'"
    ).fetchall()
    shown = connection.sql(
        "select rfq_id, list(market_ticker order by position) from staging.rfq_legs"
        " group by all order by all"
    ).fetchall()
    assert checked == [(1, 2)]
    assert shown == [
        *(("r1", ["KXA-26-T", "KXB-26-T"]), ("r2", ["KXB-26-T", "KXA-26-T"])),
        *(("r3", ["KXA-26-T", "KXB-26-T"]), ("r5", ["KXA-26-T"])),
    ]
