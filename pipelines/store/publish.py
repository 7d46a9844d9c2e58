"""Publishing: a draft with staging, marts and the extraction log, put in place at once.

A draft begins as a copy of the last published file, where the private file has noted that very
file, and as an empty one elsewhere. It is written with no log beside it, closed, opened again to
be checked, noted in the private file, and renamed.
"""

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias
from uuid import uuid4

import duckdb

from pipelines import effects
from pipelines.store.beside import copied, log_beside, put_aside
from pipelines.store.database import demand_publishable
from pipelines.store.errors import DatabaseError
from pipelines.store.stamp import Stamp, quoted_name, quoted_text, tables_in
from transforms.catalogue import LOGS, describe

# Files of this format are read by every DuckDB since 1.4, not only by the one that wrote them.
STORAGE_VERSION = "v1.4.0"
# A file begins with three headers of 4,096 bytes each. Opening it to write leaves them as they are,
# and whatever is stored in it changes one of them.
HEADERS_BYTES = 12_288

Provenance: TypeAlias = Literal["noted", "changed", "unknown"]
"""Of a published file: it is as the private file has noted it, was so once, or was never noted."""

_log = logging.getLogger(__name__)

# So much free space in a file is worth a build of everything, which leaves none.
COMPACTS_ABOVE_BYTES = 1_000_000_000
# Copying takes too long above this share of the time between runs, and never below so many seconds.
COPIES_IN_A_SHARE_OF, COPIES_IN_S = 0.1, 1.0
# While the market's list is being read, what is ours is published again after so long, and builds
# take no larger share of the time than copying may.
OURS_EVERY_S = 300.0

# What a comparison with the last published file reads.
_COMPARED = (
    "select rfq_id, status from published.staging.rfqs limit 0",
    "select quote_id, status from published.staging.quotes limit 0",
    "select as_of from published.marts.build_info",
)
# How the rows of a log are told that a draft with rows up to that load does not have yet, where it
# is not by their load alone: where the time went is noted once the load is published.
_NEW = {
    "run_phases": "load >= {load} and (run_id, ended_ts) not in"
    " (select (run_id, ended_ts) from draft.raw.run_phases where load >= {load})"
}
_PHASES = """
insert into raw.run_phases by name
select $run_id as run_id, load, now() as ended_ts, {}
from (select max(load) as load from raw.published_files)
"""
# A clock that was set back tells nothing of how long ago it was.
_LAST_PHASES = """
select ended_ts, copy_s, copy_s + build_s + check_s + publish_s, now()
from raw.run_phases where ended_ts <= now() order by rowid desc limit 1
"""
_NOTE = """
insert into raw.published_files by name
select seal as file_id, $1 as file_bytes, $2 as head_hash, load, now() as noted_ts
from draft.raw.stamp, draft.marts.build_info
"""


@dataclass(frozen=True, slots=True)
class Last:
    """The file at *place*, which was published last, and the stamp in it; None in older ones.

    Where the file cannot be opened in its place, a copy in *directory* is.
    """

    place: Path
    directory: Path
    stamp: Stamp | None


def last_published(path: Path, directory: Path, *, is_ours: bool) -> Last | None:
    """Return the published file at *path*, or None if there is none.

    Raises `DatabaseError` for a file that no run has made: it would be replaced. One that cannot be
    read is put aside if it *is_ours*, which the private file beside it tells.
    """
    if not path.exists() or not path.stat().st_size:
        return None
    with duckdb.connect() as connection:
        try:
            _attach_last(connection, path, directory)
            kind, stamp = demand_publishable(connection, "published", path)
            if kind == "empty":
                return None
            for query in _COMPARED:
                connection.execute(query)
        except duckdb.Error as error:
            if not is_ours:
                raise DatabaseError(
                    f"{path} cannot be read ({str(error).splitlines()[0]}) and was left as it is: "
                    "move it away, or choose another file with --database"
                ) from None
            aside = put_aside(path, "damaged")
            _log.warning("%s cannot be read and is now %s; it is made anew", path, aside.name)
            return None
    return Last(path, directory, stamp)


@contextmanager
def attached(connection: duckdb.DuckDBPyConnection, last: Last | None) -> Iterator[bool]:
    """Attach the last published file as `published`; yield whether there is one, still."""
    if last is None:
        yield False
        return
    try:
        # DuckDB finds no file that is gone either, and then there is none to copy.
        _attach_last(connection, last.place, last.directory)
    except FileNotFoundError:
        yield False
        return
    try:
        yield True
    finally:
        connection.execute("detach published")


def provenance(connection: duckdb.DuckDBPyConnection, last: Last, path: Path) -> Provenance:
    """Tell the file at *path*, which is the last published one or a copy, by the notes in raw."""
    if ("raw", "published_files") not in tables_in(connection):
        return "unknown"
    noted = connection.execute(
        "select file_bytes, head_hash from raw.published_files where file_id = $1",
        [last.stamp and last.stamp.seal],
    ).fetchall()
    if not noted:
        return "unknown"
    return "noted" if noted == [_mark(path)] else "changed"


def has_published(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether raw has noted a file that was published from it."""
    return bool(connection.execute("from raw.published_files limit 1").fetchall())


def base_of(connection: duckdb.DuckDBPyConnection, last: Last) -> Path | None:
    """Return a copy of the last published file to go on from; None where that may not be done.

    Says in one line why not.
    """
    if log_beside(last.place).exists():
        _log.warning("all is built anew: there is a log beside %s", last.place)
        return None
    base = copied(last.place, last.directory, "draft.duckdb")
    if provenance(connection, last, base) == "noted":
        return base
    _log.warning("all is built anew: nothing notes that %s was published from here", last.place)
    return None


def is_damage(error: duckdb.Error) -> bool:
    """Whether *error* says that what is stored in a file cannot be read."""
    said = str(error).lower()
    return isinstance(error, duckdb.SerializationException) or any(
        word in said for word in ("checksum", "corrupt")
    )


@contextmanager
def writing_draft(connection: duckdb.DuckDBPyConnection, draft: Path) -> Iterator[None]:
    """Attach the file at *draft* to write; what is made meanwhile is made there.

    Names of the schema `raw` stay those of the current database. No row of an RFQ or a quote is
    written but to staging and marts, which show no private field: a block of a file that is used no
    more keeps what was once written to it.
    """
    ((private,),) = connection.execute("select current_catalog()").fetchall()
    connection.execute(
        f"attach {quoted_text(draft)} as draft"
        f" (storage_version '{STORAGE_VERSION}', recovery_mode no_wal_writes)"
    )
    try:
        connection.execute(f"set search_path = {quoted_text(f'draft.main,{private}.raw')}")
        yield
        connection.execute(f"use {quoted_name(private)}")
        # A connection whose current database cannot be stored does nothing any more.
        connection.execute("checkpoint draft")
    finally:
        connection.execute(f"use {quoted_name(private)}")
        connection.execute("detach draft")


def complete_draft(connection: duckdb.DuckDBPyConnection) -> None:
    """Give the attached `draft` its logs, a stamp of its own and its texts."""
    _add_logs(connection)
    connection.execute("use draft.main")
    connection.execute("create view if not exists extraction_runs as from raw.extraction_runs")
    describe(connection)


@contextmanager
def reading_draft(connection: duckdb.DuckDBPyConnection, draft: Path) -> Iterator[None]:
    """Attach the file at *draft* as `draft`, as readers will find it."""
    connection.execute(f"attach {quoted_text(draft)} as draft (read_only)")
    try:
        yield
    finally:
        connection.execute("detach draft")


def note_draft(connection: duckdb.DuckDBPyConnection, draft: Path) -> None:
    """Note in raw by what the attached `draft` is told from any other file."""
    connection.execute(_NOTE, [*_mark(draft)])


def replace_published(draft: Path, path: Path, *, is_published: bool = True) -> None:
    """Replace *path* by *draft*, so that even a power cut leaves the one or the other whole.

    A log beside it belongs to the file that was there before, which somebody wrote to: with it the
    new one could not be opened.
    """
    _sync(draft)
    log = log_beside(path)
    if log.exists():
        aside = put_aside(log, "stray")
        _log.warning("%s belongs to no file any more and is now %s", log, aside.name)
    if is_published:
        effects.begin_publishing(draft, path)
    draft.replace(path)
    _sync(path.parent)


def free_bytes(connection: duckdb.DuckDBPyConnection) -> int:
    """How much of the attached `draft` holds nothing."""
    ((free,),) = connection.execute(
        "select free_blocks * block_size from pragma_database_size() where database_name = 'draft'"
    ).fetchall()
    return int(free)


def copies_from(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    """Return from when on copying takes its share of the time at most; None where it does now.

    What an earlier version published is not waited with: commands of this one could not read it.
    """
    is_of_earlier = connection.execute(
        "select is_market_complete is null from raw.publications order by rowid desc limit 1"
    ).fetchall()
    if is_of_earlier != [(False,)]:
        return None
    for ended_ts, copy_s, _, now in connection.execute(_LAST_PHASES).fetchall():
        from_ts: datetime = ended_ts + timedelta(seconds=copy_s / COPIES_IN_A_SHARE_OF)
        if copy_s > COPIES_IN_S and now < from_ts:
            return from_ts
    return None


def copy_seconds(connection: duckdb.DuckDBPyConnection) -> float:
    """How long copying what was published before the last publication took."""
    ((copy_s,),) = connection.execute(
        "select coalesce(arg_max(copy_s, rowid), 0.0) from raw.run_phases"
    ).fetchall()
    return float(copy_s)


def is_due_again(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the last publication is so long ago that a run publishes before its end."""
    for ended_ts, _, took_s, now in connection.execute(_LAST_PHASES).fetchall():
        rests_s = max(OURS_EVERY_S, took_s / COPIES_IN_A_SHARE_OF)
        if now < ended_ts + timedelta(seconds=rests_s):
            return False
    return True


def note_phases(connection: duckdb.DuckDBPyConnection, run_id: str) -> None:
    """Note in raw where the time went since the run had published last, or had begun.

    Say so where copying took too much of it.
    """
    seconds, new_versions = effects.take_phases()
    ((since_s,),) = connection.execute(
        "select epoch(now()) - epoch(max(ended_ts)) from raw.run_phases"
    ).fetchall()
    most_s = max(COPIES_IN_S, COPIES_IN_A_SHARE_OF * (since_s or 0.0))
    if since_s is not None and seconds["copy"] > most_s:
        _log.warning(
            "copying the published file took %.0f s of the %.0f s since the last run had "
            "published: runs publish only as often as keeps it under a tenth of the time. Keep the "
            "files on XFS or btrfs, where it takes none",
            *(seconds["copy"], since_s),
        )
    _, rejected = effects.loaded()
    noted = {
        **{f"{name}_s": took_s for name, took_s in seconds.items()},
        "n_new_versions": new_versions,
        "n_rejected": rejected,
        "published_bytes": effects.published_bytes(),
        "peak_bytes": effects.peak_bytes(),
    }
    columns = ", ".join(f"${name} as {name}" for name in noted)
    connection.execute(_PHASES.format(columns), {"run_id": run_id, **noted})


def _attach_last(connection: duckdb.DuckDBPyConnection, place: Path, directory: Path) -> None:
    """Attach it where it is or, where another program has it or left a log beside it, a copy."""
    if not log_beside(place).exists():
        with suppress(duckdb.Error):
            connection.execute(f"attach {quoted_text(place)} as published (read_only)")
            return
    copy = copied(place, directory, "published.duckdb")
    connection.execute(f"attach {quoted_text(copy)} as published (read_only)")


def _add_logs(connection: duckdb.DuckDBPyConnection) -> None:
    """Add to the attached `draft` what raw tells of the reading and the draft does not have yet."""
    connection.execute("create schema if not exists draft.raw")
    ((built,),) = connection.execute("select load from draft.marts.build_info").fetchall()
    for table in LOGS:
        ours = f"draft.raw.{table}"
        connection.execute(f"create table if not exists {ours} as from raw.{table} limit 0")
        if table != "stamp":
            newest = f"select coalesce(max(load), -1) from {ours}"  # noqa: S608
            ((load,),) = connection.execute(newest).fetchall()
            # What was loaded since the build began is for the next one.
            new = _NEW.get(table, f"load > {load} and load <= {built}").format(load=load)
            connection.execute(f"insert into {ours} by name from raw.{table} where {new}")
    connection.execute("delete from draft.raw.stamp")
    connection.execute(
        "insert into draft.raw.stamp by name"
        " select * replace ('published' as kind, $1 as seal) from raw.stamp",
        [uuid4().hex],
    )


def _mark(path: Path) -> tuple[int, str]:
    """What the note of a file says of it: its length and a hash of its headers."""
    with path.open("rb") as file:
        head_hash = hashlib.sha256(file.read(HEADERS_BYTES)).hexdigest()
    return path.stat().st_size, head_hash


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
