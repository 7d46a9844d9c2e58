"""A database that an earlier version of ours made goes on under this one."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pipelines import job
from pipelines.kalshi import report
from pipelines.kalshi.extraction import LoadSettings
from pipelines.sandbox import Account, ManualClock, Market
from pipelines.sandbox.listings import combo_ticker
from pipelines.store.backup import back_up
from pipelines.store.database import Database
from pipelines.store.stamp import LAYOUT
from tests.layouts import put_legs_into_versions, schemas_in, unpack_earlier_layout
from tests.running import access_of, ignore, read
from transforms.raw import raw_schema

pytestmark = pytest.mark.usefixtures("few_marts")

NOTED = ("account_fingerprint", "scope", "forgotten_before_ts")
NUMBERED = ("rfq_versions", "quote_versions", "tombstones", "extraction_runs", "coverage")
QUICK = LoadSettings(history=timedelta(days=7))


def test_a_database_made_before_runs_noted_their_account_goes_on(
    exchange: Any,
    market: Market,
    desk: Account,
    maker: Account,
    clock: ManualClock,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")
    _load_as_before(access_of(exchange, desk, QUICK), database, monkeypatch)
    job.rebuild(database)
    clock.advance(60)
    second = market.create_rfq(desk, market_ticker="KXONE-26-B", contracts_fp="10.00")

    job.run(database, access_of(exchange, desk, QUICK), ignore)

    assert sum("did not note when lists were" in said for said in caplog.messages) == 1
    assert read(database, "select rfq_id from staging.rfqs order by created_ts") == [
        (first,),
        (second,),
    ]
    noted = read(
        database,
        "select pass, account_fingerprint, scope from raw.extraction_runs"
        " where pass in ('rfqs_market', 'quotes_made') order by rowid",
    )
    fingerprint = noted[-1][1]
    assert noted == [
        ("quotes_made", None, None),
        ("rfqs_market", None, None),
        ("quotes_made", fingerprint, "market"),
        ("rfqs_market", fingerprint, "market"),
    ]
    assert len(fingerprint) == 16
    assert fingerprint not in desk.communications_id
    with duckdb.connect(database.private_path, read_only=True) as connection:
        held = connection.execute("select id, load > 0 from raw.rfq_versions order by created_ts")
        assert held.fetchall() == [(first, False), (second, True)]
        sides = connection.execute("select side, load > 0 from raw.passes order by rowid")
        assert sides.fetchall() == [("made", True), ("received", True)]


COMBO = combo_ticker(3 * 32 + 4)
LISTS = "select leg_list, market_ticker, mve_selected_legs from raw.leg_lists"
LEGS_SHOWN = "select * from staging.rfq_legs order by rfq_id, position"
# With the columns that the earlier version had.
QUOTES = "select * exclude (has_stage_after_as_of) from staging.quotes"
STATES = "select rfq_id, status from staging.rfqs order by created_ts"


def test_a_database_with_all_in_the_private_file_is_taken_over(
    exchange: Any,
    market: Market,
    desk: Account,
    clock: ManualClock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Made by that version itself. What it held stays, and the run after goes on."""
    database = unpack_earlier_layout(tmp_path)
    with duckdb.connect(database.private_path) as connection:
        connection.execute("alter table raw.rfq_versions add column of_somebody integer")
    assert schemas_in(database.private_path) == {"raw", "staging", "marts", "incremental"}
    market.name = (database.exchange() or "").removeprefix("sandbox ")
    before = read(database, STATES)
    quotes = read(database, "from staging.quotes")
    clock.advance(600)
    new = market.create_rfq(desk, market_ticker="KXONE-26-E", contracts_fp="10.00")

    job.run(database, access_of(exchange, desk, QUICK), ignore)

    assert schemas_in(database.private_path) == {"raw", "candidates"}
    assert _columns_of_versions(database) == raw_schema("rfq_versions").names
    assert read(database, STATES) == [*before, (new, "open")]
    assert read(database, QUOTES) == quotes
    assert [status for _, status in before] == ["closed", "closed", "open", "open"]
    assert sum("all is built anew: nothing notes that" in said for said in caplog.messages) == 1
    caplog.clear()
    job.rebuild(database)
    assert not any("all is built anew" in said for said in caplog.messages)


def test_legs_that_stood_in_each_version_are_kept_once(
    exchange: Any, market: Market, desk: Account, clock: ManualClock, database: Database
) -> None:
    """Their hashes are those of a load, so none that is seen again is stored again."""
    other = market.add_account("other")
    for place, requester in enumerate((desk, other)):
        _ask_of(market, requester, COMBO)
        _ask_of(market, requester, f"KXONE-26-{place}")
    access = access_of(exchange, desk, QUICK)
    job.run(database, access, ignore)
    with duckdb.connect(database.private_path) as connection:
        lists = connection.execute(LISTS).fetchall()
        put_legs_into_versions(connection)
    legs = read(database, LEGS_SHOWN)
    clock.advance(60)
    third = _ask_of(market, market.add_account("third"), COMBO)

    outcome = job.run(database, access, ignore)

    assert outcome.new_versions["rfq_versions"] == 1
    assert _columns_of_versions(database) == raw_schema("rfq_versions").names
    with duckdb.connect(database.private_path, read_only=True) as connection:
        assert connection.execute(LISTS).fetchall() == lists
        assert connection.execute("select layout from raw.stamp").fetchall() == [(LAYOUT,)]
    assert [leg for rfq_id, *leg in read(database, LEGS_SHOWN) if rfq_id == third] == [
        leg for rfq_id, *leg in legs if rfq_id == legs[0][0]
    ]
    assert len(lists) == 1
    assert len({rfq_id for rfq_id, *_ in read(database, LEGS_SHOWN)}) == 3


def test_a_backup_of_an_earlier_layout_is_one_for_the_earlier_version(tmp_path: Path) -> None:
    database = unpack_earlier_layout(tmp_path)
    before = database.private_path.read_bytes()

    back_up(database, tmp_path / "backup")

    copy = Database(tmp_path / "backup" / "rfq.duckdb")
    assert "mve_selected_legs" in _columns_of_versions(copy)
    assert database.private_path.read_bytes() == before


def _ask_of(market: Market, requester: Account, ticker: str) -> str:
    return market.create_rfq(requester, market_ticker=ticker, contracts_fp="10.00")


def _columns_of_versions(database: Database) -> list[str]:
    with duckdb.connect(database.private_path, read_only=True) as connection:
        found = connection.execute("describe raw.rfq_versions").fetchall()
    return [name for name, *_ in found]


def _load_as_before(access: Any, database: Database, patch: pytest.MonkeyPatch) -> None:
    def schema_before(table: str) -> pa.Schema:
        return pa.schema(field for field in raw_schema(table) if field.name not in NOTED)

    with patch.context() as earlier:
        earlier.setattr(report, "raw_schema", schema_before)
        job.load(database, access, ignore)
    with duckdb.connect(database.private_path) as connection:
        for name in NOTED:
            connection.execute(f"alter table raw.extraction_runs drop column {name}")
        for table in NUMBERED:
            connection.execute(f"alter table raw.{table} drop column load")
        for table in ("loads", "passes", "open_sweeps", "last_seen"):
            connection.execute(f"drop table raw.{table}")
