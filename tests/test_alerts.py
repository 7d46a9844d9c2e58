"""Who watches from outside: a ping service and a chat on this machine, a file for Prometheus.

They see how a run ended, once, and nothing of what the exchange said.
"""

import json
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import duckdb
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.operations import alerts
from pipelines.operations.alerts import Errand, configured_alerts, ping
from pipelines.operations.runs import Run, append_end, read_record
from pipelines.sandbox import Account, Market
from pipelines.store.database import Database
from tests.accounts import Shown, of_desk, published
from tests.running import Command
from tests.test_runs import at_work

pytestmark = pytest.mark.usefixtures("few_marts")

TOKEN = "ping-8f1e5a"  # whoever knows it can write to the service


@dataclass
class Listener:
    """What a service on this machine was told, and how it answers."""

    url: str = ""
    paths: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    status: int = 200

    @property
    def pings(self) -> list[str]:
        """The last words of the pings, in order."""
        return [path.removeprefix(f"/{TOKEN}/") for path in self.paths if TOKEN in path]


@pytest.fixture
def listener() -> Iterator[Listener]:
    heard = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.paths.append(self.path)
            self.answer()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            heard.texts.append(json.loads(body)["text"])
            self.answer()

        def answer(self) -> None:
            self.send_response(heard.status)
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        heard.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield heard
        server.shutdown()


@pytest.fixture
def told(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> Listener:
    """The listener, configured in the environment."""
    monkeypatch.setenv("ALERTS__PING_URL", f"{listener.url}/{TOKEN}/")
    monkeypatch.setenv("ALERTS__WEBHOOK_URL", f"{listener.url}/chat")
    return listener


def gauges(path: Path) -> dict[tuple[str, ...], float]:
    """Every number of a file for Prometheus, by name and label."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }


def test_services_are_told_of_start_and_end_and_of_each_change_once(
    rfq: Command,
    key: Path,
    exchange: Any,
    market: Market,
    desk: Account,
    database: Database,
    told: Listener,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    rfq_id = market.create_rfq(desk, market_ticker="KXSECRET-26-A", contracts_fp="10.00")
    monkeypatch.setenv("ALERTS__TEXTFILE", str(tmp_path / "rfq.prom"))
    where = ("--base-url", exchange.base_url, "--database", database.path)
    before = os.umask(0o077)

    good = rfq("run", *where)
    after_good = gauges(tmp_path / "rfq.prom")
    monkeypatch.setenv("SOURCES__KALSHI__API_KEY_ID", "00000000-0000-4000-8000-000000000000")
    bad = [rfq("run", *where).code for _ in range(2)]
    status = rfq("status", "--notify", "--database", database.path)
    with at_work(database.path):
        overlapping = rfq("run", *where)

    os.umask(before)
    assert (good.code, bad, status.code, overlapping.code) == (0, [77, 77], 4, 75)
    assert told.pings == ["start", "0", "start", "77", "start", "77"]
    assert told.texts == [
        "rfq: rfq.duckdb is failing (was fresh): the last run ended with 77 (credentials refused)"
    ]
    assert (tmp_path / "rfq.prom").stat().st_mode & 0o777 == 0o644
    now = gauges(tmp_path / "rfq.prom")
    assert after_good["rfq_last_exit_code",] == 0
    assert now["rfq_last_exit_code",] == 77
    success = "rfq_last_success_timestamp_seconds"
    assert now[success,] == after_good[success,] > datetime.now(UTC).timestamp() - 600
    assert now["rfq_rows", "staging.rfqs"] == 1
    assert after_good["rfq_phase_seconds", "load"] > 0
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
    assert now["rfq_watermark_timestamp_seconds", "rfqs_market"] == pytest.approx(noon, abs=60)
    assert now["rfq_file_bytes", "rfq.duckdb"] == database.path.stat().st_size
    assert now["rfq_rejected_rows",] == 0
    told_outside = " ".join([*told.texts, *told.paths, (tmp_path / "rfq.prom").read_text()])
    for private in (rfq_id, "KXSECRET", desk.communications_id, desk.user_id, desk.api_key_id):
        assert private not in told_outside
    assert TOKEN not in good.err + good.out + status.out + status.err
    assert TOKEN not in (tmp_path / "rfq.runs.jsonl").read_text()


def test_the_last_success_is_what_last_published_whichever_command_it_was(
    rfq: Command, key: Path, exchange: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cycle of a watch publishes; a build into a file of its own does not, nor does a load."""
    textfile = database.path.with_name("rfq.prom")
    monkeypatch.setenv("ALERTS__TEXTFILE", str(textfile))
    monkeypatch.setenv("SOURCES__KALSHI__API_KEY_ID", "00000000-0000-4000-8000-000000000000")
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for minute, (command, code, published_it) in enumerate(
        [("run", 0, True), ("watch", 0, True), ("watch", 69, True), ("build", 0, False)]
    ):
        at = noon + timedelta(minutes=minute)
        ended = Run(f"x{minute}", command, at, at, code, published=published_it)
        append_end(database.path, ended, has_start=False)

    refused = rfq("run", "--base-url", exchange.base_url, "--database", database.path)

    assert refused.code == 77
    last = gauges(textfile)["rfq_last_success_timestamp_seconds",]
    assert last == (noon + timedelta(minutes=1)).timestamp()


def test_a_dead_cron_line_is_told_by_a_status_of_its_own(
    rfq: Command, told: Listener, tmp_path: Path
) -> None:
    """Fresh says nothing; stale says so once; then failing, which another run has left."""
    database = published(tmp_path / "rfq.duckdb", Shown("desk", *of_desk()))
    look = ("status", "--notify", "--database", database.path)
    now = datetime.now(UTC)

    codes = [rfq(*look).code]
    codes += [rfq(*look, "--stale-after", "0s").code for _ in range(2)]
    append_end(
        database.path, Run("bad", "run", now, now, 65, "rfq: KXSECRET is wrong"), has_start=False
    )
    codes += [rfq(*look).code for _ in range(2)]

    assert codes == [0, 3, 3, 4, 4]
    assert [text.split(": ")[1] for text in told.texts] == [
        "rfq.duckdb is stale (was fresh)",
        "rfq.duckdb is failing (was stale)",
    ]
    assert "KXSECRET" not in "".join(told.texts)
    assert told.paths == []


def test_what_could_not_be_told_is_told_the_next_time(
    rfq: Command, told: Listener, tmp_path: Path
) -> None:
    database = published(tmp_path / "rfq.duckdb", Shown("desk", *of_desk()))
    look = ("status", "--notify", "--stale-after", "0s", "--database", database.path)
    told.status = 302

    refused = rfq(*look)
    told.status = 200
    rfq(*look)
    rfq(*look)

    assert "the webhook could not be told of the verdict: HTTP 302" in refused.err
    assert refused.code == 3
    assert len(told.texts) == 2
    assert told.paths == []
    assert read_record(database.path).told_verdict == "stale"


def test_alerts_that_reach_nobody_change_nothing_and_are_said_once(
    rfq: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALERTS__PING_URL", f"http://127.0.0.1:9/{TOKEN}")
    monkeypatch.setenv("ALERTS__WEBHOOK_URL", "http://127.0.0.1:9/chat")
    monkeypatch.setenv("ALERTS__TEXTFILE", str(tmp_path / "nowhere" / "rfq.prom"))
    database = published(tmp_path / "rfq.duckdb", Shown("desk", *of_desk()))
    database.private_path.write_bytes(b"not empty")

    ended = rfq("run", "--database", database.path)

    assert ended.code == 78
    warnings = [line.split("warning: ")[1] for line in ended.err.splitlines() if "warning" in line]
    assert sorted(warnings) == [
        "the ping of [alerts] could not be told: ConnectError",
        "the textfile of [alerts] could not be told: No such file or directory",
        "the webhook could not be told of the verdict: ConnectError",
    ]
    assert TOKEN not in ended.err


def test_a_file_that_cannot_be_looked_into_keeps_nothing_else_from_being_told(
    rfq: Command, told: Listener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """DuckDB opens it and then fails, in words that are none of ours."""
    monkeypatch.setenv("ALERTS__TEXTFILE", str(tmp_path / "rfq.prom"))
    database = published(tmp_path / "rfq.duckdb", Shown("desk", *of_desk()))
    database.private_path.write_bytes(b"not empty")
    with duckdb.connect(database.path) as connection:
        connection.execute("alter table marts.build_info rename to held")
        connection.execute(
            "create view marts.build_info as select * replace (error('odd') as scope)"
            " from marts.held"
        )

    ended = rfq("run", "--database", database.path)

    assert ended.code == 78
    assert told.pings == ["78"]
    assert gauges(tmp_path / "rfq.prom")["rfq_last_exit_code",] == 78
    said = "how the database stands could not be told: Invalid Input Error: odd"
    assert ended.err.count(said) == 1
    assert "run ended with 78" in ended.err


@pytest.mark.usefixtures("key")
def test_a_service_that_hears_neither_start_nor_end_is_told_of_once(
    rfq: Command, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERTS__PING_URL", f"http://127.0.0.1:9/{TOKEN}")
    nobody = "http://127.0.0.1:9/trade-api/v2"

    ended = rfq("run", "--base-url", nobody, "--database", database.path)

    assert ended.code == 69
    assert ended.err.count("the ping of [alerts] could not be told: ConnectError") == 1


def test_a_service_that_never_answers_keeps_a_run_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alerts, "LASTS_AT_MOST_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = alerts.httpx.URL(f"http://127.0.0.1:{silent.getsockname()[1]}/x")

        failure = Errand("ping", lambda: ping(url, "0")).failure()

    assert failure in ("ReadTimeout", "it took longer than 0 s")


def test_an_errand_that_fails_in_any_way_fails_alone() -> None:
    def broken() -> None:
        raise RuntimeError

    failure = Errand("ping", broken).failure()

    assert failure == "RuntimeError"


def test_an_address_is_taken_from_no_file_that_is_handed_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "config.toml").write_text(
        f'[alerts]\nping_url = "https://evil.example/{TOKEN}"\n'
    )
    secrets = tmp_path / ".dlt" / "secrets.toml"
    secrets.touch(mode=0o600)
    secrets.write_text('[alerts]\nwebhook_url = "https://chat.example/x"\ntextfil = "x"\n')

    found = configured_alerts()

    assert found.ping_url is None
    assert str(found.webhook_url) == "https://chat.example/x"
    assert "chat.example" not in repr(found)


def test_no_address_is_shown_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PING_URL", "WEBHOOK_URL"):
        monkeypatch.setenv(f"ALERTS__{name}", f"https://hooks.example/{TOKEN}")

    found = configured_alerts()

    assert [str(each) for each in (found.ping_url, found.webhook_url)] == [
        f"https://hooks.example/{TOKEN}"
    ] * 2
    assert TOKEN not in repr(found)
    assert "hooks.example" not in repr(found)


def test_addresses_that_cannot_be_used_are_warned_of_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ALERTS__PING_URL", f"ftp://{TOKEN}")
    monkeypatch.setenv("ALERTS__WEBHOOK_URL", "")
    monkeypatch.setenv("ALERTS__WEBHOOK", "x")

    found = configured_alerts()

    assert (found.ping_url, found.webhook_url) == (None, None)
    assert len(caplog.messages) == 3
    assert "did you mean ALERTS__WEBHOOK_URL?" in caplog.text
    assert TOKEN not in caplog.text


def test_a_ping_keeps_what_its_address_asks_for(listener: Listener) -> None:
    url = alerts.httpx.URL(f"{listener.url}/{TOKEN}?create=1")

    assert ping(url, "69") is None
    assert listener.paths == [f"/{TOKEN}/69?create=1"]
