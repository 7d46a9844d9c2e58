"""Connections: kept alive while a bot pauses, and many at once, honest and not."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from urllib.parse import urlsplit

from pipelines.sandbox import Market
from pipelines.sandbox.routes import Front
from pipelines.sandbox.server import KEEP_ALIVE_S, LOOPBACK, listening, server_of
from tests.sandbox.conftest import sign

PATH = "/trade-api/v2/communications/id"
HALF = b"GET /trade-api/v2/communications/id HTTP/1.1\r\nHost: 127.0"


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock goes ahead when it is told to."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s

    def leap(self, seconds: float) -> None:
        """From another thread: let *seconds* pass, and what was due by then happen."""
        leapt = threading.Event()

        def go_on() -> None:
            self.ahead_s += seconds
            # One turn runs what is due now, a second one what that has set.
            self.call_soon(self.call_soon, leapt.set)

        self.call_soon_threadsafe(go_on)
        leapt.wait()


@contextmanager
def served_in(loop: LeapingLoop, front: Front) -> Iterator[tuple[str, int]]:
    """Serve *front* in *loop*, in a thread of its own; yield the address."""
    server = server_of(front)
    with socket.create_server((LOOPBACK, 0)) as listener:
        serving = threading.Thread(
            target=lambda: loop.run_until_complete(server.serve([listener])), name="leaping"
        )
        serving.start()
        try:
            yield listener.getsockname()[:2]
        finally:
            server.should_exit = True
            serving.join()
            loop.close()


def signed_call(account) -> bytes:
    """A whole request, which may be sent again and again."""
    headers = {"Host": LOOPBACK} | sign(account, "GET", PATH)
    lines = [f"GET {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def answer(connection: socket.socket) -> bytes:
    """What came until there was a whole body, or until the connection ended."""
    got = b""
    while b"}" not in got and (part := connection.recv(4096)):
        got += part
    return got


def test_a_connection_is_kept_while_a_bot_pauses_for_75_s(market: Market):
    loop = LeapingLoop()
    call = signed_call(market.account("desk"))
    with served_in(loop, Front(market)) as address, socket.create_connection(address) as kept:
        kept.sendall(call)
        answers = [answer(kept)]
        loop.leap(75)
        kept.sendall(call)
        answers.append(answer(kept))
        loop.leap(KEEP_ALIVE_S + 1)

        ended = kept.recv(1)

    assert [said.split(b"\r\n")[0] for said in answers] == [b"HTTP/1.1 200 OK"] * 2
    assert ended == b""


def test_the_body_of_an_answer_does_not_wait_for_its_headers_to_be_acknowledged():
    with (
        listening(0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_300_callers_are_answered_among_idle_ones(market: Market, parties: SimpleNamespace):
    """Each of 300 callers is answered among idle and half finished ones."""
    url = urlsplit(parties.exchange.base_url)
    call = signed_call(market.account("desk"))
    with ExitStack() as stack:

        def connected() -> socket.socket:
            return stack.enter_context(socket.create_connection((url.hostname, url.port)))

        idle = [connected() for _ in range(50)]
        for place, connection in enumerate(idle):
            if place % 2:
                connection.sendall(call)
                answer(connection)
        for _ in range(20):
            connected().sendall(HALF)
        crowd = [connected() for _ in range(300)]
        for connection in crowd:
            connection.sendall(call)
        answers = [answer(connection) for connection in crowd]
        for connection in idle:
            connection.sendall(call)
        answers += [answer(connection) for connection in idle]

    assert {said.split(b"\r\n")[0] for said in answers} == {b"HTTP/1.1 200 OK"}
    assert len(answers) == 350
