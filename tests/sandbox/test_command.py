"""`rfq sandbox` as a program: what it prints, who gets a key, how it ends."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.sandbox.conftest import Caller

COMMAND = [sys.executable, "-c", "from pipelines.entry import main; main()", "sandbox"]
ROOT = Path(__file__).parents[2]
RFQS = "/communications/rfqs"
# What a test waits for has happened long before, on a slow machine too.
WITHIN_S = 300


@dataclass(frozen=True, slots=True)
class Running:
    """A sandbox process and what its first line said."""

    process: subprocess.Popen[str]
    first: dict[str, Any]
    http: httpx.Client

    def caller(self, name: str) -> Caller:
        account = next(a for a in self.first["accounts"] if a["name"] == name)
        pem = Path(account["private_key_path"]).read_text()
        signer = SimpleNamespace(api_key_id=account["api_key_id"], private_key_pem=pem)
        return Caller(self.first["base_url"], signer, self.http)

    def end(self, name: signal.Signals) -> tuple[int, str, str]:
        """Exit code and what else was printed after a signal."""
        self.process.send_signal(name)
        rest, errors = self.process.communicate(timeout=WITHIN_S)
        return self.process.returncode, rest, errors

    def names(self) -> list[str]:
        return [account["name"] for account in self.first["accounts"]]


@pytest.fixture
def started(http: httpx.Client) -> Iterator[Callable[..., Running]]:
    """Start `rfq sandbox` with options; killed at the end of the test."""
    with ExitStack() as stack:

        def start(*options: str) -> Running:
            process = subprocess.Popen(
                [*COMMAND, *options],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return Running(process, json.loads(process.stdout.readline()), http)

        yield start


def test_without_days_it_is_an_empty_exchange_that_ends_at_ctrl_c(started):
    running = started("--days", "0", "--account", "mybot", "--account", "rival")
    rfq_id = running.caller("mybot").create_rfq()
    seen = running.caller("rival").get(RFQS)["rfqs"]
    keys = [Path(account["private_key_path"]) for account in running.first["accounts"]]
    modes = {stat.S_IMODE(key.stat().st_mode) for key in keys}
    folder = stat.S_IMODE(keys[0].parent.stat().st_mode)

    ended = running.end(signal.SIGINT)

    assert running.first.keys() == {"base_url", "accounts"}
    assert running.names() == ["desk", "maker", "mybot", "rival"]
    assert len({account["api_key_id"] for account in running.first["accounts"]}) == 4
    assert [row["id"] for row in seen] == [rfq_id]
    assert (modes, folder) == ({0o600}, 0o700)
    assert ended == (0, "", "")
    assert not any(key.exists() for key in keys)


def test_with_a_speed_the_market_goes_on_until_sigterm(started):
    """Six hundred seconds a second; signatures are by the wall clock all the while."""
    running = started("--days", "0.02", "--rfqs-per-day", "20000", "--speed", "600")
    desk = running.caller("desk")
    before = desk.get(RFQS, limit=1)["rfqs"][0]["created_ts"]
    newest = before
    while newest <= before:
        newest = max(row["created_ts"] for row in desk.get(RFQS)["rfqs"])
    ended = running.end(signal.SIGTERM)

    assert newest > before
    assert ended == (0, "", "")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--replay", "no-such.json"], "no-such.json: cannot be read"),
        (["--replay", str(ROOT / "pyproject.toml")], "pyproject.toml: not JSON"),
        (["--days", "0", "--account", "desk"], "already has an account named 'desk'"),
        (["--days", "0", "--account", "No Such"], "account names are letters"),
        (["--speed", "2", "--replay", "x.json"], "cannot go on by itself"),
    ],
)
def test_what_cannot_be_served_ends_with_78_and_one_line(options, complaint, rfq):
    ended = rfq("sandbox", *options)

    assert (ended.code, ended.out) == (78, "")
    assert ended.err.startswith("rfq: ")
    assert complaint in ended.err
    assert ended.err.count("\n") == 1


def test_a_taken_port_is_named(rfq):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        ended = rfq("sandbox", "--days", "0", "--port", port)

    assert ended.code == 78
    assert ended.error == (
        f"rfq: port {port} is not to be had. "
        "Choose another one with --port, or 0 for any that is free.\n"
    )
