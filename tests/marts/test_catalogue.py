"""The catalogue and the built database name the same tables and columns."""

import re
from collections.abc import Iterator

import duckdb
import pytest

from tests.metrics.markets import at, cancelled_quote, closed_rfq, executed_quote, moment, read_at
from transforms.build import build
from transforms.catalogue import LOGS, catalogue, describe, undescribed
from transforms.marts import MARTS
from transforms.metrics.objects import load_objects
from transforms.settings import Settings
from transforms.staging import TABLES


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """An RFQ of ours with a quote that won and one that lost, and one of others that we quoted."""
    rfqs = [closed_rfq("r1", 0, 30), closed_rfq("r2", 0, 30, creator_id="stranger")]
    ours = {"creator_id": "desk", "rfq_creator_id": "stranger"}
    quotes = [
        executed_quote("q1", "r1"),
        cancelled_quote("q2", "r1", creator_id="B"),
        cancelled_quote("q3", "r2", **ours),
    ]
    with duckdb.connect() as connection:
        load_objects(connection, read_at(900, rfqs), read_at(900, quotes))
        build(connection, MARTS, Settings(as_of=moment(at(900)), viewer_id="desk"))
        describe(connection)
        yield connection


def columns(database: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str | None]]:
    """Return the comment of every column, by table and column."""
    found: dict[str, dict[str, str | None]] = {}
    for table, column, comment in database.execute(
        "select schema_name || '.' || table_name, column_name, comment from duckdb_columns()"
        " where schema_name in ('staging', 'marts', 'incremental')"
        " or table_name in (select unnest($1))",
        [LOGS],
    ).fetchall():
        found.setdefault(table, {})[column] = comment
    return found


def test_every_table_and_column_is_described(database):
    assert undescribed(database) == []


def test_the_descriptions_are_in_the_database(database):
    tables = database.execute(
        "select comment from duckdb_tables() where schema_name in ('staging', 'marts')"
    ).fetchall()

    views = ["rfq_facts"]
    assert len(tables) == len(MARTS) + len(["build_info", *TABLES]) - len(views)
    assert all("One row" in comment for (comment,) in tables)
    assert all(text for table in columns(database).values() for text in table.values())


def test_every_function_says_what_it_is_for(database):
    """Of the current database alone: DuckDB's own are in other schemas."""
    texts = dict(
        database.execute(
            "select function_name, comment from duckdb_functions() where schema_name = 'marts'"
        ).fetchall()
    )

    assert texts == catalogue()["macros"]


def test_a_database_without_marts_has_the_functions_and_no_views():
    with duckdb.connect() as empty:
        describe(empty)

        assert empty.execute("select marts.wilson_low(0, 10)").fetchall() == [(0,)]
        views = "select count(*) from duckdb_views() where schema_name = 'marts'"
        assert empty.execute(views).fetchall() == [(0,)]


def test_nothing_is_described_that_does_not_exist(database):
    existing = columns(database)
    sections = {name: set(texts) for name, texts in catalogue().items() if "." in name}

    unknown = {
        f"{table}.{column}"
        for table, described in sections.items()
        for column in described - {"_table"} - set(existing.get(table, {}))
    }

    assert unknown == set()
    assert set(sections) == set(existing)


def test_no_shared_text_or_family_is_left_unused(database):
    existing = {column for table in columns(database).values() for column in table}

    assert set(catalogue()["shared"]) - existing == set()
    for pattern in catalogue()["families"]:
        assert any(re.fullmatch(pattern, column) for column in existing), pattern


@pytest.mark.parametrize("mart", MARTS, ids=lambda mart: mart.__name__)
def test_the_example_in_a_marts_docstring_runs(database, mart):
    """An example is the indented block that starts with `select` or `with`."""
    text = mart.__doc__ or ""
    for example in re.findall(r"\n\n {8}((?:select|with) .*?)\n\n", text, flags=re.DOTALL):
        assert database.execute(example).fetchall()


@pytest.mark.parametrize("mart", MARTS, ids=lambda mart: mart.__name__)
def test_a_marts_docstring_ends_with_its_grain(mart):
    assert re.search(r"One row per [^.]+\.$", (mart.__doc__ or "").strip())


def test_an_undescribed_column_is_reported_and_does_no_harm(database):
    database.execute("create table marts.fresh as select 1 as surprise")

    describe(database)

    assert undescribed(database) == ["marts.fresh", 'marts.fresh."surprise"']
    database.execute("drop table marts.fresh")
