"""Schema drift over HTTP through the whole job: raw, quarantine, staging and marts after it.

One database at three moments: sound, after a run that met drift, and after the exchange mended it.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines import job
from pipelines.kalshi.extraction import LoadSettings
from pipelines.sandbox import ManualClock, Market, serve, visibility
from pipelines.store.database import Database
from tests.conftest import NOON
from tests.running import UNHURRIED, access_of, ignore, read

pytestmark = pytest.mark.usefixtures("few_marts")

Change = Callable[[dict[str, Any]], dict[str, Any]]
DAY = LoadSettings(retention=timedelta(days=1), history=timedelta(days=1))
BIDS = {"yes_bid": "0.4000", "no_bid": "0.5500"}
HIDDEN = "select distinct resource, reason from raw.rejected_rows order by all"


@dataclass
class Drift:
    """What the exchange does to the rows it serves, by id."""

    changes: dict[str, Change] = field(default_factory=dict)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("visible_rfq", "visible_quote"):
            patch.setattr(f"pipelines.sandbox.market.{name}", self._drifting(name))

    def _drifting(self, name: str) -> Callable[..., dict[str, Any]]:
        real = getattr(visibility, name)

        def served(record: Any, *rest: Any) -> dict[str, Any]:
            row = real(record, *rest)
            return self.changes[record.id](row) if record.id in self.changes else row

        return served


@dataclass
class Story:
    """The database at each moment, and the ids by the part they play."""

    folder: Path
    ids: dict[str, str] = field(default_factory=dict)

    def at(self, moment: str) -> Database:
        return Database(self.folder / moment / "rfq.duckdb")

    def named(self, moment: str, query: str) -> dict[str, Any]:
        """The two columns of *query*, the first an id, as a dictionary by name."""
        names = {id_: name for name, id_ in self.ids.items()}
        return {names[id_]: value for id_, value in read(self.at(moment), query)}

    def private(self, moment: str, query: str) -> list[Any]:
        with duckdb.connect(self.at(moment).private_path, read_only=True) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    clock = ManualClock(NOON)
    market = Market(clock=clock, behavior=UNHURRIED)
    desk, maker, rival = (market.add_account(n, key="ed25519") for n in ("desk", "maker", "rival"))
    told, drift = Story(tmp_path_factory.mktemp("drift")), Drift()
    database, ids = told.at("now"), told.ids
    database.path.parent.mkdir()

    def create_rfq(name: str, who: Any = desk) -> None:
        ids[name] = market.create_rfq(who, market_ticker=f"KX-{name}", contracts_fp="10.00")

    def create_quote(name: str, rfq: str, who: Any = maker) -> None:
        ids[name] = market.create_quote(who, rfq_id=ids[rfq], **BIDS)

    with serve(market) as exchange, pytest.MonkeyPatch.context() as patch:
        drift.install(patch)
        access = access_of(exchange, desk, DAY)
        create_rfq("known")
        create_quote("quoted", "known")
        create_rfq("foreign", rival)
        # From the first run on: after one that could read all, what is shown would stay as it was.
        create_rfq("nameless")
        drift.changes = {ids["nameless"]: _drift_of_id}
        job.run(database, access, ignore)
        _keep(told, "sound")

        clock.advance(30)
        create_rfq("new")
        create_quote("numeric", "new")
        create_quote("undated", "new", rival)
        drift.changes = _drift(ids)
        job.run(database, access, ignore)
        _keep(told, "drifted")

        clock.advance(1_200)
        drift.changes = {}
        job.backfill(database, access, NOON, None, ignore)
        _keep(told, "mended")
        yield told


def _keep(told: Story, moment: str) -> None:
    shutil.copytree(told.at("now").path.parent, told.at(moment).path.parent)


def _drift(ids: dict[str, str]) -> dict[str, Change]:
    return {
        ids["known"]: lambda row: row | {"venue": {"shard": 1}, "market_ticker": None},
        ids["foreign"]: lambda row: row | {"contracts_fp": "many"},
        ids["quoted"]: lambda row: {n: v for n, v in row.items() if n != "yes_bid_dollars"},
        ids["new"]: lambda row: row | {"status": "expired_by_admin"},
        ids["numeric"]: lambda row: row | {"yes_bid_dollars": 0.41},
        ids["undated"]: lambda row: row | {"created_ts": "soon"},
        ids["nameless"]: _drift_of_id,
    }


def _drift_of_id(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"id": None}


def test_rows_that_cannot_be_read_are_set_aside_and_counted(story: Story) -> None:
    assert story.private("sound", HIDDEN) == [("rfqs", "id is missing")]
    assert story.private("drifted", HIDDEN) == [
        ("quotes", "created_ts is not an RFC 3339 timestamp"),
        ("rfqs", "contracts_fp is not a decimal"),
        ("rfqs", "id is missing"),
    ]
    counted = "select sum(rejected_rows)::int from raw.extraction_runs"
    assert read(story.at("drifted"), counted) == [(6,)]


def test_no_row_is_lost_to_drift_and_none_stays_away_after_it(story: Story) -> None:
    rfqs = "select rfq_id, status from staging.rfqs"
    quotes = "select quote_id, status from staging.quotes"

    assert story.named("drifted", rfqs).keys() == {"known", "foreign", "new"}
    assert story.named("drifted", quotes).keys() == {"quoted", "numeric"}
    assert story.named("mended", rfqs) == dict.fromkeys(
        ("known", "foreign", "new", "nameless"), "open"
    )
    assert story.named("mended", quotes) == dict.fromkeys(("quoted", "numeric", "undated"), "open")


@pytest.mark.parametrize("moment", ["sound", "drifted", "mended"])
def test_no_known_value_is_erased(story: Story, moment: str) -> None:
    tickers = story.named(moment, "select rfq_id, market_ticker from marts.rfq_facts")
    contracts = story.named(moment, "select rfq_id, contracts from marts.rfq_facts")
    bids = story.named(moment, "select quote_id, yes_bid_dollars from marts.quote_facts")

    assert (tickers["known"], contracts["foreign"]) == ("KX-known", Decimal("10.00"))
    assert bids["quoted"] == Decimal("0.400000")


def test_a_price_served_as_a_number_is_the_same_price(story: Story) -> None:
    spreads = story.named("drifted", "select quote_id, quote_spread from marts.quote_facts")

    assert spreads["numeric"] == Decimal("0.04")


def test_a_status_nobody_knows_is_shown_and_counted(story: Story) -> None:
    status = story.named("drifted", "select rfq_id, status from staging.rfqs")
    counted = "select count from marts.data_quality where check_name = 'unknown_rfq_status'"

    assert status["new"] == "expired_by_admin"
    assert read(story.at("drifted"), counted) == [(1,)]
    assert read(story.at("mended"), counted) == [(0,)]


def test_what_nobody_announced_is_kept_in_raw(story: Story) -> None:
    kept = story.private(
        "mended",
        "select unknown_fields from raw.rfq_versions where unknown_fields is not null",
    )

    assert kept == [('{"venue": {"shard": 1}}',)]
