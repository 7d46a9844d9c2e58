"""`rfq backup`: copies of the files that belong together, opened before they count."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from pipelines.stopping import stoppable
from pipelines.store.beside import log_beside, record_path
from pipelines.store.database import PRIVATE, Database
from pipelines.store.errors import DatabaseError, DataRefused
from pipelines.store.publish import Last, provenance
from pipelines.store.stamp import Stamp, quoted_name, quoted_text, read_stamp

WAITS_S = 60.0
LEFT_FOR_S = 86_400.0
_DRAFTS = ".rfq-backup-"


def back_up(database: Database, folder: Path, within_s: float = WAITS_S) -> dict[str, int]:
    """Copy the files of *database* into *folder*, which is made whole or not at all.

    Waits *within_s* for a run to end. Returns the sizes by name. Raises `DatabaseBusy`,
    `DataRefused` for a copy that cannot be read, `DatabaseError` for a folder that is in use.
    """
    target = _free(folder)
    _demand_something(database, is_there=database.may_be_loaded)
    with stoppable(), database.held(within_s), _drafting(target.parent) as beside:
        # A file of the older naming was another database's, unless it was taken over by now.
        _demand_something(database, is_there=database.is_loaded)
        draft = beside / "draft"
        draft.mkdir(mode=0o700)
        copy = Database(draft / database.path.name)
        _copy(database, copy)
        if (copy.path.exists(), copy.is_loaded) != (database.path.exists(), database.is_loaded):
            raise DataRefused("the copy lacks a file, so there is no backup: try again")
        _demand_whole(copy)
        os.sync()
        draft.replace(target)
    return {path.name: path.stat().st_size for path in sorted(target.iterdir())}


@contextmanager
def _drafting(parent: Path) -> Iterator[Path]:
    """A fresh directory in *parent*; one that a killed backup left there a day ago is removed.

    Another machine may be at work on a younger one.
    """
    for left in parent.glob(f"{_DRAFTS}*"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > LEFT_FOR_S:
                shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=_DRAFTS, dir=parent, ignore_cleanup_errors=True) as directory:
        yield Path(directory)


def _free(folder: Path) -> Path:
    target = folder.absolute()
    if not target.parent.is_dir():
        raise DatabaseError(f"the folder {target.parent} does not exist: make it first")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DatabaseError(f"{target} is in use: name a folder that is empty or not there yet")
    if target.is_symlink() or target.is_mount():
        raise DatabaseError(f"{target} is a link or the root of a disk: name a folder in it")
    return target


def _demand_something(database: Database, *, is_there: bool) -> None:
    if not database.path.exists() and not is_there:
        raise DatabaseError(f"there is nothing at {database.path} to back up: `rfq run` makes it")


def _copy(database: Database, copy: Database) -> None:
    """Copy the files under the names that they have beside *copy*: one of them may be a link."""
    private, copied = database.private_path, copy.private_path
    for path, target in (
        (database.path, copy.path),
        (private, copied),
        (log_beside(private), log_beside(copied)),
        (record_path(database.path), record_path(copy.path)),
    ):
        if path.is_file():
            with suppress(FileNotFoundError):
                shutil.copyfile(path, target)


def _demand_whole(copy: Database) -> None:
    """Read all of both copies; what a killed run left in the log of the private one is taken in."""
    try:
        if copy.is_loaded:
            with copy.writing(as_it_is=True) as connection:
                connection.execute("checkpoint")
                _read_every_row(connection, PRIVATE)
                _demand_published(copy, connection)
        elif copy.path.exists():
            _read_all(copy.path)
    except duckdb.Error as error:
        raise DataRefused(
            f"the copy cannot be read ({str(error).splitlines()[0]}), so there is no backup: "
            "`rfq build --full-refresh` says if it is the private file, and makes the other anew"
        ) from None


def _demand_published(copy: Database, connection: duckdb.DuckDBPyConnection) -> None:
    """Demand that the published copy is whole, and the one that the private file has noted."""
    if not copy.path.exists():
        return
    stamp = _read_all(copy.path)
    last = Last(copy.path, copy.path.parent, stamp)
    if provenance(connection, last, copy.path) == "changed":
        raise DataRefused(
            "the published file is not as it was published, so there is no backup: "
            "`rfq build` makes it anew"
        )


def _read_all(path: Path) -> Stamp | None:
    """Read every row of the published file at *path*; return its stamp. Raises duckdb.Error."""
    with duckdb.connect() as connection:
        connection.execute(f"attach {quoted_text(path)} as copied (read_only)")
        _read_every_row(connection, "copied")
        return read_stamp(connection, "copied")


def _read_every_row(connection: duckdb.DuckDBPyConnection, catalog: str) -> None:
    """Read all tables of *catalog*: a damaged block is not noticed before. Raises duckdb.Error."""
    tables = connection.execute(
        "select schema_name, table_name from duckdb_tables() where database_name = $1", [catalog]
    ).fetchall()
    for schema, table in tables:
        name = f"{catalog}.{quoted_name(schema)}.{quoted_name(table)}"
        connection.execute(f"select bit_xor(hash(held)) from {name} as held").fetchall()  # noqa: S608
