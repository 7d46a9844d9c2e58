"""How using a database can fail; `exit_code` is the one of sysexits.h that a command ends with."""

from pathlib import Path


class DatabaseError(Exception):
    """A database that cannot be used as asked."""

    exit_code = 78


class DatabaseBusy(DatabaseError):
    """Another run, or another program, holds the private file."""

    exit_code = 75


class RunAtWork(DatabaseBusy):
    """Another run holds the lock of the published file at *path*."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"another run is writing {path}: wait for it to end, or stop it")
        self.path = path


class DataRefused(DatabaseError):
    """The data breaks a rule that published data must keep; nothing was published."""

    exit_code = 65
