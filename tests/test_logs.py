"""The log on stderr, as a person reads it in a file, as a machine does, and on a terminal."""

import io
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines import effects
from pipelines.commands.progress import _share, shown_progress
from pipelines.kalshi.extraction import Progress
from pipelines.operations import logs
from pipelines.sandbox import Account, Market
from pipelines.store.database import Database
from tests.running import LOGGED, Command

PHASES = ["load_s", "copy_s", "build_s", "check_s", "publish_s"]
COUNTS = ["new_versions", "rejected", "published_bytes", "peak_bytes"]
FIGURES = ["exit_code", "seconds", *PHASES, *COUNTS]


def test_a_log_of_json_is_objects_alone_and_ends_with_the_figures(
    rfq: Command, key: Path, exchange: Any, market: Market, desk: Account, database: Database
) -> None:
    market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")
    where = ("--base-url", exchange.base_url, "--database", database.path)

    ended = rfq("load", *where, "--log-format", "json", "-v")

    lines = [json.loads(line) for line in ended.err.splitlines()]
    assert all(list(line)[:5] == ["ts", "level", "run_id", "event", "message"] for line in lines)
    assert len({line["run_id"] for line in lines}) == 1
    events = [line["event"] for line in lines]
    assert events[0] == "run_started"
    assert events.count("phase_began") == 1
    assert "rfqs_market" in {line["pass"] for line in lines if line["event"] == "pass_read"}
    last = lines[-1]
    assert list(last)[5:] == FIGURES
    assert (last["event"], last["exit_code"], last["new_versions"]) == ("run_ended", 0, 1)
    assert last["seconds"] > last["load_s"] > 0 == last["build_s"]
    assert last["peak_bytes"] > 10_000_000
    assert ended.out == "rfq_versions: 1 new · quote_versions: 0 new\n"


def test_a_failure_is_an_object_too(rfq: Command, database: Database) -> None:
    ended = rfq("build", "--database", database.path, "--log-format", "json")

    error, last = (json.loads(line) for line in ended.err.splitlines())
    assert (error["level"], error["event"]) == ("error", "error")
    assert error["message"].startswith("rfq: nothing was loaded")
    assert (last["event"], last["exit_code"]) == ("run_ended", 78)


def test_a_log_of_text_has_times_one_summary_and_no_box(rfq: Command, database: Database) -> None:
    ended = rfq("build", "--database", database.path)

    error, last = ended.err.splitlines()
    assert error.startswith("rfq: nothing was loaded")
    assert LOGGED.match(last)
    assert "build ended with 78 after " in last


def test_a_quiet_command_says_what_is_wrong_alone(rfq: Command, database: Database) -> None:
    ended = rfq("build", "--database", database.path, "-q")

    assert ended.err == ended.error
    assert rfq("build", "--database", database.path, "--log-format", "xml").code == 2


class Terminal(io.StringIO):
    """A stream that somebody looks at."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_the_phase_and_a_bar_where_the_end_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of ten days of a backfill six are read: 60 % of the bar."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    effects.begin("backfill")
    logs.begin()
    since = datetime(2026, 11, 1, tzinfo=UTC)
    span = (since, since + timedelta(days=10))
    read = Progress("backfill_made", 3, 40, 5, since + timedelta(days=6), 9, 10, 0.0)

    with shown_progress(span) as show:
        with effects.phase("load"):
            show(read)
        with effects.phase("build"):
            pass

    shown = terminal.getvalue()
    assert "connect" in shown
    assert "load" in shown
    assert "build" in shown
    assert "backfill_made: 3 pages, 40 rows, 5 new" in shown
    assert not LOGGED.search(shown)
    assert _share(read, span) == pytest.approx(0.6)
    assert _share(replace(read, name="rfqs_market"), span) is None


def test_what_is_taken_is_what_came_since_it_was_taken_last() -> None:
    """The first cycle of a watch counts all of a command's versions, each later one its own."""
    effects.begin("watch")
    taken = []
    for new_versions in (3, 0, 2):
        effects.note_loaded(new_versions, rejected=0)
        taken.append(effects.take_phases()[1])

    assert taken == [3, 0, 2]
    assert effects.loaded() == (5, 0)


def test_each_phase_is_told_as_it_begins_and_the_one_around_it_again_as_it_ends() -> None:
    told: list[str] = []
    effects.begin("run")
    effects.watch_phases(told.append)

    with effects.phase("load"):
        with effects.phase("build"):
            inside = list(told)
        after = list(told)

    assert inside == ["load", "build"]
    assert after == told == ["load", "build", "load"]
