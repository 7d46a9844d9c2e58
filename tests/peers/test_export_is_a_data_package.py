"""An export read by others: frictionless judges the package, pandas reads every table back."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from frictionless import Package

from pipelines.commands.export import export
from pipelines.store.database import Database
from tests.accounts import Shown, of_desk, published
from tests.metrics.markets import closed_rfq


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Database:
    rfqs, quotes = of_desk()
    older = [closed_rfq("a day before", -86_400, -86_340)]
    path = tmp_path_factory.mktemp("export") / "rfq.duckdb"
    return published(path, Shown("desk", [*rfqs, *older], quotes))


@pytest.fixture
def lake(shown: Database, tmp_path: Path) -> Path:
    export(shown, tmp_path / "lake")
    return tmp_path / "lake"


def package(lake: Path) -> Any:
    """The package, its resources as plain files without their number of rows.

    frictionless counts neither the bytes nor the rows of what it takes for a table in Parquet, and
    its reader fails on a date that is NULL.
    """
    told = json.loads((lake / "datapackage.json").read_text())
    files = [
        {name: value for name, value in each.items() if name != "rows"} | {"type": "file"}
        for each in told["resources"]
    ]
    return Package.from_descriptor(told | {"resources": files}, basepath=str(lake))


def test_frictionless_finds_every_file_as_it_is_told(lake: Path) -> None:
    report = package(lake).validate()

    assert report.valid, report.to_summary()
    assert report.stats["tasks"] > 27


def test_frictionless_notices_a_file_that_was_changed(lake: Path) -> None:
    with (lake / "marts.trust").rglob("*.parquet").__next__().open("ab") as file:
        file.write(b"x")

    errors = package(lake).validate().flatten(["type"])

    assert sorted(errors) == [["byte-count"], ["hash-count"]]


def test_pandas_reads_back_every_table(lake: Path, shown: Database) -> None:
    with shown.reading() as connection:
        for folder in filter(Path.is_dir, lake.iterdir()):
            columns = connection.execute(f"describe {folder.name}").fetchall()
            typed = ", ".join(
                # What a folder is called is text to pandas, and nothing where it has no day.
                f'try_cast("{name}"::varchar as {kind}) as "{name}"'
                if name == "cohort_date"
                else f'"{name}"::{kind} as "{name}"'
                for name, kind, *_ in columns
            )
            connection.register("frame", pd.read_parquet(folder))
            table, read = f"select {typed} from {folder.name}", f"select {typed} from frame"
            query = f"({table} except all {read}) union all ({read} except all {table})"
            assert connection.execute(query).fetchall() == [], folder.name
