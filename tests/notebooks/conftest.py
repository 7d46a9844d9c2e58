"""The sandbox's market of seed 1, at one moment, as its desk and its maker see it."""

from pathlib import Path

import pytest

from pipelines import job
from pipelines.database import Database
from pipelines.kalshi.extraction import LoadSettings
from pipelines.sandbox import ManualClock, Market, serve, simulate
from tests.conftest import NOON
from tests.running import UNHURRIED, access_of, ignore

ACCOUNTS = ("desk", "maker")


@pytest.fixture(scope="session")
def seed_one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The published file of each account: three days of seed 1, 200 RFQs a day, until noon."""
    market = Market(clock=ManualClock(NOON), behavior=UNHURRIED)
    accounts = {name: market.add_account(name) for name in ACCOUNTS}
    simulate(market, seed=1, days=3.0, rfqs_per_day=200, until=NOON)
    folder = tmp_path_factory.mktemp("seed-1")
    found = {}
    with serve(market) as exchange:
        for name, account in accounts.items():
            database = Database(folder / f"{name}.duckdb")
            job.run(database, access_of(exchange, account, LoadSettings()), ignore)
            found[name] = database.path
    return found
