"""The record of runs: whole lines after a kill, the verdict that follows, and its exit code.

The published files are made by hand, so that no test waits for a run that loads something.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.operations import runs
from pipelines.operations.runs import (
    Run,
    append_end,
    append_start,
    append_verdict,
    read_record,
)
from pipelines.operations.standing import judged, standing
from pipelines.operations.status import show_status
from pipelines.spans import read_moment, read_span, told_bytes, told_span
from pipelines.store.beside import lock_path
from pipelines.store.database import Database
from pipelines.store.stamp import claim, make_stamp
from tests.accounts import Shown, of_desk, published
from tests.running import Command

pytestmark = pytest.mark.usefixtures("few_marts")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def a_run(number: int, code: int | None = 0, **more: Any) -> Run:
    """The run of a minute that began *number* minutes after noon."""
    began = NOON + number * MINUTE
    return Run(f"run-{number}", "run", began, began + MINUTE, code, **more)


@contextmanager
def at_work(database: Path) -> Iterator[None]:
    """Hold the run lock, as another process does."""
    descriptor = os.open(lock_path(database), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rfq.duckdb"


# The file


def test_a_run_is_read_as_it_was_recorded(path: Path) -> None:
    run = a_run(0, 69, message="rfq: no", files={"rfq.duckdb": 7}, published=True)

    append_start(path, run)
    append_end(path, run, has_start=True)

    assert read_record(path).runs == (run,)
    assert (path.parent / "rfq.runs.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_start_without_an_end_was_killed_unless_a_run_holds_the_lock(path: Path) -> None:
    for number in (0, 1):
        append_start(path, a_run(number))

    with at_work(path):
        meanwhile = read_record(path).runs
    afterwards = read_record(path).runs

    assert [run.exit_code for run in meanwhile] == [137, None]
    assert [run.exit_code for run in afterwards] == [137, 137]
    assert afterwards[0].ended_ts is None


def test_broken_lines_are_skipped_and_end_no_later_one(path: Path) -> None:
    """As a power cut or a hand leaves them: half a line, no JSON, other JSON, bytes, no types."""
    append_end(path, a_run(0), has_start=False)
    record = path.parent / "rfq.runs.jsonl"
    lines = ["{}", "[]", "null", "nonsense", '{"event": "end", "run_id": 1}', "[" * 100_000]
    whole = record.read_bytes()
    wrong = [json.dumps({**json.loads(whole.splitlines()[-1]), "ts": "soon"})]
    text = "\n".join([*lines, *wrong]).encode()
    record.write_bytes(whole + text + b'\n\xff\xfe\n{"event": "start", "run')

    append_end(path, a_run(1, 77), has_start=False)

    assert [(run.run_id, run.exit_code) for run in read_record(path).runs] == [
        ("run-0", 0),
        ("run-1", 77),
    ]


def test_only_the_newest_lines_are_kept_and_what_was_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "KEPT_LINES", 6)
    append_verdict(path, "stale", NOON)

    for number in range(9):
        append_start(path, a_run(number))
        append_end(path, a_run(number), has_start=True)

    record = read_record(path)
    assert record.told_verdict == "stale"
    assert record.runs[-1].run_id == "run-8"
    assert len((path.parent / "rfq.runs.jsonl").read_text().splitlines()) == 7
    assert [each.name for each in path.parent.iterdir()] == ["rfq.runs.jsonl"]


def test_databases_of_one_stem_share_no_runs(path: Path) -> None:
    append_end(path.with_suffix(".db"), a_run(0, 77), has_start=False)

    assert read_record(path).runs == ()


# The verdict


@pytest.mark.parametrize(
    ("codes", "minutes_ago", "verdict"),
    [
        ([], None, "never_ran"),
        ([69], None, "never_ran"),
        ([0], 15, "fresh"),
        ([0], 16, "stale"),
        ([0, 69], 1, "fresh"),
        ([69, 75], 1, "fresh"),
        ([0, 69, 75], 1, "fresh"),
        ([69, 75, 69], 1, "failing"),
        ([69, 75, 143], 60, "failing"),
        ([77], 1, "failing"),
        ([77, 0], 1, "fresh"),
        ([0, 137], 1, "failing"),
        ([78], None, "failing"),
        ([0, 65], 60, "failing"),
        ([0, 70], 1, "failing"),
    ],
)
def test_one_failure_that_passes_pages_nobody_and_one_that_stays_does(
    codes: list[int], minutes_ago: int | None, verdict: str
) -> None:
    ended = [a_run(number, code) for number, code in enumerate(codes)]
    published_ts = None if minutes_ago is None else NOON - minutes_ago * MINUTE

    found, reason = judged(ended, published_ts, NOON, 15 * MINUTE)

    assert found == verdict
    assert all(str(code) in reason for code in codes[-1:] if verdict == "failing" and code != 137)


def test_a_run_at_work_is_no_verdict(path: Path) -> None:
    at_it = Run("now", "run", NOON)

    assert judged([a_run(0, 77), at_it], NOON, NOON, MINUTE)[0] == "failing"
    assert judged([a_run(0, 0), at_it], NOON, NOON, MINUTE)[0] == "fresh"


# The command

STAMPED = ("sandbox seed=1", "fingerprint of the desk")


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A published file of a desk, which tells whose it is."""
    path = tmp_path_factory.mktemp("standing") / "rfq.duckdb"
    made = published(path, Shown("desk", *of_desk(), compared=(20, 1)))
    with duckdb.connect(path) as connection:
        make_stamp(connection, "published")
        claim(connection, *STAMPED)
    return made


@pytest.fixture
def shown(held: Database) -> Iterator[Database]:
    """The same, without the record of the test before."""
    yield held
    (held.path.parent / "rfq.runs.jsonl").unlink(missing_ok=True)


def test_a_status_of_json_has_the_keys_that_were_promised(rfq: Command, shown: Database) -> None:
    append_end(shown.path, a_run(0, 0, published=True), has_start=False)
    append_end(shown.path, a_run(1, 77, message="rfq: the key is refused"), has_start=False)

    ended = rfq("status", "--json", "--database", shown.path)

    (line,) = ended.out.splitlines()
    told = json.loads(line)
    assert (ended.code, told["verdict"]) == (4, "failing")
    keys = (
        "verdict reason checked_ts published_ts as_of age_s is_market_complete runs passes gaps"
        " exchange account files free_bytes days_until_full checks rejected_rows"
    )
    assert " ".join(told) == keys
    assert told["runs"][0] == {
        "run_id": "run-1",
        "command": "run",
        "started_ts": "2026-11-20T12:01:00.000000Z",
        "ended_ts": "2026-11-20T12:02:00.000000Z",
        "exit_code": 77,
        "message": "rfq: the key is refused",
    }
    assert {tuple(each) for each in told["passes"]} == {
        ("pass", "watermark_ts", "gap_s", "is_verified")
    }
    assert {tuple(each) for each in told["files"]} == {("path", "bytes", "bytes_per_day")}
    assert told["as_of"] == "2026-05-04T00:16:40.000000Z"
    assert (told["exchange"], told["account"]) == STAMPED
    assert all(check["count"] for check in told["checks"])


def test_a_status_tells_the_verdict_first_and_is_cut_nowhere(rfq: Command, shown: Database) -> None:
    long = "rfq: " + "The exchange did not answer. " * 9
    append_end(shown.path, a_run(1, 69, message=long), has_start=False)

    ended = rfq("status", "--database", shown.path)

    first, *lines = ended.out.splitlines()
    assert ended.code == 0
    assert first.startswith("fresh: published ")
    # A path is as long as it is.
    assert max(len(line) for line in lines if "/" not in line) <= 80
    assert "…" not in ended.out
    assert " ".join(ended.out.split()).count("The exchange did not answer.") == 9
    for title in ("last runs", "read up to", "open RFQs of the market", "files", "rows", "checks"):
        assert any(line.startswith(title) for line in lines)
    assert "1 of 20 were missed by earlier runs" in ended.out


def test_a_status_tells_what_runs_read_up_to_and_no_span_that_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = published(tmp_path / "rfq.duckdb", Shown("desk", *of_desk()))
    with duckdb.connect(made.path) as connection:
        connection.execute(
            "insert into raw.extraction_runs select * replace (unnest(['backfill_made',"
            " 'quotes_by_id']) as pass, null as watermark_after_ts) from raw.extraction_runs"
            " where pass = 'quotes_made'"
        )

    show_status(standing(made, datetime.now(UTC)), made)

    told = capsys.readouterr().out
    assert "backfill" not in told
    (by_id,) = (line for line in told.splitlines() if "quotes_by_id" in line)
    assert "record by record, last 2026-05-04" in by_id


def test_rows_that_could_not_be_read_are_told_before_the_tables(
    shown: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    found = standing(shown, datetime.now(UTC))
    assert found.shown is not None
    show_status(found, shown)
    assert "could not be read" not in capsys.readouterr().out

    show_status(replace(found, shown=replace(found.shown, rejected_rows=3)), shown)

    told = " ".join(capsys.readouterr().out.split("\n\n")[0].split())
    assert "3 times a row could not be read by the last run that published" in told
    assert "raw.extraction_runs" in told


def test_a_status_says_stale_after_what_it_was_told(rfq: Command, shown: Database) -> None:
    ended = rfq("status", "--stale-after", "0s", "--database", shown.path)

    assert ended.code == 3
    assert ended.out.startswith("stale: published ")
    assert rfq("status", "--stale-after", "soon", "--database", shown.path).code == 2


def test_a_disk_that_will_be_full_tomorrow_is_told_of_today(
    shown: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """It grew from nothing within twelve hours; on the last day two more of its size then fit."""
    now = datetime.now(UTC)
    then = now - timedelta(hours=12)
    small = Run("old", "run", then, then, 0, published=True, files={"rfq.duckdb": 1})
    append_end(shown.path, small, has_start=False)

    found = standing(shown, now)

    size = shown.path.stat().st_size
    (file,) = (each for each in found.files if each.path == shown.path)
    assert file.bytes_per_day == pytest.approx(2 * (size - 1))
    days = found.days_until_full
    assert days is not None
    grown = sum((each.bytes_per_day or 0) * days for each in found.files)
    by_then = size + file.bytes_per_day * days
    assert found.free_bytes - grown == pytest.approx(2 * by_then)
    show_status(replace(found, days_until_full=0.4), shown)
    assert "The disk will be full in 9 h 36 min" in capsys.readouterr().out.splitlines()[1]


def test_a_run_that_fails_before_it_begins_is_recorded(rfq: Command, shown: Database) -> None:
    """Without a key: 78, which the next run will end with as well."""
    shown.private_path.write_bytes(b"not empty")

    ended = rfq("run", "--database", shown.path)

    status = json.loads(rfq("status", "--json", "--database", shown.path).out)
    shown.private_path.unlink()
    assert ended.code == 78
    assert status["verdict"] == "failing"
    (run,) = status["runs"]
    assert (run["command"], run["exit_code"]) == ("run", 78)
    assert "API_KEY_ID" in run["message"]


def test_a_run_that_finds_another_one_is_not_recorded(
    rfq: Command, key: Path, exchange: Any, database: Database
) -> None:
    with at_work(database.path):
        ended = rfq("run", "--base-url", exchange.base_url, "--database", database.path)

    assert ended.code == 75
    assert "another run" in ended.error
    assert read_record(database.path).runs == ()


def test_a_refused_key_is_found_by_the_status(
    rfq: Command,
    key: Path,
    exchange: Any,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOURCES__KALSHI__API_KEY_ID", "00000000-0000-4000-8000-000000000000")

    ended = rfq("run", "--base-url", exchange.base_url, "--database", database.path)

    assert ended.code == 77
    assert rfq("status", "--database", database.path).code == 4
    (run,) = read_record(database.path).runs
    assert (run.exit_code, run.command, run.published) == (77, "run", False)


def test_an_exchange_that_is_silent_three_times_is_failing(
    rfq: Command, key: Path, database: Database
) -> None:
    nowhere = ("--base-url", "http://127.0.0.1:9/trade-api/v2", "--database", database.path)

    ended = rfq("run", *nowhere)
    first = rfq("status", "--database", database.path)
    (run,) = read_record(database.path).runs
    for number in (1, 2):
        append_end(database.path, replace(run, run_id=f"{number}"), has_start=False)

    assert (ended.code, first.code) == (69, 5)
    third = rfq("status", "--database", database.path)
    assert third.code == 4
    assert third.out.startswith("failing: the last three runs failed: they ended with 69, 69, 69")


# How it is told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.4, "0.4 s"),
        (59, "59 s"),
        (90, "2 min"),
        (3_600, "1 h"),
        (7_500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
        (-61, "-1 min"),
    ],
)
def test_spans_are_told_as_people_read_them(seconds: float, told: str) -> None:
    assert told_span(seconds) == told


def test_sizes_are_told_as_people_read_them() -> None:
    assert [told_bytes(size) for size in (12, 1_234, -5e6, 3e12)] == [
        "12 B",
        "1.2 kB",
        "-5.0 MB",
        "3.0 TB",
    ]


def test_spans_and_moments_are_read() -> None:
    assert read_span("1h30m") == timedelta(minutes=90)
    assert read_moment("7d", NOON) == NOON - timedelta(days=7)
    assert read_moment("2026-11-19", NOON) == NOON - timedelta(hours=36)
    assert read_moment("2026-11-20T12:00:00.5Z", NOON) == NOON + timedelta(seconds=0.5)
    for wrong in ("", "7", "d", "7x", "999999d", "soon", "2026-13-01", "2026-11-20T12:00:00+02:00"):
        with pytest.raises(ValueError):
            read_moment(wrong, NOON)
