"""The catalogue and the built database name the same tables and columns."""

import re
from collections.abc import Iterator

import duckdb
import pytest

from tests.metrics.markets import (
    at,
    cancelled_quote,
    closed_rfq,
    executed_quote,
    followed,
    moment,
    quote,
    read_at,
    rfq,
)
from tests.metrics.warehouse import warehouse
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


def test_the_texts_say_where_an_end_has_no_time_and_what_ends_one_that_was_lost():
    """A stranger's RFQ closed at a time that nobody shows; one of ours was gone after 8 s."""
    stranger = rfq("r1", creator_id="stranger", status="closed", updated_ts=None)
    mine = quote("q1", "r1", creator_id="desk", rfq_creator_id="stranger")
    when = Settings(as_of=moment(at(900)), viewer_id="desk")
    with warehouse([stranger, rfq("r2")], [mine], when, [("rfqs", "r2", 100.0)], 8) as marts:
        ends = marts["rfq_facts"].sort("rfq_id").select("end_cause", "end_ts", "lifetime_bucket")
        lives = marts["quote_facts"].select("end_cause", "end_ts", "quote_lifetime_s")

    assert ends.rows() == [("closed", None, None), ("lost", moment(at(8)), "5-20 s")]
    assert lives.rows() == [("rfq_end", None, None)]
    texts = catalogue()
    for table in ("marts.quote_facts", "marts.my_quotes"):
        assert "an RFQ that was over at an unknown time" in texts[table]["end_ts"]
    assert "NULL where that is" in texts["shared"]["quote_lifetime_s"]
    assert "over and no time of that is shown" in texts["marts.rfq_facts"]["end_ts"]
    assert "over at an unknown time" in texts["marts.watched_by_day"]["_table"]
    for text in (texts["marts.rfq_facts"]["end_ts"], texts["shared"]["lifetime_bucket"]):
        assert "last seen open" in text


def test_the_text_of_the_last_look_allows_for_one_beyond_its_window():
    """A combo has 3 s to confirm; a confirmation that was shown after 10 s is kept."""
    combo = rfq("r1", mve_collection_ticker="KXMVE-R", mve_selected_legs=[{"side": "yes"}] * 2)
    slow = followed(quote("q1", "r1"), accepted=5, confirmed=15, executed=16)
    with warehouse([combo], [slow], Settings(as_of=moment(at(900)))) as marts:
        (found,) = marts["quote_facts"].rows(named=True)

    assert (found["confirm_window_s"], found["confirm_latency_s"]) == (3, 10.0)
    assert "also beyond confirm_window_s" in catalogue()["shared"]["confirm_latency_s"]


def test_the_text_of_a_makers_share_names_what_it_is_a_share_of():
    (text,) = (text for name, text in catalogue()["families"].items() if name.endswith("_share"))

    assert "all makers of the same cohort_date, visibility and capture" in text


def test_an_undescribed_column_is_reported_and_does_no_harm(database):
    database.execute("create table marts.fresh as select 1 as surprise")

    describe(database)

    assert undescribed(database) == ["marts.fresh", 'marts.fresh."surprise"']
    database.execute("drop table marts.fresh")
