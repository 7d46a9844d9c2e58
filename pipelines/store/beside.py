"""What lies beside a file: its lock, its log and the record of its runs, copies of it, what was put
aside, working directories."""

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

# Of linux/fs.h.
FICLONE = 0x40049409


def put_aside(path: Path, why: str) -> Path:
    """Rename *path*, so that it is in nobody's way and still there; return where it is now."""
    aside = _aside(path, why)
    path.replace(aside)
    return aside


def keep_aside(path: Path, why: str) -> Path:
    """Give *path* another name besides, for when it is replaced; return that name.

    On a disk that knows no links the file is renamed.
    """
    aside = _aside(path, why)
    try:
        os.link(path, aside)
    except OSError:
        path.replace(aside)
    return aside


def _aside(path: Path, why: str) -> Path:
    return path.with_name(f"{path.name}.{why}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")


def lock_path(database: Path) -> Path:
    """The lock of the published file at *database*, which whoever writes holds."""
    return database.with_name(f"{database.name}.lock")


def record_path(database: Path) -> Path:
    """Where the runs of the published file at *database* are recorded."""
    return database.with_name(f"{database.stem}.runs.jsonl")


def log_beside(path: Path) -> Path:
    """Where DuckDB keeps what it has not yet written into the file at *path*."""
    return path.with_name(f"{path.name}.wal")


def copied(path: Path, directory: Path, name: str) -> Path:
    """Copy the file at *path* into *directory*, again if it was written meanwhile."""
    copy = directory / name
    for _ in range(5):
        before = path.stat()
        _copy(path, copy)
        after = path.stat()
        if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
            break
    return copy


def _copy(path: Path, copy: Path) -> None:
    """Let both files share their blocks where the disk can (XFS, btrfs), else copy the bytes."""
    with path.open("rb") as source, copy.open("wb") as target:
        try:
            fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
        except OSError:
            shutil.copyfile(path, copy)


@contextmanager
def fresh_directory(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a directory in *parent*; what others of that *prefix* left there is removed first."""
    for leftover in parent.glob(f"{glob.escape(prefix)}*"):
        _remove(leftover)
    with tempfile.TemporaryDirectory(
        prefix=prefix, dir=parent, ignore_cleanup_errors=True
    ) as directory:
        yield Path(directory)


def _remove(leftover: Path) -> None:
    if leftover.is_dir() and not leftover.is_symlink():
        # What cannot be removed harms nobody: it is never read, and others cannot enter it.
        shutil.rmtree(leftover, ignore_errors=True)
    else:
        leftover.unlink(missing_ok=True)
