"""Profiles of the property test, and a market with its parties."""

import os
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, settings

from pipelines.kalshi import paging
from pipelines.kalshi.entities import Entity
from pipelines.kalshi.pages import Rows, read_pages
from pipelines.sandbox import ManualClock, Market
from pipelines.sandbox.accounts import Party, stranger
from tests.extraction.loading import Store, empty_market
from tests.extraction.reading import InProcessReader

COMMON = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "stateful_step_count": 6,
    "print_blob": True,
}
# So many of each of the two machines at night. Both take a core for an hour and three quarters.
HISTORIES = int(os.environ.get("RFQ_HISTORIES", "10_000"))
# Of each of the two machines. In the gate a sample that is the same every time; each hazard has a
# test of its own besides.
settings.register_profile("ci", max_examples=5, derandomize=True, **COMMON)
settings.register_profile("nightly", max_examples=HISTORIES, **COMMON)


@pytest.fixture(scope="module")
def shared_store() -> Iterator[Store]:
    """Tables that the tests of a module share, since an empty database takes a while to make."""
    store = Store()
    yield store
    store.connection.close()


@pytest.fixture
def store(shared_store: Store) -> Store:
    """Empty raw tables and no state."""
    shared_store.clear()
    return shared_store


@pytest.fixture
def exchange_at_noon() -> tuple[Market, ManualClock]:
    return empty_market()


@pytest.fixture
def market(exchange_at_noon: tuple[Market, ManualClock]) -> Market:
    """An exchange of its own, in this process."""
    return exchange_at_noon[0]


@pytest.fixture
def clock(exchange_at_noon: tuple[Market, ManualClock]) -> ManualClock:
    """Its clock; it moves only when a test moves it."""
    return exchange_at_noon[1]


@pytest.fixture
def me() -> Party:
    """The requester whose key the runs use."""
    return stranger(1)


@pytest.fixture
def other() -> Party:
    """Somebody else: a maker who quotes our RFQs, a requester whom we quote."""
    return stranger(2)


@pytest.fixture
def reader(market: Market, me: Party) -> InProcessReader:
    return InProcessReader(market, me)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the rows that pages were read for, in order."""
    ids: list[str] = []

    def noting(entity: Entity, bodies: Sequence[bytes]) -> Rows:
        rows = read_pages(entity, bodies)
        ids.extend(rows.table.column("id").to_pylist())
        return rows

    monkeypatch.setattr(paging, "read_pages", noting)
    return ids
