"""The two files of a database: a private one that a run writes, a published one to read.

DuckDB lets one process write or many read, so readers never open the file that is written. Each
run replaces the published file whole; who has the old one open keeps reading the old one.
"""

import glob
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

        Raises `DatabaseBusy` and `DatabaseError`. Every file made meanwhile, the published one too,
        is ours alone to read; who wants to share it changes its folder or copies it.
        """
        with _ours_alone(), self._locked():
            self._demand_usable(self.path)
            self._demand_usable(self.private_path)
            if not self.private_path.exists():
                self._create()
            with _connect(self.private_path) as connection:
                connection.execute("set timezone = 'UTC'")
                yield connection

    @contextmanager
    def working_directory(self) -> Iterator[Path]:
        """A fresh directory for this run; what a killed run left behind is removed first.

        dlt resumes from what it finds in its directory, and was measured to lose rows or to stop
        for good after a kill. From a fresh one it starts at the state loaded with the data. The
        run lock must be held.
        """
        prefix = f".{self.path.stem}.run-"
        for leftover in self.path.parent.glob(f"{glob.escape(prefix)}*"):
            _remove(leftover)
        with tempfile.TemporaryDirectory(
            prefix=prefix, dir=self.path.parent, ignore_cleanup_errors=True
        ) as directory:
            yield Path(directory)

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the published file to read. Raises `DatabaseError` when there is none."""
        if not self.path.exists():
            raise DatabaseError(f"{self.path} does not exist: `rfq run` makes it")
        self._demand_usable(self.path)
        with duckdb.connect(self.path, read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            yield connection

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if not self.path.parent.is_dir():
            raise DatabaseError(f"the folder {self.path.parent} does not exist: make it first")
        # The kernel lets go of the lock with the process, however that ends.
        lock = FileLock(self.path.with_name(f"{self.path.name}.lock"), blocking=False)
        try:
            lock.acquire()
        except Timeout:
            raise DatabaseBusy(
                f"another run is writing {self.path}: wait for it to end, or stop it"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _create(self) -> None:
        """Make the private file elsewhere first: a kill leaves a whole file or none."""
        with self.working_directory() as directory:
            made = directory / "private.duckdb"
            duckdb.connect(made).close()
            made.replace(self.private_path)

    def _demand_usable(self, path: Path) -> None:
        if path.exists() and not _is_duckdb(path):
            raise DatabaseError(
                f"{path} is not a DuckDB database and was left as it is: "
                "choose another file with --database"
            )


@contextmanager
def _ours_alone() -> Iterator[None]:
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _remove(leftover: Path) -> None:
    if leftover.is_dir() and not leftover.is_symlink():
        # What cannot be removed harms nobody: it is never read, and others cannot enter it.
        shutil.rmtree(leftover, ignore_errors=True)
    else:
        leftover.unlink(missing_ok=True)


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
