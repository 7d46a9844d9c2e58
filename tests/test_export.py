"""`rfq export`: what is read back is what was published, and a folder is replaced whole."""

import fcntl
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from pipelines.store.database import Database
from tests.accounts import Shown, by, of_desk, published
from tests.metrics.markets import closed_rfq
from tests.running import Command, Ended

Export = Callable[..., Ended]
DAY_S = 86_400


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A published file with RFQs on three days."""
    rfqs, quotes = of_desk()
    older = [closed_rfq(f"{n} days before", -n * DAY_S, 60 - n * DAY_S) for n in (1, 2)]
    path = tmp_path_factory.mktemp("export") / "rfq.duckdb"
    return published(path, Shown("desk", [*rfqs, *older], quotes))


@pytest.fixture
def export(rfq: Command, shown: Database, tmp_path: Path) -> Export:
    def command(*arguments: object, to: Path = tmp_path / "lake") -> Ended:
        return rfq("export", to, "--database", shown.path, *arguments)

    return command


def package(folder: Path) -> Any:
    return json.loads((folder / "datapackage.json").read_text())


def tables(shown: Database) -> list[str]:
    with shown.reading() as connection:
        found = connection.execute(
            "select distinct schema_name || '.' || table_name from duckdb_columns()"
            " where database_name = current_catalog() and schema_name in ('marts', 'staging')"
        ).fetchall()
    return [name for (name,) in found]


def test_duckdb_and_polars_read_back_every_table(
    export: Export, shown: Database, tmp_path: Path
) -> None:
    ended = export()

    assert ended.code == 0, ended.err
    with shown.reading() as connection:
        for table in tables(shown):
            files = str(tmp_path / "lake" / table / "**" / "*.parquet")
            columns = [name for name, *_ in connection.execute(f"describe {table}").fetchall()]
            rows = connection.sql(f"from {table}").pl()
            assert _different(connection, table, files) == 0, table
            read = pl.read_parquet(files, hive_partitioning=True, try_parse_hive_dates=True)
            assert read.height == rows.height, table
            assert set(read.columns) == set(columns), table


def _different(connection: duckdb.DuckDBPyConnection, table: str, files: str) -> int:
    """How many rows are in the table or in its files only."""
    there = f"from read_parquet('{files}', hive_partitioning = true)"
    columns = connection.execute(f"describe {table}").fetchall()
    # A folder without a day has no name that tells a type.
    typed = ", ".join(f'"{name}"::{kind} as "{name}"' for name, kind, *_ in columns)
    one, other = f"select {typed} from {table}", f"select {typed} {there}"
    query = f"({one} except all {other}) union all ({other} except all {one})"
    return int(connection.execute(f"select count(*) from ({query})").fetchall()[0][0])


def test_the_package_tells_each_file(export: Export, shown: Database, tmp_path: Path) -> None:
    export()

    told = package(tmp_path / "lake")
    files = {str(each.relative_to(tmp_path / "lake")) for each in tmp_path.rglob("*.parquet")}
    assert {each["path"] for each in told["resources"]} == files
    assert {each["table"] for each in told["resources"]} == set(tables(shown))
    for each in told["resources"]:
        written = (tmp_path / "lake" / each["path"]).read_bytes()
        assert each["bytes"] == len(written)
        assert each["sha256"] == sha256(written).hexdigest()
        assert each["rows"] == pl.scan_parquet(written).select(pl.len()).collect().item()
    assert told["layout"] == "<schema>.<table>/cohort_date=YYYY-MM-DD/part-0.parquet"
    assert len(told["metric_version"]) == 64
    assert (tmp_path / "lake").stat().st_mode & 0o777 == 0o700


def test_a_span_has_its_first_day_and_not_its_last(
    export: Export, shown: Database, tmp_path: Path
) -> None:
    with shown.reading() as connection:
        days = connection.execute(
            "select distinct cohort_date::varchar from marts.rfq_facts order by all"
        ).fetchall()
    (first,), *_, (last,) = days

    export("--since", first, "--until", last, "--table", "marts.rfq_facts")

    parts = sorted(each.name for each in (tmp_path / "lake" / "marts.rfq_facts").iterdir())
    assert parts == [f"cohort_date={day}" for (day,) in days[:-1]]
    assert [each.name for each in (tmp_path / "lake").iterdir() if each.is_dir()] == [
        "marts.rfq_facts"
    ]


def test_a_span_is_told_of_the_tables_that_it_chose_the_rows_of(
    export: Export, tmp_path: Path
) -> None:
    """A table without days of RFQs is whole, and says so on stdout and in the package."""
    chosen = ("--table", "marts.rfq_facts", "--table", "marts.activity")

    ended = export("--since", "2026-05-04", *chosen)

    told = {each["table"]: each for each in package(tmp_path / "lake")["resources"]}
    assert told["marts.rfq_facts"]["since"] == "2026-05-04"
    assert "until" not in told["marts.rfq_facts"]
    assert "since" not in told["marts.activity"]
    assert "since" not in package(tmp_path / "lake")
    assert ended.out.splitlines()[1:] == ["whole, as they have no cohort_date: marts.activity"]
    assert len(export(*chosen).out.splitlines()) == 1


def test_rows_without_a_day_that_a_span_leaves_out_are_counted(
    rfq: Command, tmp_path: Path
) -> None:
    """A quote on an RFQ that was never read belongs to the day of no RFQ."""
    quote = by("A", "q", "never read", 1, "0.5500")
    shown = published(tmp_path / "rfq.duckdb", Shown("desk", [closed_rfq("r", 0, 60)], [quote]))
    facts = ("--table", "marts.quote_facts", "--database", shown.path)

    ended = rfq("export", tmp_path / "lake", "--since", "2020-01-01", *facts)
    everything = rfq("export", tmp_path / "all", *facts)

    said = "left out, as their cohort_date is not known: 1 of marts.quote_facts"
    assert ended.out.splitlines()[1:] == [said]
    assert ": 1 tables, 0 rows" in ended.out
    assert ": 1 tables, 1 rows" in everything.out


def test_a_second_export_of_a_folder_is_refused_while_the_first_is_at_work(
    export: Export, tmp_path: Path
) -> None:
    drafted = tmp_path / ".lake.export-first"
    drafted.mkdir()
    with (tmp_path / ".lake.export.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        refused = export()
        elsewhere = export(to=tmp_path / "other")

    (tmp_path / ".lake.export.lock").unlink(missing_ok=True)
    (tmp_path / ".lake.export.lock").symlink_to(tmp_path / "somewhere")
    linked = export()
    (tmp_path / ".lake.export.lock").unlink()

    assert (refused.code, elsewhere.code, linked.code) == (75, 0, 78)
    assert "it is a link" in " ".join(linked.err.split())
    assert f"another export is writing {tmp_path / 'lake'}" in refused.err
    assert drafted.is_dir()
    # What one that was killed has left, its lock too, is removed by the next one.
    assert export().code == 0
    assert {each.name for each in tmp_path.iterdir()} == {"lake", "other"}


def test_a_signal_leaves_the_older_export_and_nothing_half_done(
    export: Export, shown: Database, tmp_path: Path
) -> None:
    export("--table", "marts.trust")
    before = package(tmp_path / "lake")
    command = [sys.executable, "-c", "from pipelines.entry import main; main()", "export"]
    at = [tmp_path / "lake", "--database", shown.path]

    with subprocess.Popen([*command, *at], cwd=Path(__file__).parents[1]) as process:
        while not any(tmp_path.glob(".lake.export-*/draft/marts.*")):
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)

    assert process.returncode == 128 + signal.SIGTERM
    assert [each.name for each in tmp_path.iterdir()] == ["lake"]
    assert package(tmp_path / "lake") == before


def test_an_older_export_is_replaced_whole(export: Export, tmp_path: Path) -> None:
    export()

    ended = export("--table", "marts.trust")

    assert ended.code == 0, ended.err
    assert {each.name for each in tmp_path.iterdir() if each.name.startswith((".", "lake"))} == {
        "lake"
    }
    assert {each.name for each in (tmp_path / "lake").iterdir()} == {
        "datapackage.json",
        "marts.trust",
    }


@pytest.mark.parametrize("held", ["notes.txt", "datapackage.json", "an export and notes.txt"])
def test_what_somebody_else_has_made_is_left_alone(
    export: Export, tmp_path: Path, held: str
) -> None:
    folder = tmp_path / "lake"
    if held.startswith("an export"):
        export()
    folder.mkdir(exist_ok=True)
    (folder / held.split()[-1]).write_text("{}")
    before = sorted(folder.rglob("*"))

    ended = export()

    assert ended.code == 78
    assert "holds something else and was left as it is" in ended.err
    assert sorted(folder.rglob("*")) == before


WRONG = {
    ("--table", "marts.nothing"): (2, "there is no table marts.nothing: choose among marts."),
    ("--since", "soon"): (2, "is no date, no moment"),
    ("--since", "2026-05-05", "--until", "2026-05-04"): (2, "is not before --until 2026-05-04"),
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_what_makes_no_sense_writes_nothing(
    export: Export, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    code, said = WRONG[arguments]

    ended = export(*arguments)

    assert ended.code == code
    assert said in ended.err
    assert not (tmp_path / "lake").exists()


def test_nothing_is_exported_where_nothing_is_published(rfq: Command, tmp_path: Path) -> None:
    ended = rfq("export", tmp_path / "lake", "--database", tmp_path / "none.duckdb")

    assert ended.code == 78
    assert "does not exist: `rfq run` makes it" in ended.err


def test_a_file_is_no_place_for_an_export(export: Export, tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("notes")

    ended = export()

    assert ended.code == 78
    assert "is no folder: give the path of one" in ended.err
