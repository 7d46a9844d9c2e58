"""`kalshi()` as dlt's own pipeline runs it, into a real PostgreSQL and without any DuckDB."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import duckdb
import psycopg2
import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import ValueNotSecretException
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.runtime.run_context import RunContext
from dlt.common.warnings import DltDeprecationWarning
from dlt.pipeline.exceptions import PipelineStepFailed

from pipelines import job
from pipelines.kalshi import kalshi
from pipelines.kalshi.client.errors import ConfigurationError
from pipelines.kalshi.entities import ENTITIES
from pipelines.kalshi.extraction import LoadSettings
from pipelines.kalshi.settings import PRODUCTION, SETTINGS
from pipelines.sandbox import Account, ManualClock, Market, simulate, visibility
from pipelines.sandbox.faults import ErrorOrder
from pipelines.store.database import Database
from tests import postgres
from tests.running import access_of, ignore

pytestmark = pytest.mark.usefixtures("few_marts")
TABLES = ("rfq_versions", "quote_versions")
BIDS = {"yes_bid": "0.4000", "no_bid": "0.5500"}
Load = Callable[..., Any]
Versions = dict[str, set[tuple[str, str]]]


class Home:
    """A PostgreSQL that `kalshi()` loads into, asked without dlt."""

    def __init__(self, address: str) -> None:
        self.address = address

    def rows(self, query: str) -> list[Any]:
        with psycopg2.connect(self.address) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def execute(self, command: str) -> None:
        with psycopg2.connect(self.address) as connection, connection.cursor() as cursor:
            cursor.execute(command)

    def versions(self) -> Versions:
        """Id and hash of every row; none may be there twice."""
        found = {table: self.rows(f"select id, version_hash from raw.{table}") for table in TABLES}
        assert all(len(rows) == len(set(rows)) for rows in found.values())
        return {table: set(rows) for table, rows in found.items()}


@pytest.fixture(scope="module")
def server() -> Iterator[Home]:
    with postgres.running() as address:
        yield Home(address)


@pytest.fixture
def home(server: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Home:
    """The server without any data, named to dlt as its own documentation does."""
    server.execute("drop schema if exists raw cascade; drop schema if exists raw_staging cascade")
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", server.address)
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.chdir(tmp_path)
    return server


@pytest.fixture
def load(exchange: Any, key: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Run the pipeline with the desk's key, in a working directory that is new unless named."""
    monkeypatch.setenv("SOURCES__KALSHI__BASE_URL", exchange.base_url)
    fresh = iter(range(99))

    def run(directory: str | None = None, refresh: Any = None, **settings: Any) -> Any:
        place = tmp_path / (directory or f"fresh {next(fresh)}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(duckdb, "connect", _refuse)
            pipeline = dlt.pipeline(
                "kalshi", destination="postgres", dataset_name="raw", pipelines_dir=str(place)
            )
            return pipeline.run(kalshi(**settings), refresh=refresh)

    return run


def _refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("DuckDB was asked for")


def held(database: Database) -> Versions:
    """What `rfq load` has put into the private file."""
    with duckdb.connect(database.private_path, read_only=True) as connection:
        return {
            table: set(connection.execute(f"select id, version_hash from raw.{table}").fetchall())
            for table in TABLES
        }


def sizes(home: Home) -> tuple[int, ...]:
    """How many RFQs and quotes there are; a table without any row is not made."""
    return tuple(
        home.rows(f"select count(*) from raw.{table}")[0][0]
        if home.rows(f"select to_regclass('raw.{table}')") != [(None,)]
        else 0
        for table in TABLES
    )


def create_rfqs(market: Market, desk: Account, times: int) -> list[str]:
    return [
        market.create_rfq(desk, market_ticker=f"KXONE-26-{n}", contracts_fp="10.00")
        for n in range(times)
    ]


def assert_every_column_is_the_same(home: Home, database: Database) -> None:
    """Empty text and NULL apart, every digit and every leg; but for when it was observed."""
    for table, entity in zip(TABLES, ENTITIES, strict=True):
        shown = ", ".join([*entity.fields.names, "unknown_fields", "version_hash"])
        ours = home.rows(f'select {shown} from raw.{table} order by version_hash collate "C"')
        with duckdb.connect(database.private_path, read_only=True) as connection:
            lists = "left join raw.leg_lists using (leg_list, market_ticker)"
            legs = lists if "mve_selected_legs" in shown else ""
            query = f"select {shown} from raw.{table} {legs} order by version_hash"
            assert ours == connection.execute(query).fetchall()
    shown = "count(mve_selected_legs) > 20, count(*) filter (where creator_id = '') > 20"
    assert home.rows(f"select {shown} from raw.rfq_versions") == [(True, True)]


def test_the_same_versions_as_in_duckdb_and_of_what_is_read_again_none(
    home: Home,
    load: Load,
    market: Market,
    desk: Account,
    maker: Account,
    clock: ManualClock,
    exchange: Any,
    database: Database,
) -> None:
    """A run's state comes from the destination: each has a working directory of its own."""
    simulate(market, seed=3, days=0.1, rfqs_per_day=1_200)
    closed, asked = create_rfqs(market, desk, 2)
    clock.advance(60)
    load()
    first = home.versions()
    job.load(database, access_of(exchange, desk, LoadSettings()), ignore)
    assert first == held(database)
    assert min(map(len, first.values())) > 100
    assert_every_column_is_the_same(home, database)

    clock.advance(60)
    load()
    assert home.versions() == first

    market.delete_rfq(desk, closed)
    create_rfqs(market, desk, 1)
    market.create_quote(maker, rfq_id=asked, **BIDS)
    clock.advance(60)
    load()
    job.load(database, access_of(exchange, desk, LoadSettings()), ignore)
    third = home.versions()
    assert third == held(database)
    assert {table: len(third[table] - first[table]) for table in TABLES} == {
        "rfq_versions": 2,
        "quote_versions": 1,
    }


def test_what_a_failed_load_was_to_store_is_read_again(
    home: Home,
    load: Load,
    market: Market,
    desk: Account,
    maker: Account,
    clock: ManualClock,
    tmp_path: Path,
) -> None:
    """Though the working directory, where dlt has noted already how far it had read, is kept."""
    stored, lost = create_rfqs(market, desk, 2)
    market.create_quote(maker, rfq_id=stored, **BIDS)
    load("kept")
    clock.advance(600)
    market.create_quote(maker, rfq_id=lost, **BIDS)
    home.execute("alter table raw.quote_versions add constraint no_room check (false) not valid")
    with pytest.raises(PipelineStepFailed, match="no_room"):
        load("kept")
    assert sizes(home) == (2, 1)
    home.execute("alter table raw.quote_versions drop constraint no_room")
    with pytest.warns(DltDeprecationWarning):
        dlt.attach("kalshi", pipelines_dir=str(tmp_path / "kept")).drop_pending_packages()
    # Beyond the span that every run reads again.
    clock.advance(7_200)

    load("kept")

    assert sizes(home) == (2, 2)


def test_the_source_can_be_read_without_a_run(
    home: Home, load: Load, market: Market, desk: Account
) -> None:
    """In a notebook, beside a pipeline that has run."""
    create_rfqs(market, desk, 1)
    load()

    tables = [rows for rows in kalshi().with_resources("rfqs") if rows.num_rows]

    assert sum(rows.num_rows for rows in tables) == 1


@pytest.mark.parametrize("refresh", ["drop_sources", "drop_resources", "drop_data"])
def test_a_refresh_reads_all_that_it_has_dropped(
    home: Home,
    load: Load,
    market: Market,
    desk: Account,
    maker: Account,
    clock: ManualClock,
    refresh: str,
) -> None:
    asked, _ = create_rfqs(market, desk, 2)
    market.create_quote(maker, rfq_id=asked, **BIDS)
    # Beyond the span that every run reads again.
    clock.advance(7_200)
    load("kept")

    load("kept", refresh=refresh)

    assert sizes(home) == (2, 1)


def test_a_list_that_fails_stores_nothing_and_moves_nothing(
    home: Home, load: Load, market: Market, desk: Account
) -> None:
    create_rfqs(market, desk, 1)
    market.faults.errors = [ErrorOrder(400, "no_such_filter", "GetRFQs")]
    with pytest.raises(PipelineStepFailed, match="no such filter"):
        load("kept")

    load("kept")

    assert sizes(home) == (1, 0)


def test_a_row_that_cannot_be_read_is_kept_aside(
    home: Home, load: Load, market: Market, desk: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, odd = create_rfqs(market, desk, 2)
    real = visibility.visible_rfq

    def served(record: Any, *rest: Any) -> dict[str, Any]:
        return real(record, *rest) | ({"contracts_fp": "many"} if record.id == odd else {})

    monkeypatch.setattr("pipelines.sandbox.market.visible_rfq", served)
    load()
    load()

    assert sizes(home) == (1, 0)
    assert home.rows("select resource, id, reason from raw.rejected_rows") == [
        ("rfqs", odd, "contracts_fp is not a decimal")
    ]


def test_one_data_set_holds_one_account(
    home: Home,
    load: Load,
    market: Market,
    desk: Account,
    maker: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create_rfqs(market, desk, 1)
    load()
    monkeypatch.delenv("SOURCES__KALSHI__PRIVATE_KEY_PATH")

    with pytest.raises(PipelineStepFailed, match="rows of another account or exchange"):
        load(api_key_id=maker.api_key_id, private_key=maker.private_key_pem)

    assert sizes(home) == (1, 0)


def test_dlt_attaches_to_what_was_loaded(
    home: Home, load: Load, market: Market, desk: Account, tmp_path: Path
) -> None:
    """From another machine: nothing but the destination is known there."""
    create_rfqs(market, desk, 2)
    load()

    attached = dlt.attach(
        "kalshi", destination="postgres", dataset_name="raw", pipelines_dir=str(tmp_path / "other")
    )

    assert attached.dataset().rfq_versions.select("id").arrow().num_rows == 2


def test_what_dlt_leaves_on_the_disk_tells_no_key(
    home: Home, load: Load, desk: Account, tmp_path: Path
) -> None:
    load("kept")
    secret = desk.private_key_pem.splitlines()[1].encode()

    left = [each for each in (tmp_path / "kept").rglob("*") if each.is_file()]

    assert left
    assert [each for each in left if secret in each.read_bytes()] == []


# Its settings, without any destination.


def test_its_key_is_not_taken_from_the_file_that_is_handed_on(tmp_path: Path) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "config.toml").write_text("[sources.kalshi]\nallow_writing_key = true\n")
    here = Container().injectable_context(PluggableRunContext(RunContext(str(tmp_path))))

    with here, pytest.raises(ValueNotSecretException, match="allow_writing_key"):
        kalshi()


def test_its_settings_are_those_of_the_command() -> None:
    taken = inspect.signature(kalshi).parameters

    assert [*taken] == [each.name for each in SETTINGS]
    assert {name: each.default for name, each in taken.items() if each.default is not None} == {
        "base_url": PRODUCTION
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [("scope", "all"), ("overlap_seconds", -1), ("base_url", ""), ("rejected_share", 2.0)],
)
def test_a_setting_that_cannot_be_is_refused_by_its_name(
    key: Path, name: str, value: object
) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} of the source kalshi is not"):
        kalshi(**{name: value})


def test_a_base_url_that_is_none_of_the_exchanges_is_refused(key: Path, tmp_path: Path) -> None:
    source = kalshi(base_url="https://example.com/trade-api/v2")

    with pytest.raises(Exception, match="is not one of the exchange's hosts"):
        list(source.quotes)
