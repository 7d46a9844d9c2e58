"""What a killed load leaves behind: dlt stores its tables one by one, and notes it at the end."""

import json
from typing import Any

import duckdb
import pytest

from pipelines.destination import forget_old_loads
from pipelines.kalshi.extraction import Extraction
from pipelines.kalshi.moments import last_moments
from pipelines.kalshi.passes import Load, passes_of
from pipelines.kalshi.resources import RESOURCES, items
from pipelines.sandbox import ManualClock, Market
from pipelines.sandbox.accounts import Party
from tests.extraction.exchange_objects import MARKET, create_rfq
from tests.extraction.loading import Store, run
from tests.extraction.reading import InProcessReader
from tests.running import ignore
from transforms import incremental
from transforms.staging import view


def killed(store: Store, reader: Any, *stored: str) -> dict[str, Any]:
    """A load that was killed once the tables *stored* were; return its states, which were not."""
    extraction = Extraction(reader, store.connection, MARKET, "killed", "me", ignore)
    extraction.begin_load()
    load, states = Load(extraction, passes_of("market")), store.states
    for resource in RESOURCES:
        for item in items(load, resource, states.setdefault(resource, {})):
            if item.meta.hints["table_name"] in stored:
                store._commit([item])
    return states


def shown_late(store: Store) -> list[Any]:
    query = view("rfqs", "rfq_versions", "from raw.rfq_versions")
    known = {"$as_of": "'2027-01-01'::timestamptz", "$viewer_id": "null::varchar"}
    for parameter, value in known.items():
        query = query.replace(parameter, value)
    return store.rows(f"select rfq_id from ({query}) where is_shown_late")


def test_a_killed_load_has_read_nothing(
    store: Store, market: Market, clock: ManualClock, other: Party, reader: InProcessReader
) -> None:
    """Its reports say how far it read, and its rows may not be there."""
    run(store, reader, MARKET)
    before = last_moments(store.connection)
    clock.advance(60)
    create_rfq(market, other)
    clock.advance(600)

    killed(store, reader, "extraction_runs")

    assert last_moments(store.connection) == before
    run(store, reader, MARKET)
    assert len(store.current("rfqs")) == 1
    assert shown_late(store) == []


@pytest.mark.parametrize("goes_on", [True, False])
def test_what_a_killed_load_says_it_read_counts_once_the_next_goes_on_from_there(
    store: Store, reader: InProcessReader, clock: ManualClock, *, goes_on: bool
) -> None:
    """Else its rows are not there and, by the time that they are asked for again, may be gone."""
    run(store, reader, MARKET)
    clock.advance(600)
    states = killed(store, reader, "extraction_runs")
    if goes_on:
        store._states = json.dumps(states)
    clock.advance(2 * 86_400)
    run(store, reader, MARKET)

    incremental.execute(store.connection, "from_nothing")
    incremental.execute(store.connection, "read_stretches")
    stretches = store.rows(
        "select epoch(to_ts - from_ts) from read_stretches where pass = 'rfqs_market'"
        " order by from_ts"
    )
    retention_s = MARKET.retention.total_seconds()
    assert stretches == [(retention_s + 600 * goes_on,), (retention_s,)]


def test_states_of_killed_loads_do_not_push_out_the_one_to_restore() -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "create schema raw;"
            "create table raw._dlt_loads as select '1.0' as load_id, 0 as status;"
            "create table raw._dlt_pipeline_state as"
            " select n || '.0' as _dlt_load_id from range(1, 9) as t(n)"
        )

        forget_old_loads(connection)

        assert connection.execute("from raw._dlt_pipeline_state").fetchall() == [("1.0",)]
        assert connection.execute("from raw._dlt_loads").fetchall() == [("1.0", 0)]
