"""The record of runs, `<stem>.runs.jsonl` beside the database: a line at a start, one at an end.

Each line is appended by one write, so a kill leaves whole lines or a broken last one, which is
skipped. A start without an end was killed, unless a run holds the lock: then the newest is that
run. Lines of another kind note which verdict was told last (see `pipelines.operations.notices`).
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.effects import WATCH
from pipelines.spans import read_rfc3339, rfc3339
from pipelines.store.beside import lock_path, record_path

KILLED = 137
KEPT_LINES = 5_000
LONGEST_MESSAGE = 500
_WAS_KILLED = "killed, or the machine went down"


@dataclass(frozen=True, slots=True)
class Run:
    """A run that was recorded. *exit_code* is None while it lasts.

    *files* are the sizes of the database's files at its end, *published* whether it published.
    """

    run_id: str
    command: str
    started_ts: datetime
    ended_ts: datetime | None = None
    exit_code: int | None = None
    message: str | None = None
    files: Mapping[str, int] = field(default_factory=dict)
    published: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """What the file tells: the runs by when they ended, the last verdict that somebody was told."""

    runs: tuple[Run, ...] = ()
    told_verdict: str | None = None

    @property
    def ended(self) -> tuple[Run, ...]:
        """The runs that are over."""
        return tuple(run for run in self.runs if run.exit_code is not None)


def append_start(database: Path, run: Run) -> None:
    """Note that *run* begins, and drop the oldest lines. Raises OSError."""
    _append(database, [_start(run)], trims=True)


def append_end(database: Path, run: Run, *, has_start: bool) -> None:
    """Note how *run* ended; its start as well, unless it *has_start*. Raises OSError."""
    lines = [] if has_start else [_start(run)]
    end = {
        "event": "end",
        "run_id": run.run_id,
        "command": run.command,
        "ts": rfc3339(run.ended_ts or run.started_ts),
        "started_ts": rfc3339(run.started_ts),
        "exit_code": run.exit_code,
        "message": (run.message or "")[:LONGEST_MESSAGE] or None,
        "published": run.published,
        "files": dict(run.files),
    }
    _append(database, [*lines, end])


def append_verdict(database: Path, verdict: str, moment: datetime) -> None:
    """Note that somebody was told this *verdict*. Raises OSError."""
    _append(database, [{"event": "verdict", "ts": rfc3339(moment), "verdict": verdict}])


def read_record(database: Path) -> Record:
    """Read the runs of the published file at *database*; without a file there were none."""
    # Asked before the file is read: a run that ends in between has ended in the file as well.
    is_held = is_at_work(database)
    try:
        content = record_path(database).read_bytes()
    except FileNotFoundError:
        return Record()
    return _understood(_lines(content, database.name), is_held=is_held)


def is_at_work(database: Path) -> bool:
    """Whether a run holds the lock of the published file at *database*.

    It is asked for by a shared lock that is let go of at once; a run tries for longer than that.
    """
    with suppress(OSError):
        descriptor = os.open(lock_path(database), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False


def is_watched(database: Path) -> bool:
    """Return whether what holds the lock of the published file at *database* is a watch."""
    runs: tuple[Run, ...] = ()
    with suppress(OSError):
        runs = read_record(database).runs
    return bool(runs) and runs[-1].exit_code is None and runs[-1].command == WATCH


def _start(run: Run) -> dict[str, Any]:
    return {
        "event": "start",
        "run_id": run.run_id,
        "command": run.command,
        "ts": rfc3339(run.started_ts),
    }


def _append(database: Path, lines: list[dict[str, Any]], *, trims: bool = False) -> None:
    # Files of one stem share the record: each line says whose it is.
    named = [{**line, "database": database.name} for line in lines]
    text = "".join(f"{json.dumps(line)}\n" for line in named).encode()
    with _opened(record_path(database)) as descriptor:
        size = os.fstat(descriptor).st_size
        is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, b"\n" + text if is_torn else text)
        if trims:
            _trim(record_path(database), descriptor)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open the record to append, and hold it: lines of others wait, and nobody trims meanwhile."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        descriptor = os.open(path, flags, 0o600)
        try:
            # Where the disk knows no locks, a line is appended whole all the same.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_there(path, descriptor):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _is_there(path: Path, descriptor: int) -> bool:
    """Whether nobody has put a trimmed record in the place of the opened one."""
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


def _trim(path: Path, descriptor: int) -> None:
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    lines = content.splitlines(keepends=True)
    if len(lines) <= KEPT_LINES:
        return
    kept = lines[-KEPT_LINES:]
    dropped = [line for line in lines[:-KEPT_LINES] if b'"event": "verdict"' in line]
    if dropped and not any(b'"event": "verdict"' in line for line in kept):
        # Who was told of a verdict must not be told again.
        kept[0] = dropped[-1]
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.writelines(kept)
    draft.replace(path)


def _lines(content: bytes, name: str) -> Iterator[dict[str, Any]]:
    """The lines that are objects of the database of that *name*; the others are skipped."""
    for line in content.split(b"\n"):
        with suppress(ValueError, RecursionError):
            read = json.loads(line)
            if isinstance(read, dict) and read.get("database") == name:
                yield read


def _understood(lines: Iterator[dict[str, Any]], *, is_held: bool) -> Record:
    runs: dict[str, Run] = {}
    told: str | None = None
    for line in lines:
        if line.get("event") == "verdict" and isinstance(line.get("verdict"), str):
            told = line["verdict"]
        elif (run := _run(line)) is not None:
            # A run stands where it ended.
            runs.pop(run.run_id, None)
            runs[run.run_id] = run
    open_ids = [run.run_id for run in runs.values() if run.exit_code is None]
    for run_id in open_ids[:-1] if is_held else open_ids:
        runs[run_id] = replace(runs[run_id], exit_code=KILLED, message=_WAS_KILLED)
    return Record(tuple(runs.values()), told)


def _run(line: dict[str, Any]) -> Run | None:
    """The run that *line* tells of; None for a line that is none of ours, or broken."""
    try:
        run_id, command = _text(line["run_id"]), _text(line["command"])
        if line["event"] == "start":
            return Run(run_id, command, read_rfc3339(line["ts"]))
        if line["event"] != "end" or type(line["exit_code"]) is not int:
            return None
        message, files = line.get("message"), line.get("files")
        return Run(
            run_id,
            command,
            started_ts=read_rfc3339(line["started_ts"]),
            ended_ts=read_rfc3339(line["ts"]),
            exit_code=line["exit_code"],
            message=message if isinstance(message, str) else None,
            files={k: v for k, v in files.items() if type(v) is int}
            if isinstance(files, dict)
            else {},
            published=line.get("published") is True,
        )
    except (KeyError, ValueError):
        return None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value
