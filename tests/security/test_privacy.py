"""Nothing leaves but requests to the exchange, and nobody else can read what stays."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dlt
import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

from pipelines.database import Database
from pipelines.kalshi.errors import ConfigurationError, CredentialsUnusable
from pipelines.kalshi.safeguards import demand_no_crash_reports, demand_private_secrets
from tests.crash.trial import Trial, trial
from tests.security.acts import ask_for_telemetry


@pytest.fixture
def tried(tmp_path: Path) -> Iterator[Trial]:
    with trial(tmp_path / "trial", seed=9) as made:
        yield made


@contextmanager
def sink() -> Iterator[tuple[str, list[bytes]]]:
    """A place on this machine that takes any POST; gives its address and what came."""
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", received
        server.shutdown()
        thread.join()


def test_no_telemetry_leaves_even_if_the_environment_asks_for_it(tried: Trial) -> None:
    with sink() as (address, received):
        asked = {
            "RUNTIME__DLTHUB_TELEMETRY": "true",
            "RUNTIME__DLTHUB_TELEMETRY_ENDPOINT": address,
        }

        code = tried.run(environment=tried.order().environment | asked)

    assert code == 0, tried.output()
    assert received == []


def test_the_sink_would_have_seen_telemetry(tried: Trial) -> None:
    with sink() as (address, received):
        tried.run(prepare=partial(ask_for_telemetry, address))

    assert received


def test_a_sentry_address_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME__SENTRY_DSN", "https://public@sentry.example/1")

    with pytest.raises(ConfigurationError, match="SENTRY_DSN"):
        demand_no_crash_reports()

    assert os.environ["RUNTIME__SENTRY_DSN"] == ""


def test_a_sentry_address_in_a_file_is_refused(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME__SENTRY_DSN", "")
    (settings / "config.toml").write_text('[runtime]\nsentry_dsn = "https://sentry.example/1"\n')
    Container()[PluggableRunContext].reload_providers()

    with pytest.raises(ConfigurationError, match="sentry_dsn"):
        demand_no_crash_reports()


def test_no_sentry_address_is_no_reason_to_refuse(settings: Path) -> None:
    demand_no_crash_reports()


def test_only_the_owner_can_read_what_a_run_writes(tried: Trial) -> None:
    assert tried.run() == 0, tried.output()

    made = ("rfq.duckdb", "rfq.private.duckdb", "rfq.duckdb.lock")
    modes = {name: (tried.folder / name).stat().st_mode & 0o777 for name in made}
    assert modes == dict.fromkeys(made, 0o600)


def test_writing_leaves_the_umask_of_the_process_as_it_was(database: Database) -> None:
    before = os.umask(0o027)
    try:
        with database.held(), database.writing(may_create=True):
            during = os.umask(0o077)
        after = os.umask(before)
    finally:
        os.umask(before)

    assert (during, after) == (0o077, 0o027)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_secrets_file_that_others_can_read_is_refused_with_the_remedy(
    settings: Path, mode: int
) -> None:
    secrets = _secrets_file(settings)
    secrets.chmod(mode)

    with pytest.raises(CredentialsUnusable, match=f"chmod 600 '{secrets}'"):
        demand_private_secrets()


def test_a_secrets_file_of_ones_own_is_used(settings: Path) -> None:
    _secrets_file(settings).chmod(0o600)

    demand_private_secrets()

    assert dlt.secrets.get("sources.kalshi.api_key_id") == "an id"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The empty folder that dlt reads its settings from during the test."""
    folder = tmp_path / ".dlt"
    folder.mkdir()
    with monkeypatch.context() as there:
        there.chdir(tmp_path)
        Container()[PluggableRunContext].reload_providers()
        yield folder
    Container()[PluggableRunContext].reload_providers()


def _secrets_file(settings: Path) -> Path:
    secrets = settings / "secrets.toml"
    secrets.write_text('[sources.kalshi]\napi_key_id = "an id"\n')
    Container()[PluggableRunContext].reload_providers()
    return secrets
