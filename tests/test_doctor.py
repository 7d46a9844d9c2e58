"""What the doctor finds, and the one exit code that it ends with."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.operations.doctor import examined
from pipelines.operations.runs import Run, append_end, append_start
from pipelines.sandbox import Account, Market, SystemClock
from pipelines.store.database import Database
from pipelines.store.stamp import LAYOUT
from tests.running import UNHURRIED, Command
from tests.test_runs import at_work

CHECKS = [
    *("key", "scopes", "clock", "limits", "base_url"),
    *("disk", "permissions", "layout", "space", "schedule"),
]
MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> SystemClock:
    """The exchange's clock, which is right until a test moves it."""
    return SystemClock()


@pytest.fixture
def market(clock: SystemClock) -> Market:
    """An exchange that tells what a key may do."""
    return Market(clock=clock, behavior=replace(UNHURRIED, tells_scopes=True))


@pytest.fixture
def desk(market: Market) -> Account:
    """A desk whose key may only read."""
    return market.add_account("desk", key="ed25519", scopes=("read",))


@pytest.fixture
def healthy(database: Database) -> Database:
    """A private file, and the record of runs every five minutes."""
    with database.held(), database.writing(may_create=True):
        pass
    for number in range(6):
        began = datetime.now(UTC) - (1 + 5 * number) * MINUTE
        run = Run(f"{number}", "run", began, began + MINUTE, 0)
        append_end(database.path, run, has_start=False)
    return database


def states(found: str) -> dict[str, str]:
    return {each["check"]: each["state"] for each in json.loads(found)}


def test_a_healthy_database_passes_every_check(
    rfq: Command, key: Path, exchange: Any, healthy: Database
) -> None:
    before = sorted(healthy.path.parent.iterdir())

    ended = rfq("doctor", "--json", "--base-url", exchange.base_url, "--database", healthy.path)

    found = json.loads(ended.out)
    assert ended.code == 0, found
    assert [each["check"] for each in found] == CHECKS
    assert all(list(each) == ["check", "state", "found", "do"] for each in found)
    assert set(states(ended.out).values()) == {"ok"}, found
    assert sorted(healthy.path.parent.iterdir()) == before


def test_offline_asks_nothing(rfq: Command, key: Path, exchange: Any, healthy: Database) -> None:
    where = ("--base-url", exchange.base_url, "--database", healthy.path)

    ended = rfq("doctor", "--offline", "--json", *where)

    assert ended.code == 0
    assert list(exchange.requests) == []
    skipped = {check for check, state in states(ended.out).items() if state == "skipped"}
    assert skipped == {"scopes", "clock", "limits"}


def test_what_is_wrong_is_told_with_what_to_do_and_credentials_go_first(
    rfq: Command,
    key: Path,
    exchange: Any,
    healthy: Database,
    clock: SystemClock,
    market: Market,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A key that may write (77), a clock that is off and a private file open to all (78)."""
    trader = market.add_account("trader", key="ed25519")
    key.write_text(trader.private_key_pem)
    monkeypatch.setenv("SOURCES__KALSHI__API_KEY_ID", trader.api_key_id)
    clock.advance(3_600)
    healthy.private_path.chmod(0o644)
    where = ("--base-url", exchange.base_url, "--database", healthy.path)

    ended = rfq("doctor", *where)

    assert ended.code == 77
    lines = ended.out.splitlines()
    failed = [line.split()[1] for line in lines if line.startswith("fail")]
    assert failed == ["scopes", "clock", "permissions"]
    assert f"chmod 600 '{healthy.private_path}'" in ended.out
    assert "Make a key with the scope read alone." in ended.out
    monkeypatch.setenv("SOURCES__KALSHI__ALLOW_WRITING_KEY", "true")
    assert rfq("doctor", *where).code == 78


def test_no_key_and_a_refused_one_are_credentials(
    rfq: Command,
    exchange: Any,
    healthy: Database,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where = ("--json", "--base-url", exchange.base_url, "--database", healthy.path)

    none = rfq("doctor", *where)
    request.getfixturevalue("key")
    monkeypatch.setenv("SOURCES__KALSHI__API_KEY_ID", "00000000-0000-4000-8000-000000000000")
    refused = rfq("doctor", *where)

    assert (none.code, refused.code) == (77, 77)
    assert states(none.out)["base_url"] == "skipped"
    assert states(refused.out)["base_url"] == "ok"


def test_an_exchange_that_does_not_answer_is_unreachable(
    rfq: Command, key: Path, healthy: Database, desk: Account
) -> None:
    ended = rfq(
        *("doctor", "--base-url", "http://127.0.0.1:9/trade-api/v2"), "--database", healthy.path
    )

    assert ended.code == 69
    assert "fail     base_url" in ended.out
    assert desk.api_key_id not in ended.out


@pytest.fixture
def later(healthy: Database) -> Database:
    """A database that a later version has written."""
    with duckdb.connect(healthy.private_path) as connection:
        connection.execute("update raw.stamp set layout = $1", [LAYOUT + 1])
    return healthy


def test_files_of_a_later_version_and_a_dead_schedule_are_found(
    rfq: Command, key: Path, later: Database
) -> None:
    for number in range(9):
        began = datetime.now(UTC) - timedelta(days=3) + number * MINUTE
        append_end(later.path, Run(f"x{number}", "run", began, began, 0), has_start=False)
    record = later.path.parent / "rfq.runs.jsonl"
    old = [line for line in record.read_text().splitlines() if '"run_id": "x' in line]
    record.write_text("\n".join(old))

    ended = rfq("doctor", "--offline", "--json", "--database", later.path)

    assert ended.code == 78
    assert [check for check, state in states(ended.out).items() if state == "fail"] == [
        "layout",
        "schedule",
    ]


@pytest.mark.parametrize(
    ("made_older", "found"),
    [
        (
            "update raw.stamp set layout = 1",
            f"the private file has layout 1; this version writes {LAYOUT}",
        ),
        ("drop table raw.stamp", "the private file has no stamp that tells its layout"),
    ],
)
def test_a_private_file_of_an_earlier_layout_is_said_to_be_one(
    made_older: str, found: str, rfq: Command, key: Path, healthy: Database
) -> None:
    """The next run brings it up to today's, so there is nothing to do."""
    with duckdb.connect(healthy.private_path) as connection:
        connection.execute(made_older)

    ended = rfq("doctor", "--offline", "--json", "--database", healthy.path)

    (layout,) = (each for each in json.loads(ended.out) if each["check"] == "layout")
    assert (ended.code, layout["state"]) == (0, "warn")
    assert layout["found"].startswith(found)
    assert layout["do"] == "Nothing: the next run or build brings it up to that."


def test_a_doctor_of_nothing_says_how_to_begin(rfq: Command, key: Path, tmp_path: Path) -> None:
    ended = rfq("doctor", "--offline", "--json", "--database", tmp_path / "none" / "x.duckdb")

    assert ended.code == 78
    assert states(ended.out)["disk"] == "fail"
    assert states(ended.out)["layout"] == "warn"


def test_a_run_that_is_at_work_is_alive_however_long(database: Database) -> None:
    """Those that find it at work are not recorded."""
    last = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for number in range(6):
        began = last + number * timedelta(minutes=5)
        append_end(database.path, Run(f"x{number}", "run", began, began, 0), has_start=False)
    append_start(database.path, Run("now", "backfill", began + timedelta(minutes=5)))
    later = began + timedelta(hours=2)

    with at_work(database.path):
        found = examined(database.path, None, later, allow_unknown_host=False, is_offline=True)

    (schedule,) = (each for each in found if each.check == "schedule")
    assert (schedule.state.value, "at work for 1 h 55 min" in schedule.found) == ("ok", True)


@pytest.mark.parametrize("command", ["run", "watch"])
@pytest.mark.parametrize(
    ("runs", "since_h", "state"),
    [
        (5, 3, "ok"),
        (5, 3.001, "fail"),
        (4, 3.001, "warn"),
        (2, 3, "ok"),
        (1, 0, "warn"),
    ],
)
def test_a_schedule_of_five_runs_is_dead_after_three_missed_ones(
    database: Database, command: str, runs: int, since_h: float, state: str
) -> None:
    """Runs, or the cycles of a watch, came every hour; few may have been started by hand."""
    hour, last = timedelta(hours=1), datetime(2026, 11, 20, 12, tzinfo=UTC)
    for number in range(runs):
        began = last - (runs - 1 - number) * hour
        append_end(database.path, Run(f"x{number}", command, began, began, 0), has_start=False)

    found = examined(
        database.path, None, last + since_h * hour, allow_unknown_host=False, is_offline=True
    )

    assert {each.check: each.state.value for each in found}["schedule"] == state
