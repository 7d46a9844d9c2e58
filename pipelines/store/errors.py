"""How using a database can fail; `exit_code` is the one of sysexits.h that a command ends with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb


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


@contextmanager
def of_this_version(published: Path) -> Iterator[None]:
    """Say what to do where the published file lacks a table or column, as `DatabaseError`."""
    try:
        yield
    except (duckdb.BinderException, duckdb.CatalogException):
        raise DatabaseError(
            f"{published} was published by an earlier version: `rfq build` makes it anew"
        ) from None
