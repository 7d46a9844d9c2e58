"""The socket that a server of ours listens on: on this machine alone."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

LOOPBACK = "127.0.0.1"
WAITING_CONNECTIONS = 1024


@contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """Listen on loopback, 0 for a free port; what is accepted is answered without delay.

    Raises OSError where the port is not to be had.
    """
    with socket.create_server((LOOPBACK, port), backlog=WAITING_CONNECTIONS) as listener:
        # An answer is written in two pieces, headers and body. Without this the second waits for
        # the acknowledgement of the first, which comes 40 ms later.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener
