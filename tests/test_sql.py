"""`rfq sql`: what is asked, what may be asked, and how the rows are written."""

import csv
import json
import os
import shutil
import subprocess
import sys
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import duckdb
import pytest

from pipelines.commands import sql
from pipelines.commands.sql import SHOWN_ROWS
from pipelines.store.publish import STORAGE_VERSION
from tests.accounts import Shown, of_desk, published
from tests.running import Command, damage_block

VALUES = """
select 1.50::decimal(9, 2) as price, 0.1::double as rate, 'nan'::double as odd, true as is_so,
    timestamptz '2026-11-20 12:00:00.5+00' as seen_ts, date '2026-11-20' as day, null as nothing,
    [1.10, 2.20] as bids, {'n': 1, 'at': timestamp '2026-11-20 01:02:03'} as part, 'a"b' as text
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(tmp_path_factory.mktemp("sql") / "rfq.duckdb", Shown("desk", *of_desk())).path


def test_json_is_one_array_with_exact_decimals_and_times_with_a_z(rfq: Command, database: Path):
    ended = rfq("sql", VALUES, "--json", "--database", database)

    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out) == [
        {
            "price": "1.50",
            "rate": 0.1,
            "odd": None,
            "is_so": True,
            "seen_ts": "2026-11-20T12:00:00.500000Z",
            "day": "2026-11-20",
            "nothing": None,
            "bids": ["1.10", "2.20"],
            "part": {"n": 1, "at": "2026-11-20T01:02:03.000000Z"},
            "text": 'a"b',
        }
    ]


def test_csv_has_a_header_and_says_the_same(rfq: Command, database: Path):
    ended = rfq("sql", VALUES, "--csv", "--database", database)

    (row,) = csv.DictReader(StringIO(ended.out))
    assert row["price"] == "1.50"
    assert row["seen_ts"] == "2026-11-20T12:00:00.500000Z"
    assert (row["nothing"], row["odd"], row["is_so"]) == ("", "", "true")
    assert json.loads(row["part"]) == {"n": 1, "at": "2026-11-20T01:02:03.000000Z"}


def test_no_rows_are_an_empty_array_and_a_header(rfq: Command, database: Path):
    nothing = "select 1 as n where false"

    assert json.loads(rfq("sql", nothing, "--json", "--database", database).out) == []
    assert rfq("sql", nothing, "--csv", "--database", database).out == "n\n"
    assert rfq("sql", nothing, "--database", database).out.endswith("(0 rows)\n")


def test_a_table_shows_a_hundred_rows_and_how_many_more(rfq: Command, database: Path):
    ended = rfq("sql", "select i from range(12345) as t(i)", "--database", database)

    lines = ended.out.splitlines()
    assert len(lines) == SHOWN_ROWS + 3 == 103
    assert lines[-1] == "(100 rows, and 12,245 more: --csv or --json shows all)"
    every = rfq("sql", "select i from range(12345) as t(i)", "--csv", "--database", database)
    assert len(every.out.splitlines()) == 12346


def test_a_table_shows_sums_to_the_cent_and_ratios_in_six_digits(rfq: Command, database: Path):
    shown = {
        "123456.78": "123456.78",
        "1000001.0": "1000001",
        "-98765432.1": "-98765432.1",
        "12.345678": "12.345678",
        "123456789.123456": "123456789.123456",
        "200000000000.0": "200000000000",
        "1.0 / 3": "0.333333",
        "4.0 / 3": "1.333333",
        "0.1 + 0.2": "0.3",
        "0.00005": "0.00005",
        "0": "0",
        "1e15": "1e+15",
        "'nan'": "nan",
        "'-infinity'": "-inf",
    }
    asked = ", ".join(f"({number})::double as c{n}" for n, number in enumerate(shown))

    ended = rfq("sql", f"select {asked}", "--database", database)

    assert ended.out.splitlines()[2].split() == [*shown.values()]


def test_two_columns_of_one_name_keep_their_values(rfq: Command, database: Path):
    ended = rfq("sql", "select 1 as n, 2 as n, 3 as n_1", "--json", "--database", database)

    assert [*json.loads(ended.out)[0].values()] == [1, 2, 3]


def test_a_cell_of_a_table_commands_no_terminal(rfq: Command, database: Path):
    ended = rfq("sql", r"select E'\x1b[31m\n' || repeat('x', 200) as t", "--database", database)

    assert "\x1b" not in ended.out
    assert r"\x1b[31m\nxx" in ended.out
    assert max(map(len, ended.out.splitlines())) == 80


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_the_zone_of_the_machine_changes_nothing(database: Path, zone: str):
    query = "select timestamptz '2026-11-20 12:00:00+00'::varchar as t, current_setting('TimeZone')"
    command = [Path(sys.executable).with_name("rfq"), "sql", query, "--csv", "--database", database]

    said = subprocess.run(
        command, env={**os.environ, "TZ": zone}, capture_output=True, text=True, check=True
    )

    assert said.stdout.splitlines()[1] == "2026-11-20 12:00:00+00,UTC"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select nope", "Binder Error"),
        ("selec 1", "Parser Error: syntax error at or near"),
        ("select * from marts.nope", "Catalog Error"),
        ("select 'x'::integer", "Conversion Error"),
        ("create table marts.mine (n integer)", "read-only mode"),
        ("create table memory.main.mine (n integer)", "memory"),
        ("insert into marts.trust select * from marts.trust", "read-only mode"),
        ("update marts.trust set verdict = 'clean'", "read-only mode"),
        ("delete from marts.trust", "read-only mode"),
        ("drop table marts.trust", "read-only mode"),
        ("copy marts.trust to 'FILE'", "only reads"),
        ("copy (select 1) to 'FILE'; select 1", "only reads"),
        ("export database 'FILE'", "only reads"),
        ("attach 'FILE' as mine", "attach the file as (read_only)"),
        ("attach 'FILE' as mine (read_only false)", "attach the file as (read_only)"),
        ("explain copy (select 1) to 'FILE'", "only reads"),
        ("explain analyze copy (select 1) to 'FILE'", "only reads"),
        ("EXPLAIN (ANALYZE, FORMAT json) COPY (select 1) to 'FILE'", "only reads"),
        ("explain /* x */ analyze copy (select 1) to 'FILE'", "Parser Error"),
        ("prepare p as copy (select 1) to 'FILE'; execute p", "only reads"),
        ("import database 'FILE'", "does no IMPORT"),
        ("set log_query_path = 'FILE'; select 1", "locked"),
        ("call enable_logging(storage = 'file', storage_config = {'path': 'FILE'})", "locked"),
        ("set secret_directory = 'FILE'", "locked"),
        ("create persistent secret s (type http, bearer_token 'x')", "ersistent secrets"),
        ("set timezone = 'Asia/Tokyo'; select 1", "locked"),
        ("reset timezone", "locked"),
        ("from 'FILE.parquet'", "No files found"),
        ("attach 'FILE' as mine (read_only)", "database does not exist"),
        ("select error('corrupt')", "Invalid Input Error: corrupt"),
        ("select '\udcff'", "not UTF-8"),
        ("select 1; select nope", "Binder Error"),
        ("  -- nothing", "there is no query"),
    ],
)
def test_what_is_wrong_or_writes_ends_with_2_and_says_why(
    query: str, message: str, rfq: Command, database: Path, tmp_path: Path
) -> None:
    before = database.read_bytes()

    ended = rfq("sql", query.replace("FILE", str(tmp_path / "made")), "--database", database)

    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert database.read_bytes() == before
    assert [*tmp_path.iterdir()] == []


def test_a_damaged_file_is_said_to_be_one_and_no_wrong_query(
    rfq: Command, database: Path, tmp_path: Path
) -> None:
    """DuckDB comes upon the damage as it reads the rows."""
    damaged = tmp_path / "rfq.duckdb"
    shutil.copyfile(database, damaged)
    damage_block(damaged, "staging.rfqs")

    ended = rfq("sql", "from staging.rfqs", "--database", damaged)

    assert ended.code == 65
    assert f"{damaged} is damaged: `rfq build --full-refresh` makes it anew" in ended.err


def test_a_query_that_finds_no_room_is_to_be_asked_again(
    rfq: Command, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    little = f"set memory_limit = '30MB'; set temp_directory = ''; {sql._LOCKED}"
    monkeypatch.setattr(sql, "_LOCKED", little)

    ended = rfq(
        *(
            "sql",
            "select count(*) from (select distinct md5(i::varchar) from range(2_000_000) t(i))",
        ),
        *("--database", database),
    )

    assert ended.code == 75
    assert "DuckDB could not work: Out of Memory Error" in ended.err


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("pivot (select 'a' as k, 1 as n) on k using sum(n)", [{"a": 1}]),
        ("use marts; select count(*) > 0 as held from trust", [{"held": True}]),
        ("create temp table t as select 3 as n; from t", [{"n": 3}]),
        ("set variable n = 4; select getvariable('n') as n", [{"n": 4}]),
    ],
)
def test_what_writes_nothing_of_the_file_is_asked(
    query: str, rows: list[object], rfq: Command, database: Path
) -> None:
    ended = rfq("sql", query, "--json", "--database", database)

    assert (ended.err, json.loads(ended.out)) == ("", rows)
    explained = rfq("sql", "explain (analyze) (select 1)", "--json", "--database", database)
    assert explained.code == 0


def test_spans_are_as_duckdb_writes_them_and_infinite_times_are_no_times(
    rfq: Command, database: Path
) -> None:
    """As text of DuckDB's own beside each; an infinite moment is no last day of the year 9999."""
    spans = ["2 days 03:04:05.5", "-00:00:01", "1 day", "00:00:00", "-1 days -02:00:00"]
    asked = ", ".join(f"interval '{span}' as s{n}, s{n}::varchar" for n, span in enumerate(spans))
    never = "'infinity'::timestamp as a, '-infinity'::timestamptz as b, timestamp '0050-01-02' as c"

    (told,) = json.loads(rfq("sql", f"select {asked}", "--json", "--database", database).out)
    (ends,) = json.loads(rfq("sql", f"select {never}", "--json", "--database", database).out)

    cells = [*told.values()]
    assert cells[::2] == cells[1::2]
    assert ends == {"a": None, "b": None, "c": "0050-01-02T00:00:00.000000Z"}


def test_another_file_may_be_attached_to_read(rfq: Command, database: Path):
    attach = (
        f"attach '{database}' as other (read_only); select count(*) as n from other.marts.trust"
    )

    ended = rfq("sql", attach, "--csv", "--database", database)

    assert ended.out == "n\n1\n", ended.err


def test_a_query_comes_from_a_file_or_from_stdin(
    rfq: Command, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = tmp_path / "query.sql"
    query.write_text("select 7 as n")
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"select 8 as n")))

    assert rfq("sql", "-f", query, "--csv", "--database", database).out == "n\n7\n"
    assert rfq("sql", "--csv", "--database", database).out == "n\n8\n"
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"select '\xff'")))
    assert rfq("sql", "--database", database).code == 2
    monkeypatch.setattr("sys.stdin", None)
    assert "there is no query" in rfq("sql", "--database", database).err
    missing = rfq("sql", "-f", tmp_path / "nothing", "--database", database)
    assert missing.code == 2
    # The box around the message may break the line anywhere.
    assert "cannot be read" in " ".join(missing.err.replace("│", " ").split())


def test_the_examples_are_listed_and_asked_by_name(rfq: Command, database: Path):
    listed = rfq("sql", "--examples")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()][:2] == [
        "fill_rate_by_day",
        "fill_rate_by_series",
    ]
    as_json = json.loads(rfq("sql", "--examples", "--json").out)
    assert {"name", "question", "sql"} == as_json[0].keys()

    unknown = rfq("sql", "--example", "nope", "--database", database)

    assert unknown.code == 2
    assert "died_where" in unknown.err


@pytest.mark.parametrize(
    "arguments",
    [("select 1", "--example", "died_where"), ("--csv", "--json", "select 1"), ("--examples", "x")],
)
def test_two_things_at_once_are_wrong_usage(arguments: tuple[str, ...], rfq: Command):
    assert rfq("sql", *arguments).code == 2


def test_no_file_is_said_and_what_makes_it(rfq: Command, tmp_path: Path):
    ended = rfq("sql", "select 1", "--database", tmp_path / "rfq.duckdb")

    assert ended.code == 78
    assert "`rfq run` makes it" in ended.err


def test_a_terminal_without_a_query_gets_the_shell_in_utc_and_read_only(
    rfq: Command, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file as a run publishes it; the shell is then fed what one would type."""
    published_file = tmp_path / "rfq.duckdb"
    with duckdb.connect() as connection:
        stored = f"storage_version '{STORAGE_VERSION}'"
        connection.execute(f"attach '{published_file}' as made ({stored})")
        connection.execute(f"attach '{database}' as held (read_only)")
        connection.execute("copy from database held to made")
    become: list[list[str]] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("os.execv", lambda path, arguments: become.append([*map(str, arguments)]))

    rfq("sql", "--database", published_file)

    ended = subprocess.run(
        become[0],
        input="select current_setting('TimeZone') as z; delete from marts.trust;",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "UTC" in ended.stdout
    assert "read-only" in ended.stderr


def test_without_the_shell_its_extra_is_named(
    rfq: Command, database: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))

    ended = rfq("sql", "--database", database)

    assert ended.code == 78
    assert "pip install '.[shell]'" in ended.err
