"""What the command has done so far, so that no ending says otherwise, and how long it took."""

import logging
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from os import stat_result
from pathlib import Path

_log = logging.getLogger(__name__)
WATCH = "watch"
WRITING = ("run", "load", "backfill", "build", "purge", WATCH)
PHASES = ("load", "copy", "build", "check", "publish")


@dataclass
class _Effects:
    """Those of one command: one runs in a process at a time."""

    command: str | None = None
    place: Path | None = None
    draft: stat_result | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    landed_s: float = 0.0
    phases: list[str] = field(default_factory=list)
    on_phase: Callable[[str], None] | None = None
    new_versions: int = 0
    rejected: int = 0
    taken_s: dict[str, float] = field(default_factory=dict)
    taken_versions: int = 0


class _Process:
    """Where the effects of the command stand that runs in this process."""

    effects = _Effects()


_process = _Process()


def begin(command: str | None) -> None:
    """Note that *command* begins: nothing was published by it."""
    _process.effects = _Effects(command)


def command() -> str | None:
    """Which command it is."""
    return _process.effects.command


def begin_publishing(draft: Path, place: Path) -> None:
    """Note that *draft* is about to be renamed to *place*; whether it was, the file itself says.

    A signal may come right before or right after the rename, and what is told must hold for both.
    """
    _process.effects.place, _process.effects.draft = place, draft.stat()


def has_published() -> bool:
    """Whether the command has put a new published file in place."""
    if _process.effects.place is None or _process.effects.draft is None:
        return False
    with suppress(OSError):
        there = _process.effects.place.stat()
        return (there.st_dev, there.st_ino) == (
            _process.effects.draft.st_dev,
            _process.effects.draft.st_ino,
        )
    return False


def is_writing() -> bool:
    """Whether the command is one that changes the database."""
    return _process.effects.command in WRITING


def so_far() -> str:
    """Say in a sentence what became of the database; nothing where the command only reads."""
    if has_published():
        return "The new tables were published before that."
    # What a watch published is for its cycles to tell, and those that ended have told it.
    return "Nothing was published." if is_writing() and command() != WATCH else ""


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Count the time within as that of the phase *name*, and not as that of one around it."""
    began_s = time.monotonic()
    before = dict(_process.effects.seconds)
    _process.effects.phases.append(name)
    _log.debug("%s begins", name, extra={"event": "phase_began"})
    _tell_phase()
    try:
        yield
    finally:
        _process.effects.phases.pop()
        _tell_phase()
        inner_s = sum(_process.effects.seconds.values()) - sum(before.values())
        took_s = time.monotonic() - began_s - inner_s
        _process.effects.seconds[name] = _process.effects.seconds.get(name, 0.0) + took_s


def phase_seconds() -> dict[str, float]:
    """How long each phase took so far, in seconds."""
    took_s = {name: _process.effects.seconds.get(name, 0.0) for name in PHASES}
    took_s["load"] += _process.effects.landed_s
    return took_s


def take_phases() -> tuple[dict[str, float], int]:
    """How long each phase took, and how many versions were added, since this was taken last."""
    effects, seconds = _process.effects, phase_seconds()
    took_s = {name: seconds[name] - effects.taken_s.get(name, 0.0) for name in PHASES}
    new_versions = effects.new_versions - effects.taken_versions
    effects.taken_s, effects.taken_versions = seconds, effects.new_versions
    return took_s, new_versions


def watch_phases(on_phase: Callable[[str], None] | None) -> None:
    """Let *on_phase* know of each phase that the command comes to."""
    _process.effects.on_phase = on_phase


def _tell_phase() -> None:
    effects = _process.effects
    if effects.on_phase is not None and effects.phases:
        effects.on_phase(effects.phases[-1])


def published_bytes() -> int:
    """How large the file is that the command has put in place; 0 where it has put none."""
    draft = _process.effects.draft
    return draft.st_size if draft is not None and has_published() else 0


def peak_bytes() -> int:
    """The most memory that this process has had so far."""
    # Linux counts in kB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def note_loaded(new_versions: int, rejected: int) -> None:
    """Note how many versions a load has added, and how many rows the run could not read so far."""
    _process.effects.new_versions += new_versions
    _process.effects.rejected = rejected


def note_landed(seconds: float) -> None:
    """Note that storing what a watch had seen took so long, maybe while a build was at work."""
    _process.effects.landed_s += seconds


def loaded() -> tuple[int, int]:
    """How many versions were added and rows rejected so far."""
    return _process.effects.new_versions, _process.effects.rejected
