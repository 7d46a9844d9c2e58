"""A fingerprint of all definitions: which of two machines, or two builds, computes otherwise."""

from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable


@cache
def rules() -> str:
    """Return the SHA-256 of every Python and SQL source of `transforms`."""
    return sha256(
        b"\0".join(map(Traversable.read_bytes, _sources(files("transforms"))))
    ).hexdigest()


def _sources(folder: Traversable) -> Iterator[Traversable]:
    for path in sorted(folder.iterdir(), key=lambda each: each.name):
        if path.is_dir():
            yield from _sources(path)
        elif path.name.endswith((".py", ".sql")):
            yield path
