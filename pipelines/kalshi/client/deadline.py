"""A point in time that ends an attempt wherever it is: connecting, in its headers, in its body.

httpx limits each silence, so an answer that drips in byte by byte never ends. Here every socket
operation gets what is left of the attempt.
"""

import queue
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore


class Deadline(threading.local):
    """When the attempt of this thread must be over, on the monotonic clock."""

    at_s = float("inf")

    def clip(self, timeout_s: float | None, expired: type[Exception]) -> float:
        left_s = self.at_s - time.monotonic()
        if left_s <= 0:
            raise expired("deadline")
        return left_s if timeout_s is None else min(timeout_s, left_s)


class DeadlineBackend(httpcore.NetworkBackend):
    """TCP connections whose every operation ends by *deadline*, looking up the name included."""

    def __init__(self, deadline: Deadline) -> None:
        self._sockets = httpcore.SyncBackend()
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        refused: Exception = httpcore.ConnectError("the name has no address")
        for address in self._addresses(host, port, timeout):
            left_s = self._deadline.clip(timeout, httpcore.ConnectTimeout)
            try:
                stream = self._sockets.connect_tcp(
                    address, port, left_s, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                refused = error
            else:
                return _DeadlineStream(stream, self._deadline)
        raise refused

    def _addresses(self, host: str, port: int, timeout: float | None) -> Iterator[str]:
        """The addresses of *host*. A lookup cannot be ended, so one that is late is left behind."""
        found: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()
        threading.Thread(target=_look_up, args=(host, port, found), daemon=True).start()
        try:
            answer = found.get(timeout=self._deadline.clip(timeout, httpcore.ConnectTimeout))
        except queue.Empty:
            raise httpcore.ConnectTimeout("name lookup") from None
        if isinstance(answer, OSError):
            raise httpcore.ConnectError(str(answer))
        yield from answer


def _look_up(host: str, port: int, found: "queue.SimpleQueue[list[str] | OSError]") -> None:
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        found.put(error if isinstance(error, OSError) else OSError("the name is none"))
    else:
        found.put([str(entry[4][0]) for entry in entries])


class _DeadlineStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.clip(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.clip(timeout, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        timeout = self._deadline.clip(timeout, httpcore.ConnectTimeout)
        stream = self._stream.start_tls(ssl_context, server_hostname, timeout)
        return _DeadlineStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()
