"""The two files of a database: a private one that a run writes, a published one to read.

DuckDB lets one process write or many read, so readers never open the file that is written. Each
run replaces the published file whole; who has the old one open keeps reading the old one.
"""

import errno
import glob
import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import duckdb
from filelock import FileLock, Timeout

from pipelines.store.beside import copied, fresh_directory, lock_path, log_beside, put_aside
from pipelines.store.errors import DatabaseBusy, DatabaseError, DataRefused, RunAtWork
from pipelines.store.memory import limit_memory
from pipelines.store.older_layouts import take_over
from pipelines.store.stamp import LAYOUT, Kind, Stamp, kind_of, make_stamp, quoted_text, read_stamp
from transforms.raw import create_raw_tables

DUCKDB_MAGIC = b"DUCK"
LOCK_WITHIN_S = 0.25
LOCK_EVERY_S = 0.05
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DEFAULT_NAME = "rfq.duckdb"
# The longest name that is made beside a published file: NAME.private.duckdb.wal.damaged-<moment>.
LONGEST_SUFFIX = ".private.duckdb.wal.damaged-20261128T120000000000"
# What the files are called in queries: their own names may be those of schemas of ours.
PRIVATE, PUBLISHED = "private", "published"

WAYS_ON = (
    "Put a backup in its place, or move it away and run again: what the exchange still has is read "
    "again"
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Database:
    """The files that belong to the published file at *path*, which is where a link leads.

    Raises `DatabaseError` for a path that cannot be one.
    """

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", _resolved(self.path))
        _demand_workable(self.path)
        if self.path.name == Path(DEFAULT_NAME).stem:
            raise DatabaseError(
                f"{self.path} would share its private file with {DEFAULT_NAME}: choose another name"
            )

    @property
    def private_path(self) -> Path:
        """The file that runs write; it also holds the private fields."""
        name = self.path.name
        beside = "rfq.private.duckdb" if name == DEFAULT_NAME else f"{name}.private.duckdb"
        return _resolved(self.path.with_name(beside))

    @property
    def is_loaded(self) -> bool:
        """Whether there is a private file. The run lock must be held: one may change its name."""
        return _holds_something(self.private_path)

    @property
    def may_be_loaded(self) -> bool:
        """Whether there is a private file of today's naming or of the older."""
        return self.is_loaded or _holds_something(self._older_private_path)

    @property
    def _older_private_path(self) -> Path:
        return self.path.with_name(f"{self.path.stem}.private.duckdb")

    def exchange(self) -> str | None:
        """Return whose rows the files hold, as their stamps tell it; None where none does yet."""
        for path in (self.private_path, self.path):
            if not _holds_something(path):
                continue
            # What cannot be opened here is for the run to mend, or to refuse.
            with suppress(duckdb.Error), duckdb.connect(path, read_only=True) as connection:
                if (stamp := read_stamp(connection)) is not None and stamp.exchange:
                    return stamp.exchange
        return None

    @contextmanager
    def held(self, within_s: float = 0.0) -> Iterator[None]:
        """Hold the run lock, and check that the files beside it are ours to write.

        Where another run has it, wait for so long.

        Raises `DatabaseBusy` and `DatabaseError`. Every file made meanwhile, the published one too,
        is ours alone to read; who wants to share it changes its folder or copies it.
        """
        with _ours_alone(), self._locked(within_s):
            _demand_file(self.path)
            _demand_file(self.private_path)
            self._demand_apart()
            self._take_over()
            yield

    @contextmanager
    def writing(
        self, directory: Path | None = None, *, may_create: bool = False, as_it_is: bool = False
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """The one connection to the private file, in UTC. The run lock must be held.

        One of an earlier version is brought to today's layout, unless it is wanted *as it is*. A
        log that a power cut has damaged is put aside: what it held is read again. What does not
        fit into memory goes to *directory*, by default one beside the file.
        """
        if not _holds_something(self.private_path):
            if not may_create:
                raise DatabaseError(
                    "nothing was loaded yet, so there is nothing to build: `rfq run`"
                )
            self._create()
        with _connected(self.private_path, directory) as connection:
            self._demand_private(connection)
            if not as_it_is:
                take_over(connection)
                make_stamp(connection, "private")
            yield connection

    @contextmanager
    def working_directory(self) -> Iterator[Path]:
        """A fresh directory for this run beside the files; what a killed run left is removed first.

        The run lock must be held.
        """
        with fresh_directory(self.path.parent, f".{self.path.name}.run-") as directory:
            yield directory

    @contextmanager
    def loading_directory(self, beside: Path) -> Iterator[Path]:
        """A fresh directory for dlt: in *beside* or, where SQL would misread its name, elsewhere.

        dlt resumes from what it finds in its directory, and was measured to lose rows or to stop
        for good after a kill. From a fresh one it starts at the state loaded with the data.
        """
        if _is_plain(beside):
            yield beside
            return
        # dlt writes the names of its files into SQL as they are: quotes, brackets and all.
        elsewhere = next(filter(_is_plain, map(Path, (tempfile.gettempdir(), "/var/tmp"))))  # noqa: S108
        of_this_database = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        with fresh_directory(elsewhere, f"rfq-{of_this_database}-") as directory:
            yield directory

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the published file to read, or a copy of it where another program is in the way.

        Raises `DatabaseError` when there is none, `DataRefused` when it cannot be read.
        """
        if not _holds_something(self.path):
            what = "is empty" if self.path.exists() else "does not exist"
            raise DatabaseError(f"{self.path} {what}: `rfq run` makes it")
        _demand_file(self.path)
        with ExitStack() as stack:
            connection = stack.enter_context(duckdb.connect())
            try:
                _attach_to_read(connection, self.path)
            except duckdb.Error:
                copies = stack.enter_context(tempfile.TemporaryDirectory(prefix="rfq-"))
                _attach_a_copy(connection, self.path, Path(copies))
            if kind_of(connection, PUBLISHED) == "foreign":
                raise DatabaseError(f"{self.path} is {_described('foreign')}: choose another file")
            connection.execute(f"use {PUBLISHED}; set timezone = 'UTC'")
            try:
                yield connection
            except duckdb.Error as error:
                # DuckDB finds some damage where it reads it, and not as it opens the file.
                if "corrupt" in str(error).lower():
                    raise damaged(self.path) from None
                raise

    @contextmanager
    def _locked(self, within_s: float) -> Iterator[None]:
        if not self.path.parent.is_dir():
            raise DatabaseError(f"the folder {self.path.parent} does not exist: make it first")
        # The kernel lets go of the lock with the process, however that ends.
        place = lock_path(self.path)
        # Not at once: who only asks whether a run is at work has it for an instant.
        lock = FileLock(place, timeout=max(within_s, LOCK_WITHIN_S), poll_interval=LOCK_EVERY_S)
        is_new = not place.exists()
        try:
            # FileLock takes some files that cannot be made for ones that are held.
            os.close(os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
            lock.acquire()
        except Timeout:
            raise RunAtWork(self.path) from None
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            why = "it is a link" if place.is_symlink() else error.strerror
            raise DatabaseError(f"{place} cannot be made the lock of a run: {why}") from None
        try:
            yield
        finally:
            if is_new and not self.private_path.exists():
                # Where a first run did not get as far as a file, it leaves nothing behind.
                place.unlink(missing_ok=True)
            lock.release()

    def _demand_apart(self) -> None:
        """Raise `DatabaseError` where links make one file of both, or lead to no folder."""
        private = self.private_path
        is_one = private == self.path or (
            private.exists() and self.path.exists() and private.samefile(self.path)
        )
        if is_one:
            raise DatabaseError(f"{private} and {self.path} are one file: remove the link")
        if not private.parent.is_dir():
            raise DatabaseError(f"the folder {private.parent} of the private file does not exist")

    def _take_over(self) -> None:
        """Give a private file of the older naming its name of today.

        It was named after the published file without its last suffix, so two could claim it.
        """
        older = self._older_private_path
        if self.private_path.exists() or older == self.private_path or not _is_unstamped(older):
            return
        if others := self._other_claimants(older):
            raise DatabaseError(
                f"{older} may belong to {self.path} or to {others[0]}: rename it to the one "
                f"that it belongs to, {self.private_path.name} or "
                f"{Database(others[0]).private_path.name}"
            )
        with _connected(older) as connection:
            connection.execute("checkpoint")
        older.replace(self.private_path)
        _log.warning("%s is called %s from now on", older, self.private_path.name)

    def _other_claimants(self, older: Path) -> list[Path]:
        same_stem = self.path.parent.glob(f"{glob.escape(self.path.stem)}.*")
        claimants = {each for each in same_stem if each.stem == self.path.stem and is_duckdb(each)}
        if older.name == "rfq.private.duckdb" and not self.path.exists():
            claimants.add(self.path.with_name(DEFAULT_NAME))
        return sorted(claimants - {self.path})

    def _create(self) -> None:
        """Make the private file elsewhere first: a kill leaves a whole file or none."""
        beside = self.private_path.parent
        with fresh_directory(beside, f".{self.private_path.name}.new-") as directory:
            made = directory / "private.duckdb"
            with duckdb.connect(made) as connection:
                create_raw_tables(connection)
                make_stamp(connection, "private")
            made.replace(self.private_path)

    def _demand_private(self, connection: duckdb.DuckDBPyConnection) -> None:
        kind, stamp = kind_of(connection), read_stamp(connection)
        if kind not in ("private", "empty"):
            raise DatabaseError(
                f"{self.private_path} is {_described(kind)} and was left as it is: "
                "move it away, or choose another file with --database"
            )
        if stamp is not None and stamp.layout > LAYOUT:
            raise DatabaseError(f"{self.private_path} was made by a later version: install that")


def demand_publishable(
    connection: duckdb.DuckDBPyConnection, catalog: str, path: Path
) -> tuple[Kind, Stamp | None]:
    """Return what the attached copy of the file at *path* is, and its stamp.

    Raises `DatabaseError` for one that may not be replaced.
    """
    kind, stamp = kind_of(connection, catalog), read_stamp(connection, catalog)
    if kind == "private":
        raise DatabaseError(
            f"{path} is a private file, which only runs write: give the published file beside it "
            "with --database or, if the private one got this name by mistake, rename it back"
        )
    if stamp is not None and stamp.layout > LAYOUT:
        raise DatabaseError(f"{path} was published by a later version: install that")
    if kind == "foreign":
        raise DatabaseError(
            f"{path} is {_described(kind)} and was left as it is: "
            "choose another file with --database"
        )
    return kind, stamp


def _described(kind: Kind) -> str:
    return {
        "private": "a private file of ours",
        "published": "a published file of ours",
        "empty": "an empty database",
        "foreign": "a database of somebody else",
    }[kind]


@contextmanager
def _ours_alone() -> Iterator[None]:
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        raise DatabaseError(f"{path} is a link that leads nowhere: choose another file") from None


def _demand_workable(path: Path) -> None:
    """Raise `DatabaseError` for a path that DuckDB would read as another, or that is too long."""
    try:
        encoded = os.fsencode(path.name)
        str(path).encode()
    except UnicodeEncodeError:
        raise DatabaseError("the path of the database is not UTF-8: choose another file") from None
    for sign, why in (("?", "keeps its log elsewhere"), ("\\", "reads it as a folder's end")):
        if sign in str(path):
            raise DatabaseError(
                f"DuckDB cannot work with {sign} in the path {path}: it {why}. "
                "Choose another file with --database"
            )
    if len(encoded) + len(LONGEST_SUFFIX) > 255:
        raise DatabaseError(
            f"the name {path.name[:40]}… is too long for the files beside it: choose one of at "
            f"most {255 - len(LONGEST_SUFFIX)} bytes"
        )
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise DatabaseError(f"{path} cannot be used: {error.strerror}") from None
    if is_folder:
        raise DatabaseError(f"{path} is a folder: give the path of a file with --database")


def _demand_file(path: Path) -> None:
    """Raise `DatabaseError` for what is neither a DuckDB database nor an empty file nor absent."""
    if not path.exists():
        return
    if not path.is_file() or (_holds_something(path) and not is_duckdb(path)):
        raise DatabaseError(
            f"{path} is not a DuckDB database and was left as it is: "
            "choose another file with --database"
        )


def _holds_something(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _is_unstamped(path: Path) -> bool:
    """Whether *path* is a private file that a run made before files were stamped."""
    if not is_duckdb(path):
        return False
    # What cannot even be opened to read is not touched: nobody knows whose it is.
    with suppress(duckdb.Error), duckdb.connect(path, read_only=True) as connection:
        return kind_of(connection) == "private" and read_stamp(connection) is None
    return False


def is_duckdb(path: Path) -> bool:
    """Whether *path* is a file that DuckDB has written."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(12)[8:] == DUCKDB_MAGIC


def _is_plain(path: Path) -> bool:
    return re.fullmatch(r"[\w./ ,+=@-]+", str(path)) is not None


class PrivateConnection:
    """A connection to the private file, all of whose cursors are ones to that file as well.

    DuckDB would name the file in queries after its own name. It is attached under a fixed one
    instead, and a cursor of DuckDB's does not know what its connection was told to use.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        _use_private(connection)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        return _use_private(self._connection.cursor())

    duplicate = cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def _use_private(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    connection.execute(f"use {PRIVATE}; set timezone = 'UTC'")
    return connection


@contextmanager
def _connected(path: Path, directory: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the private file at *path* to write, whatever state its log is in."""
    spilled = directory / "spilled" if directory else path.with_name(f"{path.name}.tmp")
    log = log_beside(path)
    was_logged = _holds_something(log)
    with duckdb.connect() as memory:
        memory.execute(f"set temp_directory = {quoted_text(spilled)}")
        limit_memory(memory)
        _attach(memory, path, log)
        connection = PrivateConnection(memory)
        if was_logged:
            memory.execute(f"force checkpoint {PRIVATE}")
            # DuckDB has read a log that is still there after a checkpoint as nothing at all.
            if log.exists():
                _say_aside(log, put_aside(log, "damaged"))
        yield cast(duckdb.DuckDBPyConnection, connection)


def _attach(connection: duckdb.DuckDBPyConnection, path: Path, log: Path) -> None:
    """Attach the private file; a log that stops it is kept under another name.

    Raises `DatabaseBusy` where another program has the file, `DataRefused` where it is damaged.
    """
    if not os.access(path, os.R_OK | os.W_OK):
        raise DatabaseError(f"{path} cannot be written: run as its owner, or change its mode")
    attach = f"attach {quoted_text(path)} as {PRIVATE}"
    try:
        connection.execute(attach)
        return
    except duckdb.Error as error:
        if "could not set lock" in str(error).lower():
            raise DatabaseBusy(
                f"{path} is open in another program, so nothing was loaded: close it there, and "
                "read the published file instead"
            ) from None
        failure = str(error).splitlines()[0]
    aside = put_aside(log, "damaged") if log.exists() else None
    try:
        connection.execute(attach)
    except duckdb.Error:
        if aside is not None:
            aside.replace(log)
        raise DataRefused(
            f"{path} is damaged ({failure}), so nothing was loaded or published. {WAYS_ON}"
        ) from None
    if aside is not None:
        _say_aside(log, aside)


def _say_aside(log: Path, aside: Path) -> None:
    _log.warning(
        "%s was damaged and is now %s; what it held and the exchange still has is read again",
        log,
        aside.name,
    )


def _attach_to_read(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    connection.execute(f"attach {quoted_text(path)} as {PUBLISHED} (read_only)")


def _attach_a_copy(connection: duckdb.DuckDBPyConnection, path: Path, directory: Path) -> None:
    try:
        _attach_to_read(connection, copied(path, directory, "published.duckdb"))
    except duckdb.Error:
        raise damaged(path) from None


def damaged(published: Path) -> DataRefused:
    """Say that the file at *published* is, and what to do."""
    return DataRefused(f"{published} is damaged: `rfq build --full-refresh` makes it anew")
