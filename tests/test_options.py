"""The options of every command, from one table: who has them, what they are unless given, edges."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from pipelines.cli import app
from tests.running import Command

ELSEWHERE = "https://exchange.example/trade-api/v2"
RUNS = ("run", "load", "backfill", "build")
LOADS = ("run", "load", "backfill")
ASKING = (*LOADS, "doctor")
SINCE = {"backfill": ("--since", "1d")}
DATABASE = "rfq.duckdb"
# Of each option the commands that have it, and what it is unless it is given.
OPTIONS: list[tuple[str, tuple[str, ...], Any]] = [
    ("--database", ("run", "watch"), None),
    ("--database", ("load", "backfill", "build", "status", "doctor", "purge", "backup"), DATABASE),
    ("--database", ("report", "explore", "sql", "export"), DATABASE),
    ("--base-url", (*ASKING, "watch"), None),
    ("--allow-unknown-host", (*ASKING, "watch"), False),
    ("--accept-loss", ("run",), False),
    ("--sandbox", ("run", "watch"), False),
    ("--quotes-every", ("watch",), "0:00:05"),
    ("--every", ("watch",), "0:05:00"),
    ("--log-format", (*RUNS, "watch"), "text"),
    ("--quiet", (*RUNS, "watch"), False),
    ("--verbose", (*RUNS, "watch"), False),
    ("--since", ("backfill",), None),
    ("--until", ("backfill",), None),
    ("--output", ("build", "report", "dictionary"), None),
    ("--full-refresh", ("build",), False),
    ("--executor", ("build",), None),
    ("--insecure-executor", ("build",), False),
    ("--since", ("report", "export"), None),
    ("--until", ("report", "export"), None),
    ("--table", ("export",), None),
    ("--xlsx", ("report",), None),
    ("--zone", ("report",), "America/New_York"),
    ("--unit", ("report",), "cents"),
    ("--role", ("report",), None),
    ("--with", ("report", "explore"), None),
    ("--only", ("report",), None),
    ("--names", ("report",), None),
    ("--file", ("sql",), None),
    ("--example", ("sql",), None),
    ("--examples", ("sql",), False),
    ("--csv", ("sql",), False),
    ("--as-of", ("build",), None),
    ("--json", ("status", "doctor", "sql"), False),
    ("--stale-after", ("status",), "0:15:00"),
    ("--notify", ("status",), False),
    ("--offline", ("doctor",), False),
    ("--older-than", ("purge",), None),
    ("--account", ("purge", "sandbox"), None),
    ("--yes", ("purge",), False),
    ("--port", ("explore", "sandbox"), 0),
    ("--no-browser", ("explore",), False),
    ("--list", ("explore",), False),
    ("--seed", ("sandbox",), 1),
    ("--days", ("sandbox",), 3.0),
    ("--rfqs-per-day", ("sandbox",), 1_500),
    ("--speed", ("sandbox",), None),
    ("--replay", ("sandbox",), None),
]
# The least and the most that a number may be.
BOUNDS = {
    "--port": (0, 65_535),
    "--days": (0, None),
    "--rfqs-per-day": (0, None),
    "--speed": (0.001, None),
}
NONSENSE = [
    ("backfill", "--since", "soon"),
    ("backfill", "--until", "2026-13-01"),
    ("build", "--as-of", "yesterday"),
    ("status", "--stale-after", "15"),
    ("watch", "--quotes-every", "5"),
    ("watch", "--every", "often"),
    ("purge", "--older-than", "1y"),
    *(("sandbox", name, str(low - 0.001 if low else -1)) for name, (low, _) in BOUNDS.items()),
    ("sandbox", "--port", "65536"),
    *((command, "--log-format", "xml") for command in RUNS),
]


def options() -> dict[tuple[str, str], Any]:
    """Every option of the command, by its command and its longest name."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group
    return {
        (name, max(option.opts, key=len)): option
        for name, command in commands.items()
        for option in command.params
        if option.opts[0].startswith("-")
    }


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the command runs in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_option_is_what_the_table_says_unless_it_is_given() -> None:
    found = {place: option.default for place, option in options().items()}

    expected = {(each, name): value for name, commands, value in OPTIONS for each in commands}
    assert {place: _told(value) for place, value in found.items()} == expected


def _told(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def test_the_least_and_the_most_of_each_number_are_what_the_table_says() -> None:
    found = {
        name: (option.min, option.max)
        for (_, name), option in options().items()
        if (option.min, option.max) != (None, None)
    }

    assert found == BOUNDS


@pytest.mark.parametrize(("command", "option", "value"), NONSENSE)
def test_what_an_option_cannot_be_is_wrong_usage(
    rfq: Command, elsewhere: Path, command: str, option: str, value: str
) -> None:
    ended = rfq(command, option, value)

    assert (ended.code, ended.out) == (2, "")
    assert option in ended.err
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("command", ASKING)
def test_no_command_signs_for_an_unknown_host_unless_told_to(
    rfq: Command, key: Path, elsewhere: Path, command: str
) -> None:
    ended = rfq(command, *SINCE.get(command, ()), "--base-url", ELSEWHERE)

    assert ended.code == 78
    assert "exchange.example is not one of the exchange's hosts" in ended.out + ended.err


def test_an_unknown_host_is_taken_from_who_says_so(
    rfq: Command, key: Path, elsewhere: Path
) -> None:
    ended = rfq("doctor", "--offline", "--base-url", ELSEWHERE, "--allow-unknown-host")

    assert f"{ELSEWHERE}, not asked" in ended.out


@pytest.mark.parametrize("command", LOADS)
def test_each_command_that_loads_writes_its_log_as_it_is_told_to(
    rfq: Command, key: Path, elsewhere: Path, command: str
) -> None:
    """Of a run that is refused: its start and its end, or its end alone, in lines of JSON."""
    asked = (command, *SINCE.get(command, ()), "--base-url", ELSEWHERE, "--log-format", "json")

    usual, quiet = rfq(*asked), rfq(*asked, "--quiet")

    assert "info" in levels(usual.err)
    assert "info" not in levels(quiet.err)
    assert levels(rfq(*asked[:-2]).err) == set()


def levels(err: str) -> set[str]:
    """The levels of the lines of JSON."""
    return {json.loads(line)["level"] for line in err.splitlines() if line.startswith("{")}


@pytest.mark.parametrize("command", ["status", "doctor"])
def test_what_is_asked_for_as_json_is_json_and_nothing_else_is(
    rfq: Command, key: Path, elsewhere: Path, command: str
) -> None:
    extra = ("--offline",) if command == "doctor" else ()

    as_json, as_text = rfq(command, *extra, "--json"), rfq(command, *extra)

    assert json.loads(as_json.out)
    assert as_text.out
    assert as_text.out[0] not in "[{"
    assert as_json.code == as_text.code
