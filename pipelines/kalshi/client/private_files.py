"""Files that hold secrets are read only where nobody else can read them."""

import os
from collections.abc import Callable
from pathlib import Path

from pipelines.kalshi.client.errors import CredentialsUnusable


def read_checked(path: Path, most_bytes: int, check: Callable[[os.stat_result], None]) -> bytes:
    """The first *most_bytes* of *path*, once *check* has accepted what was opened.

    The opened file is checked, so that it cannot be swapped in between. Symbolic links are
    followed: container secrets are mounted as links. Raises OSError when it cannot be opened.
    """
    # Non-blocking, or opening a named pipe would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        check(os.fstat(descriptor))
        return os.read(descriptor, most_bytes)
    finally:
        os.close(descriptor)


def demand_private(what: str, path: Path, opened: os.stat_result) -> None:
    """Raise `CredentialsUnusable` when *path* is somebody else's, or others can read it."""
    if opened.st_uid not in (os.geteuid(), 0):
        raise CredentialsUnusable(
            f"The {what} {path} belongs to another user",
            advice=f"Run: sudo chown {os.geteuid()} '{path}'",
        )
    if opened.st_mode & 0o077:
        raise CredentialsUnusable(
            f"Others can read the {what} {path} (mode {opened.st_mode & 0o777:03o})",
            advice=f"Run: chmod 600 '{path}'",
        )
