"""Output: what cannot be written is remembered instead of raised, and no character is an error.

A run whose output nobody reads (a closed pipe, a full disk) has still published.
"""

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

# The reader is gone, or there never was one: nobody misses what was not written.
_UNREAD = (errno.EPIPE, errno.EBADF)


class Output:
    """A text stream that falls silent once it cannot be written to; `failure` says why."""

    def __init__(self, stream: TextIO, unknown: str) -> None:
        self._stream = stream
        self.failure: OSError | None = None
        # In a locale without the characters of our texts, others stand for them.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=unknown)

    def write(self, text: str) -> int:
        """Write *text*, if that still goes."""
        self._try(self._stream.write, text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write *lines*, if that still goes."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Write what is buffered, if that still goes."""
        self._try(self._stream.flush)

    def is_missed(self) -> bool:
        """Whether somebody waits for what could not be written."""
        return self.failure is not None and self.failure.errno not in _UNREAD

    def _try(self, write: Callable[..., Any], *arguments: Any) -> None:
        if self.failure is None:
            try:
                write(*arguments)
            except OSError as error:
                self.failure = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def outputs() -> Iterator[Output]:
    """Put an `Output` in the place of stdout and of stderr; yield the first."""
    _open_what_is_closed()
    before = sys.stdout, sys.stderr
    out = Output(before[0] or _nowhere(), "replace")
    err = Output(before[1] or _nowhere(), "backslashreplace")
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", err)
    try:
        yield out
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before


def say(text: str) -> None:
    """Write a line to stdout."""
    sys.stdout.write(f"{text}\n")


def warn(text: str) -> None:
    """Write a line to stderr, after what stdout was told."""
    sys.stdout.flush()
    sys.stderr.write(f"{text}\n")


def _open_what_is_closed() -> None:
    """Without this the next file opened, a database say, would be where a library prints to."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 -- lasts as long as we do
