"""What a command owes to whoever types it: its version, help, completed words, an address."""

import os
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli, job
from pipelines.commands import failures
from pipelines.store.database import Database
from tests.running import Command
from tests.test_imports import ROOT

RFQ = Path(sys.executable).with_name("rfq")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_that_of_the_project(rfq: Command) -> None:
    ended = rfq("--version")

    assert (ended.code, ended.out) == (0, f"rfq {PROJECT['version']}\n")


@pytest.mark.parametrize("words", [["-h"], ["run", "-h"], ["status", "-h"]])
def test_help_is_short_to_ask_for(rfq: Command, words: list[str]) -> None:
    ended = rfq(*words)

    assert ended.code == 0
    assert "--help" in ended.out


@pytest.mark.parametrize(
    ("shell", "asked"),
    [
        ("bash", {"COMP_WORDS": "rfq sta", "COMP_CWORD": "1"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "rfq sta"}),
    ],
)
def test_a_shell_completes_a_command(shell: str, asked: dict[str, str], tmp_path: Path) -> None:
    environment = {**os.environ, **asked, "_RFQ_COMPLETE": f"complete_{shell}"}

    ended = subprocess.run([RFQ], cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "status" in ended.stdout
    assert "backfill" not in ended.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_bug_names_the_address_of_the_project(
    rfq: Command, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(job, "rebuild", broken)

    ended = rfq("build", "--database", database.path)

    assert ended.code == 70
    assert f"please report it at {failures.ISSUES}: ZeroDivisionError" in ended.err
    assert PROJECT["urls"]["Issues"] == failures.ISSUES


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch, key: Path) -> list[tuple[Any, Any]]:
    """The spans that backfills are asked for; none is read."""
    asked: list[tuple[Any, Any]] = []

    def backfill(_: Any, __: Any, since: Any, until: Any, *___: Any, **____: Any) -> None:
        asked.append((since, until))
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "backfill", backfill)
    return asked


def test_a_span_is_an_age_a_date_or_a_moment(
    rfq: Command, spans: list[tuple[Any, Any]], database: Database
) -> None:
    where = ("--database", database.path)

    for words in (["7d"], ["2026-11-01"], ["2026-11-01T12:00:00Z", "--until", "2026-11-02"]):
        assert rfq("backfill", "--since", *words, *where).code == 130

    week_ago = datetime.now(UTC) - timedelta(days=7)
    assert abs(spans[0][0] - week_ago) < timedelta(minutes=5)
    assert spans[1:] == [
        (datetime(2026, 11, 1, tzinfo=UTC), None),
        (datetime(2026, 11, 1, 12, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)),
    ]


@pytest.mark.parametrize(
    ("interval", "code"),
    [
        (("2026-11-01T00:00:00+00:00", "2026-11-02T01:00:00+01:00"), 130),
        (("", ""), 2),
        (("yesterday", ""), 2),
    ],
)
def test_an_orchestrator_may_ask_for_the_span(
    rfq: Command,
    spans: list[tuple[Any, Any]],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    interval: tuple[str, str],
    code: int,
) -> None:
    monkeypatch.setattr(cli, "INTERVAL", interval)

    assert rfq("backfill", "--database", database.path).code == code

    day = (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))
    assert spans == ([day] if code == 130 else [])


def test_an_interval_reaches_the_command_and_no_library() -> None:
    code = (
        "import pipelines, os; print(pipelines.INTERVAL, "
        "[name for name in os.environ if name.startswith('DLT_')])"
    )
    environment = {**os.environ, "DLT_INTERVAL_START": "a", "DLT_INTERVAL_END": "b"}

    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )

    assert said.stdout == "('a', 'b') []\n"
