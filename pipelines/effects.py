"""What the command has done so far, so that no ending says otherwise."""

WRITING = ("run", "load", "backfill", "build")


class _Effects:
    """One command runs in a process at a time."""

    command: str | None = None
    has_published = False


_effects = _Effects()


def begin(command: str | None) -> None:
    """Note that *command* begins: nothing was published by it."""
    _effects.command = command
    _effects.has_published = False


def note_published() -> None:
    """Note that readers see the new file from here on."""
    _effects.has_published = True


def is_writing() -> bool:
    """Whether the command is one that changes the database."""
    return _effects.command in WRITING


def so_far() -> str:
    """Say in a sentence what became of the database; nothing where the command only reads."""
    if _effects.has_published:
        return "The new tables were published before that."
    return "Nothing was published." if is_writing() else ""
