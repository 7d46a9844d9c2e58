"""`rfq backup`: copies of the files that belong together, opened before they count."""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import duckdb

from pipelines.stopping import stoppable
from pipelines.store.beside import log_beside, record_path
from pipelines.store.database import PRIVATE, Database
from pipelines.store.errors import DatabaseError, DataRefused
from pipelines.store.publish import Last, provenance
from pipelines.store.stamp import Stamp, quoted_name, quoted_text, read_stamp

WAITS_S = 60.0


def back_up(database: Database, folder: Path, within_s: float = WAITS_S) -> dict[str, int]:
    """Copy the files of *database* into *folder*, which is made whole or not at all.

    Waits *within_s* for a run to end. Returns the sizes by name. Raises `DatabaseBusy`,
    `DataRefused` for a copy that cannot be read, `DatabaseError` for a folder that is in use.
    """
    target = _free(folder)
    if not database.path.exists() and not database.may_be_loaded:
        raise DatabaseError(f"there is nothing at {database.path} to back up: `rfq run` makes it")
    with stoppable(), database.held(within_s):
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            _copy(database, draft)
            _demand_whole(Database(draft / database.path.name))
            os.sync()
            draft.replace(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return {path.name: path.stat().st_size for path in sorted(target.iterdir())}


def _free(folder: Path) -> Path:
    target = folder.absolute()
    if not target.parent.is_dir():
        raise DatabaseError(f"the folder {target.parent} does not exist: make it first")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DatabaseError(f"{target} is in use: name a folder that is empty or not there yet")
    return target


def _copy(database: Database, draft: Path) -> None:
    private = database.private_path
    log = log_beside(private)
    for path in (database.path, private, log, record_path(database.path)):
        if path.is_file():
            with suppress(FileNotFoundError):
                shutil.copyfile(path, draft / path.name)


def _demand_whole(copy: Database) -> None:
    """Read all of both copies; what a killed run left in the log of the private one is taken in."""
    try:
        if copy.is_loaded:
            with copy.writing() as connection:
                connection.execute("checkpoint")
                _read_every_row(connection, PRIVATE)
                _demand_published(copy, connection)
        elif copy.path.exists():
            _read_all(copy.path)
    except duckdb.Error as error:
        raise DataRefused(
            f"the copy cannot be read ({str(error).splitlines()[0]}), so there is no backup: "
            "`rfq run` says what is wrong with the files"
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
