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
KEY_IDS = ("api_key_id", "read_api_key_id")
KEY_PATHS = ("private_key_path", "read_private_key_path")
WEBSOCKET = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
# What a test waits for has happened long before, on a slow machine too.
WITHIN_S = 300


@dataclass(frozen=True, slots=True)
class Running:
    """A sandbox process and what its first line said."""

    process: subprocess.Popen[str]
    first: dict[str, Any]
    http: httpx.Client

    def caller(self, name: str, kind: str = "") -> Caller:
        """Who signs with the account's first key, or with the one of that *kind*."""
        account = next(a for a in self.first["accounts"] if a["name"] == name)
        pem = Path(account[f"{kind}private_key_path"]).read_text()
        key_id = account[f"{kind}api_key_id"]
        signer = SimpleNamespace(api_key_id=key_id, private_key_pem=pem)
        return Caller(self.first["base_url"], signer, self.http)

    def end(self, name: signal.Signals) -> tuple[int, str, str]:
        """Exit code and what else was printed after a signal."""
        self.process.send_signal(name)
        rest, errors = self.process.communicate(timeout=WITHIN_S)
        return self.process.returncode, rest, errors

    @property
    def origin(self) -> str:
        return self.first["base_url"].removesuffix("/trade-api/v2")

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


def test_without_days_it_is_an_empty_exchange_that_ends_at_ctrl_c(started, http):
    """A try for a websocket gets a plain 404, and stderr no advice."""
    running = started("--days", "0", "--account", "mybot", "--account", "rival")
    rfq_id = running.caller("mybot").create_rfq()
    seen = running.caller("rival").get(RFQS)["rfqs"]
    page = http.get(running.origin + "/").text
    refused = http.get(running.origin + "/trade-api/ws/v2", headers=WEBSOCKET)
    accounts = running.first["accounts"]
    keys = [Path(account[kind]) for account in accounts for kind in KEY_PATHS]
    reading = running.caller("mybot", "read_")
    read, written = reading.get(RFQS)["rfqs"], reading("DELETE", f"{RFQS}/{rfq_id}")
    modes = {stat.S_IMODE(key.stat().st_mode) for key in keys}
    folder = stat.S_IMODE(keys[0].parent.stat().st_mode)

    ended = running.end(signal.SIGINT)

    assert running.first.keys() == {"base_url", "accounts"}
    assert running.names() == ["desk", "maker", "mybot", "rival"]
    assert len({account[kind] for account in accounts for kind in KEY_IDS}) == 8
    assert [row["id"] for row in seen] == [row["id"] for row in read] == [rfq_id]
    assert written.status_code == 403
    assert all(f"<td>{value}</td>" in page for each in accounts for value in each.values())
    assert (modes, folder) == ({0o600}, 0o700)
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
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
        (["--speed", "2", "--replay", "x.json"], "cannot go on by itself"),
        (["--days", "2", "--replay", "x.json"], "no market is made up"),
    ],
)
def test_what_cannot_be_served_ends_with_78_and_one_line(options, complaint, rfq):
    ended = rfq("sandbox", *options)

    assert (ended.code, ended.out) == (78, "")
    assert ended.err.startswith("rfq: ")
    assert complaint in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (["mybot", "mybot"], "mybot"),
        (["a/b"], "a/b"),
        (["../keys"], "../keys"),
        (["No Such"], "No Such"),
        (["desk"], "desk"),
        (["stranger-12"], "stranger-12"),
    ],
)
def test_a_name_that_no_account_can_have_is_wrong_usage(rfq, names, wrong):
    given = [option for name in names for option in ("--account", name)]

    ended = rfq("sandbox", "--days", "0", *given)

    assert (ended.code, ended.out) == (2, "")
    assert repr(wrong) in ended.err


def test_a_taken_port_is_named(rfq):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        ended = rfq("sandbox", "--days", "0", "--port", port)

    assert ended.code == 78
    assert ended.error == (
        f"rfq: port {port} is not to be had. "
        "Choose another one with --port, or 0 for any that is free.\n"
    )
