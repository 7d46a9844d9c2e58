"""What the command has done so far, so that no ending says otherwise."""

from contextlib import suppress
from os import stat_result
from pathlib import Path

WRITING = ("run", "load", "backfill", "build")


class _Effects:
    """One command runs in a process at a time."""

    command: str | None = None
    place: Path | None = None
    draft: stat_result | None = None


_effects = _Effects()


def begin(command: str | None) -> None:
    """Note that *command* begins: nothing was published by it."""
    _effects.command = command
    _effects.place = _effects.draft = None


def begin_publishing(draft: Path, place: Path) -> None:
    """Note that *draft* is about to be renamed to *place*; whether it was, the file itself says.

    A signal may come right before or right after the rename, and what is told must hold for both.
    """
    _effects.place, _effects.draft = place, draft.stat()


def _has_published() -> bool:
    if _effects.place is None or _effects.draft is None:
        return False
    with suppress(OSError):
        there = _effects.place.stat()
        return (there.st_dev, there.st_ino) == (_effects.draft.st_dev, _effects.draft.st_ino)
    return False


def is_writing() -> bool:
    """Whether the command is one that changes the database."""
    return _effects.command in WRITING


def so_far() -> str:
    """Say in a sentence what became of the database; nothing where the command only reads."""
    if _has_published():
        return "The new tables were published before that."
    return "Nothing was published." if is_writing() else ""
