"""Serving a market on loopback, in a thread for tests or in the foreground for people."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipelines.console import Output
from pipelines.sandbox import control, routes
from pipelines.sandbox.accounts import Account
from pipelines.sandbox.faults import Faults
from pipelines.sandbox.market import Market
from pipelines.sandbox.operations import BASE_PATH
from pipelines.sandbox.routes import Front, Served
from pipelines.serving import LOOPBACK, listening
from pipelines.stopping import until_stopped

# Clients that ask every 5 or 60 s use their connection again; one that is cut as they do looks to
# them like a fault of the network.
KEEP_ALIVE_S = 120


class Protocol(H11Protocol):
    """HTTP/1.1, where a request to become a websocket is a request like any other."""

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: uvicorn would advise to install what would not help."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A market that is being served. `requests` is a bounded log, oldest first."""

    base_url: str
    market: Market
    requests: deque[Served]

    @property
    def faults(self) -> Faults:
        return self.market.faults


@contextmanager
def serve(market: Market, port: int = 0) -> Iterator[Exchange]:
    """Serve *market* from a thread on a real loopback socket; port 0 takes a free one."""
    with serve_front(Front(market), port) as exchange:
        yield exchange


@contextmanager
def serve_front(front: Front, port: int = 0) -> Iterator[Exchange]:
    """Serve whatever market *front* has at the time of a call."""
    with listening(port) as listener:
        server = server_of(front)
        thread = threading.Thread(target=server.run, args=([listener],), name="sandbox exchange")
        # The socket already listens, so whoever connects before the loop runs waits in its queue.
        thread.start()
        try:
            yield _exchange(front, listener)
        finally:
            server.should_exit = True
            thread.join()


def _exchange(front: Front, listener: socket.socket) -> Exchange:
    port: int = listener.getsockname()[1]
    return Exchange(f"http://{LOOPBACK}:{port}{BASE_PATH}", front.market, front.requests)


def _application(front: Front) -> ASGIApp:
    app = Starlette(
        routes=[*routes.routes(front), *control.routes(front)],
        exception_handlers={HTTPException: routes.unrouted(front)},
    )
    app.router.redirect_slashes = False
    return routes.split_before_decoding(app)


def server_of(front: Front) -> uvicorn.Server:
    """The server that answers for *front*, to be run on sockets that listen already."""
    return uvicorn.Server(
        uvicorn.Config(
            _application(front),
            lifespan="off",
            http=Protocol,
            ws="none",
            timeout_keep_alive=KEEP_ALIVE_S,
            access_log=False,
            log_level="warning",
            # The exchange's own clock answers, not the machine's.
            date_header=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )


def serve_until_interrupted(market: Market, port: int, key_directory: Path, stdout: TextIO) -> None:
    """Serve *market* until Ctrl-C, or any signal that `rfq` heeds; then return.

    Writes each account's keys to *key_directory*, one that may do all and one that may only read,
    and, as the first line of *stdout*, one JSON object `{"base_url": ..., "accounts": [{"name",
    "api_key_id", "private_key_path", "read_api_key_id", "read_private_key_path"}, ...]}`.
    """
    accounts = [_described(market, account, key_directory) for account in market.accounts]
    front = Front(market, printed=accounts)
    with serve_front(front, port) as exchange, suppress(KeyboardInterrupt), until_stopped():
        json.dump({"base_url": exchange.base_url, "accounts": accounts}, stdout)
        stdout.write("\n")
        stdout.flush()
        # Who waits for the keys and never gets them would wait for ever.
        if not (isinstance(stdout, Output) and stdout.is_missed()):
            threading.Event().wait()


def _described(market: Market, account: Account, key_directory: Path) -> dict[str, str]:
    reading = market.add_key(account, scopes=("read",))
    return {
        "name": account.name,
        "api_key_id": account.api_key_id,
        "private_key_path": _write_key(account, key_directory / f"{account.name}.pem"),
        "read_api_key_id": reading.api_key_id,
        "read_private_key_path": _write_key(reading, key_directory / f"{account.name}.read.pem"),
    }


def _write_key(account: Account, path: Path) -> str:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    path.unlink(missing_ok=True)
    # Never readable by others, not even between creation and a chmod.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(account.private_key_pem)
    return str(path.absolute())
