"""A matured rate moves in a later run only through what the exchange showed late."""

import json
import random
from datetime import datetime, timedelta

import duckdb
import pytest

from tests.metrics.markets import MIDNIGHT, Market, as_it_stood, many_markets, moment
from transforms.build import RFQ, build
from transforms.marts.quote_facts import quote_facts
from transforms.marts.rfq_facts import rfq_facts
from transforms.metrics.objects import load_objects
from transforms.raw import create_raw_tables
from transforms.settings import Settings

M_S = 100
RUNS = [MIDNIGHT + timedelta(seconds=seconds) for seconds in (130, 230, 330, 430, 530)]
# A run begins with everything up to its moment, and reads for a while.
READS_FOR = timedelta(seconds=25)
MATURED = f"""
select rfq_id, coalesce(time_to_fill_s <= {M_S}, false) as is_filled
from marts.rfq_facts where is_matured
"""
SHOWN_LATE = """
select rfq_id from marts.rfq_facts where is_shown_late
union select rfq_id from marts.quote_facts where is_shown_late
"""


class Readings:
    """A market read by one run after the other; a row is shown late with that chance."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, market: Market, late: float) -> None:
        self.connection = connection
        self.market = market
        self.late = late
        self.chance = random.Random(1)
        self.shown: set[str] = set()
        self.load = 0
        create_raw_tables(connection)

    def run(self, as_of: datetime) -> None:
        """Read what is there to be read, and build."""
        before = RUNS[self.load - 1] if self.load else None
        self.load += 1
        self.connection.execute(
            "insert into raw.loads values ($1, 'run', true, $2)", [self.load, before]
        )
        for table in ("rfqs", "quotes"):
            self._read(table, as_of + READS_FOR)
        settings = Settings(as_of, maturity_s=M_S, known_until=as_of + READS_FOR)
        build(self.connection, {quote_facts: RFQ, rfq_facts: RFQ}, settings)

    def _read(self, resource: str, now: datetime) -> None:
        objects = self.market.rfqs if resource == "rfqs" else self.market.quotes
        there = [as_it_stood(each, now) for each in objects if moment(each["created_ts"]) <= now]
        news = [each for each in there if json.dumps(each) not in self.shown]
        news = [each for each in news if self.chance.random() >= self.late]
        self.shown |= {json.dumps(each) for each in news}
        load_objects(self.connection, *((news, []) if resource == "rfqs" else ([], news)))
        self.connection.execute(
            f"update raw.{resource[:-1]}_versions set load = $1, observed_ts = $2 where load = 0",
            [self.load, now],
        )

    def matured(self) -> dict[str, bool]:
        """Which RFQs are matured, and whether they were filled in time."""
        return dict(self.connection.execute(MATURED).fetchall())

    def shown_late(self) -> set[str]:
        return {rfq_id for (rfq_id,) in self.connection.execute(SHOWN_LATE).fetchall()}


@pytest.mark.parametrize(("late", "moves"), [(0.0, False), (0.1, True)])
def test_a_matured_rate_moves_only_through_what_was_shown_late(late: float, moves: bool) -> None:
    moved: set[str] = set()
    with duckdb.connect() as connection:
        readings = Readings(connection, many_markets(7), late)
        before: dict[str, bool] = {}
        for last, as_of in zip([MIDNIGHT, *RUNS], RUNS, strict=False):
            readings.run(as_of)
            matured = readings.matured()
            due = {id_ for id_, was_there in before.items() if matured[id_] != was_there}
            due |= _came_late(readings, matured.keys() - before.keys(), last)
            assert due <= readings.shown_late()
            moved |= due
            before = matured

        assert len(before) > 200
        assert sum(before.values()) > 20
        assert bool(moved) is moves
        assert bool(readings.shown_late()) is moves


def _came_late(readings: Readings, new: set[str], last: datetime) -> set[str]:
    """Those of *new* that the run before should have shown as matured."""
    created = {each["id"]: moment(each["created_ts"]) for each in readings.market.rfqs}
    return {id_ for id_ in new if created[id_] <= last - timedelta(seconds=M_S)}
