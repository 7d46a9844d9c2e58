"""A watch on the desk's market, and what happens there."""

from typing import Any

import pytest

from pipelines.sandbox import Account, ManualClock, Market
from pipelines.store.database import Database
from tests.running import access_of
from tests.watch.deals import REACH, Deals, Watching
from tests.watch.driven import Plan, watched


@pytest.fixture
def watching(
    exchange: Any, clock: ManualClock, desk: Account, maker: Account, database: Database
) -> Watching:
    """Watch the desk's market for so many seconds, in which *acts* happen."""

    def watch_it(ends_s: float, acts: list[Any] | None = None, **pace: Any) -> None:
        plan = Plan(clock, ends_s, sorted(acts or [], key=lambda act: act[0]))
        watched(database, access_of(exchange, desk, REACH), plan, **pace)

    return watch_it


@pytest.fixture
def deals(market: Market, desk: Account, maker: Account) -> Deals:
    return Deals(market, desk, maker)
