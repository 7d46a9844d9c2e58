"""Nothing leaves but requests to the exchange, and nobody else can read what stays."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pipelines.store.database import Database
from tests.crash.trial import Trial, trial
from tests.profile import nightly
from tests.security.acts import let_dlt_see_every_setting

pytestmark = pytest.mark.usefixtures("few_marts")


@pytest.fixture
def tried(tmp_path: Path) -> Iterator[Trial]:
    with trial(tmp_path / "trial", seed=9, has_few_marts=True) as made:
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


@nightly("it tries the tests of settings and not the source")
def test_the_same_settings_do_harm_where_dlt_sees_them(tried: Trial) -> None:
    """What the tests of settings rest on: without what keeps them off, they would notice."""
    assert tried.run() == 0, tried.output()
    tried.trade()
    with sink() as (address, received):
        asked = {
            "REFRESH": "drop_data",
            "RUNTIME__DLTHUB_TELEMETRY": "true",
            "RUNTIME__DLTHUB_TELEMETRY_ENDPOINT": address,
        }

        tried.run(environment=tried.order().environment | asked, prepare=let_dlt_see_every_setting)

    assert received
    assert "the private file has lost" in tried.output()


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
