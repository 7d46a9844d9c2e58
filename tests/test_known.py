"""`rfq build --output`: what was known when, whatever was loaded since."""

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines import job
from pipelines.kalshi.extraction import LoadSettings
from pipelines.sandbox import Account, ManualClock, Market
from pipelines.sandbox.simulation.future import unfold
from pipelines.sandbox.simulation.past import simulate
from pipelines.store.database import Database
from tests.profile import IS_NIGHTLY
from tests.running import Command, access_of, build_few, ignore, read

Run = Callable[..., job.Outcome]
# Each run is built again after the last of them.
RUNS = 10 if IS_NIGHTLY else 2
QUICK = LoadSettings(history=timedelta(days=7))
# What tells one file from another, whatever they show.
OF_ONE_FILE = {
    "marts.build_info": "built_ts, n_partitions",
    "raw.stamp": "seal",
    "incremental.checked": "checked_ts",
}
MOMENTS = "select load, as_of, known_until from marts.build_info"


def differences(one: Path, other: Path) -> dict[str, int]:
    """How many rows of each published table are in one of the files only, but for `OF_ONE_FILE`."""
    with duckdb.connect() as connection:
        for name, path in (("one", one), ("other", other)):
            connection.execute(f"attach '{path}' as {name} (read_only)")
        # A file does not have the run that made it.
        tables = [
            [table for table in _tables(connection, name) if table != "raw.run_phases"]
            for name in ("one", "other")
        ]
        assert tables[0] == tables[1]
        counts = {table: _different_rows(connection, table) for table in tables[0]}
    return {table: count for table, count in counts.items() if count}


def _tables(connection: duckdb.DuckDBPyConnection, catalog: str) -> list[str]:
    found = connection.execute(
        "select concat(schema_name, '.', table_name) from duckdb_tables()"
        " where database_name = $1 order by all",
        [catalog],
    ).fetchall()
    return [name for (name,) in found]


def _different_rows(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    but = f" exclude ({OF_ONE_FILE[table]})" if table in OF_ONE_FILE else ""
    one, other = (f"(select 1, *{but} from {name}.{table})" for name in ("one", "other"))
    query = f"({one} except all {other}) union all ({other} except all {one})"
    return int(connection.execute(f"select count(*) from ({query})").fetchall()[0][0])


def test_each_run_equals_its_build(
    rfq: Command,
    exchange: Any,
    market: Market,
    clock: ManualClock,
    database: Database,
    tmp_path: Path,
) -> None:
    """A market that goes on while it is read; each run is built again after the last of them."""
    simulate(market, seed=3, days=0.02, rfqs_per_day=4_000)
    unfold(market, seed=3, rfqs_per_day=4_000)
    market.faults.before_page.update({1: lambda: bool(clock.advance(3.5))})
    ended: list[datetime] = []
    for number in range(RUNS):
        clock.advance(40 + 37.3 * number)
        market.faults.before_page[1] = lambda: bool(clock.advance(3.5))
        # The first run was made with another maturity.
        maturity_s = 300 if number else 60
        desk = access_of(exchange, market.account("desk"), QUICK)
        job.run(database, desk, ignore, maturity_s=maturity_s)
        shutil.copy(database.path, tmp_path / f"run-{number}.duckdb")
        ended.append(read(database, MOMENTS)[0][2])
    published = database.path.read_bytes()

    for number, moment in enumerate(ended):
        built = tmp_path / "then.duckdb"
        as_of = f"{moment + timedelta(seconds=0.5):%Y-%m-%dT%H:%M:%S.%f}"
        said = rfq("build", "--as-of", as_of, "--output", built, "--database", database.path)

        assert said.code == 0, said.err
        assert differences(built, tmp_path / f"run-{number}.duckdb") == {}

    assert len(set(ended)) == RUNS
    assert database.path.read_bytes() == published
    everything = tmp_path / "now.duckdb"
    assert rfq("build", "--output", everything, "--database", database.path).code == 0
    assert differences(everything, database.path) == {}
    assert read(database, "select count(*) > 20 from staging.quotes") == [(True,)]


def test_what_was_read_later_is_not_in_what_was_known_before(
    rfq: Command,
    run: Run,
    market: Market,
    maker: Account,
    clock: ManualClock,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stranger asks at 12:00:05 and is read at 12:05; another load publishes nothing."""
    build_few(monkeypatch.setattr)

    def known_at(moment: str) -> int:
        built = tmp_path / "then.duckdb"
        said = rfq(*build, "--output", built, "--as-of", f"2026-11-20T{moment}")
        return said.code or len(read(Database(built), "from staging.rfqs"))

    build = ("build", "--database", database.path)
    run()
    clock.advance(5)
    market.create_rfq(maker, market_ticker="KXONE-26-A", contracts_fp="10.00")
    clock.advance(295)
    run()
    with duckdb.connect(database.private_path) as connection:
        # As where the second run was killed as soon as it had published.
        connection.execute("delete from raw.publications where rowid = 1")
        connection.execute(
            "insert into raw.loads select max(load) + 1, 'unpublished', true, null from raw.loads;"
            "insert into raw.rfq_versions select * replace ('later' as id,"
            " (select max(load) from raw.loads) as load) from raw.rfq_versions"
        )

    assert (known_at("12:00:10"), known_at("12:04:59.999999"), known_at("12:05:00")) == (0, 0, 1)
    assert known_at("11:59:59.5") == 78
    assert read(database, "select count(*) from staging.rfqs") == [(1,)]
    run()
    assert (known_at("12:00:00"), known_at("12:05:00.000000")) == (0, 2)


def test_a_moment_that_nobody_knows_says_when_the_first_run_was(
    rfq: Command, run: Run, database: Database, tmp_path: Path
) -> None:
    """And what may not be replaced stays: the database's own files, another's, somebody else's."""
    run()
    build = ("build", "--database", database.path, "--output")
    foreign = tmp_path / "thesis.duckdb"
    with duckdb.connect(foreign) as connection:
        connection.execute("create table thesis as select 'years of work' as text")
    other = Database(tmp_path / "other.duckdb")
    shutil.copy(database.path, other.path)
    shutil.copy(database.private_path, other.private_path)
    kept = [database.path, database.private_path, other.path, other.private_path, foreign]
    before = [path.read_bytes() for path in kept]

    early = rfq(*build, tmp_path / "then.duckdb", "--as-of", "2026-11-20T11:59:59.75")
    refused = [rfq(*build, path) for path in (*kept, tmp_path / "none" / "x.duckdb")]

    assert early.code == 78
    assert (
        "no run had ended by 2026-11-20 11:59:59.750000 UTC: the first that noted what it "
        "published ended at 2026-11-20 12:00:00" in early.err
    )
    assert not (tmp_path / "then.duckdb").exists()
    assert [ended.code for ended in refused] == [78] * 6
    assert [path.read_bytes() for path in kept] == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_earlier_moment_is_not_published(rfq: Command, database: Database) -> None:
    ended = rfq("build", "--as-of", "2026-11-20T12:00:00", "--database", database.path)

    assert ended.code == 2
    assert "--as-of needs --output" in " ".join(ended.err.split())
