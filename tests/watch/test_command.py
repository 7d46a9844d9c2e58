"""The command `rfq watch`: what it refuses, and how a signal ends it."""

import os
import signal
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from pipelines.operations.runs import read_record
from pipelines.sandbox import Account, ManualClock, Market
from pipelines.store.database import Database
from tests.crash.trial import wait_until
from tests.crash.worker import Order, start
from tests.profile import nightly
from tests.running import Command
from tests.watch.deals import Deals
from tests.watch.driven import raw


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--quotes-every", "0s"], "--quotes-every is 0.0 s. It can be from 0.1 s to 5 min."),
        (["--every", "0s"], "--every is 0.0 s. It can be from 0.1 s to 7 d."),
        (["--every", "8d"], "--every is 8 d. It can be from 0.1 s to 7 d."),
        (["--quotes-every", "6m"], "--quotes-every is 6 min. It can be from 0.1 s to 5 min."),
    ],
)
def test_intervals_that_make_no_watch_are_refused_with_their_range(
    rfq: Command, tmp_path: Path, arguments: list[str], said: str
) -> None:
    ended = rfq("watch", *arguments, "--database", tmp_path / "rfq.duckdb")

    assert (ended.code, ended.error) == (78, f"rfq: {said}\n")


@pytest.fixture
def started(
    exchange: Any, key: Path, desk: Account, database: Database, tmp_path: Path
) -> Iterator[ForkServerProcess]:
    """A watch in a process of its own."""
    arguments = ["watch", "--base-url", exchange.base_url, "--database", str(database.path)]
    arguments += ["--quotes-every", "0.2s", "--every", "10m", "--log-format", "json"]
    ours = {name: value for name, value in os.environ.items() if name.startswith("SOURCES__")}
    output = tmp_path / "output"
    process = start(Order(tuple(arguments), ours, output))
    wait_until(lambda: output.exists() and "watch_began" in output.read_text())
    yield process
    process.kill()


def looks_of(exchange: Any) -> int:
    """How often the quotes that were received have been asked for."""
    return sum("rfq_user_filter" in str(request) for request in exchange.requests.copy())


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGTERM, 143, id="SIGTERM"),
        pytest.param(signal.SIGINT, 130, id="Ctrl-C", marks=nightly("it repeats SIGTERM")),
    ],
)
def test_a_signal_ends_it_once_what_was_seen_is_stored(
    started: ForkServerProcess,
    exchange: Any,
    market: Market,
    clock: ManualClock,
    deals: Deals,
    database: Database,
    rfq: Command,
    number: int,
    code: int,
) -> None:
    """Meanwhile a run, and a second watch, leave with 75, and the status says who is at work."""
    for _, act in deals.acts(1, 0, 20)[:2]:
        act()
    # The load reads a year in some twenty windows; after it the looks begin.
    wait_until(lambda: looks_of(exchange) >= 40)
    others = [rfq(each, "--database", database.path) for each in ("run", "watch")]
    told = rfq("status", "--database", database.path)

    assert started.pid is not None
    os.kill(started.pid, number)

    started.join(10)
    assert started.exitcode == code
    assert {other.code for other in others} == {75}
    assert all("a watch is at work" in other.err for other in others)
    assert "watch is at work" in told.out
    assert raw(database, "select id from raw.quote_versions") == [(deals.quotes[1],)]
    assert read_record(database.path).runs[-1].exit_code == code
