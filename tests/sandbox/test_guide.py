"""The guide's commands, carried out as they stand there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.models import OptionInfo

from pipelines.cli import app
from pipelines.sandbox import Behavior, Market

GUIDE = (Path(__file__).parents[2] / "pipelines" / "sandbox" / "README.md").read_text()
SINGLE = "KXNBAGAME-26NOV21BOSMIA-BOS"


@pytest.mark.skipif(not (shutil.which("openssl") and shutil.which("curl")), reason="needs both")
def test_the_signed_curl_call_is_answered(serving, tmp_path):
    market = Market(behavior=Behavior(rate_limits=False))
    account = market.add_account("mybot", key="rsa")
    rfq_id = market.create_rfq(account, market_ticker=SINGLE, contracts=1)
    key_file = tmp_path / "mybot.pem"
    key_file.write_text(account.private_key_pem)
    script = re.search(r"<!-- signed curl -->\n```sh\n(.*?)```", GUIDE, re.DOTALL)
    given = {"KEY_ID": account.api_key_id, "KEY_FILE": str(key_file)}
    given["BASE"] = serving(market).exchange.base_url

    answer = subprocess.run(
        ["sh", "-ec", script[1]],
        env={"PATH": "/usr/bin:/bin", **given},
        capture_output=True,
        text=True,
        check=True,
    )

    assert [row["id"] for row in json.loads(answer.stdout)["rfqs"]] == [rfq_id]


def test_the_faults_of_the_guide_can_be_set(market, parties):
    bodies = re.findall(r"/sandbox/faults -d '(.*)'", GUIDE)
    origin = parties.exchange.base_url.removesuffix("/trade-api/v2")

    statuses = [
        parties.http.post(origin + "/sandbox/faults", content=body).status_code for body in bodies
    ]

    assert statuses == [200, 200]
    assert market.faults.errors[0].code == "insufficient_balance"
    assert str(market.faults.before_page[2]) == "close_oldest_rfq"


def test_the_guide_names_every_option_of_the_command():
    command = next(c for c in app.registered_commands if c.callback.__name__ == "sandbox")
    options = [
        f"--{name.replace('_', '-')}"
        for name, hint in command.callback.__annotations__.items()
        if any(isinstance(extra, OptionInfo) for extra in getattr(hint, "__metadata__", ()))
    ]

    assert len(options) > 5
    assert [name for name in options if f"`{name}" not in GUIDE] == []
