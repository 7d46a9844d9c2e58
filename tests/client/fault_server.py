"""A loopback server that misbehaves on purpose: raw sockets, one scripted answer per request."""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

STOP_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came over the wire."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass
class FaultServer:
    """Answers with `script`, one entry per request; the last entry is repeated.

    What `paths` names, below the API's prefix, is answered by that instead, each time.
    """

    port: int
    script: list["FaultStep"] = field(default_factory=list)
    paths: dict[str, "FaultStep"] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.origin}/trade-api/v2"

    def answers(self, *script: "FaultStep") -> None:
        self.script = list(script)

    def next_act(self, seen: Seen) -> "FaultStep":
        with self._lock:
            self.seen.append(seen)
            act = self.paths.get(seen.path.removeprefix("/trade-api/v2"))
            if act:
                return act
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]


# What to do with the connection of one request.
FaultStep = Callable[[socket.socket, FaultServer], None]


@contextmanager
def serve_faults(tls: ssl.SSLContext | None = None) -> Iterator[FaultServer]:
    """A server on a free loopback port while the block runs; over TLS with a context."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(STOP_POLL_S)
        server = FaultServer(listener.getsockname()[1])
        acceptor = threading.Thread(target=_accept, args=(listener, server, tls))
        acceptor.start()
        try:
            yield server
        finally:
            server.stopped.set()
            acceptor.join()


def _accept(listener: socket.socket, server: FaultServer, tls: ssl.SSLContext | None) -> None:
    threads = []
    while not server.stopped.is_set():
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        server.connections += 1
        threads.append(threading.Thread(target=_converse, args=(connection, server, tls)))
        threads[-1].start()
    for thread in threads:
        thread.join()


def _converse(plain: socket.socket, server: FaultServer, tls: ssl.SSLContext | None) -> None:
    try:
        with plain, tls.wrap_socket(plain, server_side=True) if tls else plain as connection:
            seen = _read_request(connection)
            if seen:
                server.next_act(seen)(connection, server)
                _close_in_order(connection)
    except OSError:
        pass  # the client hung up: many of these tests are about exactly that


def _close_in_order(connection: socket.socket) -> None:
    # Closing with unread bytes would reset the connection and hide the fault under test.
    if connection.fileno() >= 0:
        connection.shutdown(socket.SHUT_WR)


def _read_request(connection: socket.socket) -> Seen | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65536)
    method, target, _ = first.split(" ")
    return Seen(method, target, headers, body)


def http(
    status: int = 200,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    sized: bool = True,
) -> bytes:
    """A response; *sized* adds its Content-Length."""
    fields = {
        "Content-Type": "application/json",
        "Date": format_datetime(datetime.now(UTC), usegmt=True),
        "Connection": "close",
    }
    if sized:
        fields["Content-Length"] = str(len(body))
    lines = [f"HTTP/1.1 {status} Whatever"]
    lines += [f"{name}: {value}" for name, value in (fields | dict(headers or {})).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def sends(response: bytes) -> FaultStep:
    def act(connection: socket.socket, server: FaultServer) -> None:
        connection.sendall(response)

    return act


def says(status: int, document: Any, headers: Mapping[str, str] | None = None) -> FaultStep:
    """*document* as JSON."""
    return sends(http(status, json.dumps(document).encode(), headers))


def empty_exchange() -> dict[str, FaultStep]:
    """The paths that a run reads, answered by an exchange that has nothing."""
    bucket = {"refill_rate": 1_000_000, "bucket_capacity": 1_000_000}
    limits = {"usage_tier": "basic", "read": bucket, "write": bucket}
    return {
        "/communications/id": says(200, {"communications_id": "c" * 64}),
        "/communications/rfqs": says(200, {"rfqs": [], "cursor": ""}),
        "/communications/quotes": says(200, {"quotes": [], "cursor": ""}),
        "/api_keys": says(200, {"api_keys": []}),
        "/account/limits": says(200, limits),
        "/account/endpoint_costs": says(200, {"default_cost": 10, "endpoint_costs": []}),
    }


def drips(response: bytes, every_s: float, *, after: int = 0) -> FaultStep:
    """The response one byte at a time, once *after* bytes were sent at once."""

    def act(connection: socket.socket, server: FaultServer) -> None:
        connection.sendall(response[:after])
        for index in range(after, len(response)):
            connection.sendall(response[index : index + 1])
            if server.stopped.wait(every_s):
                return

    return act


def streams(head: bytes, chunks: Callable[[], Iterable[bytes]]) -> FaultStep:
    def act(connection: socket.socket, server: FaultServer) -> None:
        connection.sendall(head)
        for chunk in chunks():
            connection.sendall(chunk)

    return act


def resets(response: bytes) -> FaultStep:
    """Part of a response, then a TCP reset."""

    def act(connection: socket.socket, server: FaultServer) -> None:
        connection.sendall(response)
        # Linger for 0 s: close sends RST instead of FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    return act


def stays_silent(connection: socket.socket, server: FaultServer) -> None:
    """Never answers."""
    server.stopped.wait(60)
