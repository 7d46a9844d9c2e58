"""The guide's commands, carried out as they stand there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import fields, replace
from pathlib import Path

import pytest
from typer.models import OptionInfo

from pipelines.cli import app
from pipelines.sandbox import Behavior, Market
from tests.sandbox.conftest import Caller

GUIDE = (Path(__file__).parents[2] / "pipelines" / "sandbox" / "README.md").read_text()
COMBO = "KXMVECROSSCATEGORY-S2026ABCDEF0123-0123456789A"
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


def undocumented_lines() -> list[tuple[str, ...]]:
    """The guide's table of answers that the document does not have, without what is explained:
    method, path, status, code, switch."""
    table = GUIDE.partition("### Answers that the document does not have")[2].partition("\n## ")[0]
    line = r"^\| `(\w+) (\S+)` \| (\d+)(?: `(\w+)`)? \| .* \| (.*) \|$"
    return re.findall(line, table, re.MULTILINE)


def test_undocumented_answers_are_those_of_the_guide(market, parties, clock):
    """Each line of that table, asked for over HTTP; its switch, if it has one, exists."""
    lines = undocumented_lines()

    given = undocumented_answers(market, parties, clock)

    assert [line[:4] for line in lines] == [
        (method, path, str(said.status_code), said.json()["error"]["code"] if code else "")
        for (method, path, said), (*_, code, _switch) in zip(given, lines, strict=True)
    ]
    switches = {item.name for item in fields(Behavior)}
    assert {switch.strip("`") for *_, switch in lines} <= switches | {"none"}


def undocumented_answers(market, parties, clock):
    """What the guide's table lists, in its order: method, path, answer."""
    desk, maker, quotes = parties.desk, parties.maker, "/communications/quotes"
    bids = {"yes_bid": "0.1", "no_bid": "0.8", "rest_remainder": False}
    accept, confirm = quotes + "/{quote_id}/accept", quotes + "/{quote_id}/confirm"

    def quoted(rfq_id):
        return "POST", quotes, maker("POST", quotes, json=bids | {"rfq_id": rfq_id})

    yield quoted("11111111-2222-4333-8444-555555555555")
    market.behavior = replace(market.behavior, quote_window_s=1.0, quote_timeout_s=1.0)
    rfq_id = desk.create_rfq(market_ticker=COMBO)
    clock.advance(3)
    yield quoted(rfq_id)
    clock.advance(-1.5)
    yield quoted(rfq_id)
    rfq_id = desk.create_rfq()
    first, second = maker.create_quote(rfq_id), parties.stranger.create_quote(rfq_id)
    desk("PUT", accept.format(quote_id=first), json={"accepted_side": "no"})
    taken = desk("PUT", accept.format(quote_id=second), json={"accepted_side": "no"})
    yield "PUT", accept, taken
    desk("DELETE", f"/communications/rfqs/{rfq_id}")
    yield "PUT", confirm, maker("PUT", confirm.format(quote_id=first), json={})
    yield "GET", quotes, desk("GET", quotes)
    market.behavior = replace(market.behavior, unbounded_quotes_limit=0)
    yield "GET", quotes, desk("GET", quotes, params={"rfq_user_filter": "self"})
    writing = market.add_key(desk.account, key="ed25519", scopes=("write",))
    path = "/communications/id"
    yield "GET", path, Caller(parties.exchange.base_url, writing, parties.http)("GET", path)
