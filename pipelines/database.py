"""The two files of a database: a private one that a run writes, a published one to read.

DuckDB lets one process write or many read, so readers never open the file that is written. Each
run replaces the published file whole; who has the old one open keeps reading the old one.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout

DUCKDB_MAGIC = b"DUCK"


class DatabaseError(Exception):
    """A database that cannot be used as asked; `exit_code` is the one of sysexits.h."""

    exit_code = 78


class DatabaseBusy(DatabaseError):
    """Another run, or another program, holds the private file."""

    exit_code = 75


class DataRefused(DatabaseError):
    """The data breaks a rule that published data must keep; nothing was published."""

    exit_code = 65


@dataclass(frozen=True, slots=True)
class Database:
    """The files that belong to the published file at *path*."""

    path: Path

    @property
    def private_path(self) -> Path:
        """The file that runs write; it also holds the private fields."""
        return self.path.with_name(f"{self.path.stem}.private.duckdb")

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Hold the run lock and the one connection to the private file, in UTC.

        Raises `DatabaseBusy` and `DatabaseError`. Everything made meanwhile is ours alone to read.
        """
        os.umask(0o077)
        self._demand_usable()
        lock = FileLock(self.path.with_name(f"{self.path.stem}.lock"), blocking=False)
        try:
            lock.acquire()
        except Timeout:
            raise DatabaseBusy(
                f"another run is writing {self.path}: wait for it to end, or stop it"
            ) from None
        try:
            with _connect(self.private_path) as connection:
                connection.execute("set timezone = 'UTC'")
                yield connection
        finally:
            lock.release()

    @contextmanager
    def working_directory(self) -> Iterator[Path]:
        """A fresh directory for this run; what a killed run left behind is removed first.

        dlt resumes from what it finds in its directory, and was measured to lose rows or to stop
        for good after a kill. From a fresh one it starts at the state loaded with the data.
        """
        prefix = f".{self.path.stem}.run-"
        for leftover in self.path.parent.glob(f"{prefix}*"):
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=self.path.parent) as directory:
            yield Path(directory)

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the published file to read. Raises `DatabaseError` when there is none."""
        if not self.path.exists():
            raise DatabaseError(f"{self.path} does not exist: `rfq run` makes it")
        self._demand_usable()
        with duckdb.connect(self.path, read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            yield connection

    def _demand_usable(self) -> None:
        if not self.path.parent.is_dir():
            raise DatabaseError(f"the folder {self.path.parent} does not exist: make it first")
        for path in (self.path, self.private_path):
            if path.exists() and not _is_duckdb(path):
                raise DatabaseError(
                    f"{path} is not a DuckDB database and was left as it is: "
                    "choose another file with --database"
                )


def _is_duckdb(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(12)[8:] == DUCKDB_MAGIC


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(path)
    except duckdb.IOException as error:
        if "lock" not in str(error).lower():
            raise
        raise DatabaseBusy(
            f"{path} is open in another program, so nothing was loaded: close it there, and read "
            "the published file instead"
        ) from None
