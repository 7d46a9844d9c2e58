"""The sandbox as a program: its first line, its key files, its end; and its pages for people."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from pipelines.sandbox import Market, serve

SCRIPT = """
import sys
from pathlib import Path
from pipelines.sandbox import Market, serve_until_interrupted
market = Market()
market.add_account("desk", key="ed25519")
market.add_account("maker", key="rsa")
serve_until_interrupted(market, 0, Path(sys.argv[1]), sys.stdout)
"""


@pytest.fixture
def program(tmp_path):
    """A running sandbox process and the JSON object of its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "keys")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    yield process, json.loads(process.stdout.readline())
    process.kill()
    process.communicate()


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_serves_and_ends_cleanly(program, http, name):
    process, first = program

    costs = http.get(first["base_url"] + "/account/endpoint_costs")
    process.send_signal(name)
    rest, errors = process.communicate(timeout=10)

    assert costs.status_code == 200
    assert [account["name"] for account in first["accounts"]] == ["desk", "maker"]
    assert (process.returncode, rest, errors) == (0, "", "")


def test_key_files_are_for_their_owner_only(program):
    _, first = program

    for account in first["accounts"]:
        path = Path(account["private_key_path"])
        assert path.is_absolute()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        serialization.load_pem_private_key(path.read_bytes(), None)


def test_the_status_page_tells_who_can_connect_and_how(market, parties):
    parties.desk.create_rfq()
    origin = parties.exchange.base_url.removesuffix("/trade-api/v2")

    page = parties.http.get(origin + "/")

    assert page.status_code == 200
    assert parties.desk.account.api_key_id in page.text
    assert parties.exchange.base_url in page.text
    assert "1 open RFQs" in page.text
    assert "<td>201</td><td>1</td>" in page.text
    assert "PRIVATE KEY" not in page.text


def test_two_sandboxes_do_not_share_anything(http):
    with serve(Market()) as one, serve(Market()) as two:
        http.get(one.base_url + "/account/endpoint_costs")

        assert one.base_url != two.base_url
        assert (len(one.requests), len(two.requests)) == (1, 0)


def test_an_account_name_is_used_once_and_fits_a_file():
    market = Market()
    market.add_account("desk", key="ed25519")

    for name in ("desk", "", "../escape", "With Space"):
        with pytest.raises(ValueError, match="name"):
            market.add_account(name, key="ed25519")
