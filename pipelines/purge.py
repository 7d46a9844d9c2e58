"""`rfq purge`: forget rows so that no file of ours holds a byte of their ids, and none comes back.

The work is done on a copy. Once that is whole, what runs have put aside is removed, the published
file is put in place and then the private one: a kill in between leaves rows that the next purge
finds, and none that are missing.
"""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from dlt.common.versioned_state import compress_state, decompress_state

from pipelines.build_settings import configured_maturity_s
from pipelines.building import Work
from pipelines.job import demand_buildable, published_anew
from pipelines.kalshi.purged import MAKE_TABLES
from pipelines.kalshi.settings import configured
from pipelines.stopping import stoppable
from pipelines.store.beside import fresh_directory, log_beside
from pipelines.store.database import Database, damaged
from pipelines.store.errors import DatabaseError
from pipelines.store.invariants import find_lost
from pipelines.store.publish import Last, attached, last_published, replace_published
from pipelines.store.stamp import quoted_text, tables_in

# What is purged: an RFQ together with all its quotes, and quotes by themselves.
# The list of RFQs hides who asked from everybody else; where we quoted, the quote may name them.
_RFQS = """
create temp table purged_rfqs as
select id from raw.rfq_versions
where created_ts < $before or $account in (creator_id, creator_user_id)
union
select rfq_id from raw.quote_versions where $account in (rfq_creator_id, rfq_creator_user_id)
"""
_QUOTES = """
create temp table purged_quotes as select distinct id from raw.quote_versions
where created_ts < $before or rfq_id in (from purged_rfqs)
    or $account in (creator_id, creator_user_id)
"""
_IS_PURGED = {
    "rfq_versions": "id in (from purged_rfqs)",
    "quote_versions": "id in (from purged_quotes)",
    "last_seen": "id in (from purged_rfqs union from purged_quotes)",
    "tombstones": "id in (from purged_rfqs union from purged_quotes)",
    # One that could not be read may hold what is purged without showing it where it should be.
    "rejected_rows": (
        "id in (from purged_rfqs union from purged_quotes) or rfq_id in (from purged_rfqs)"
        " or observed_ts < $before or contains(redacted_row::varchar, $account)"
        " or list_has_any(regexp_extract_all(redacted_row::varchar, '[0-9a-f]{8}-[0-9a-f-]{27}'),"
        " (select list(id) from (from purged_rfqs union from purged_quotes)))"
    ),
    "accounts": "communications_id = $account",
}
# Nobody's any more, or that of a load that was killed before it stored whose they were.
_UNNAMED_LISTS = """
delete from raw.leg_lists where leg_list not in (
    select leg_list from raw.rfq_versions where leg_list is not null
)
"""
# What was purged for its age and the exchange has forgotten is listed no more and would be left out
# by when it was created. A market has millions of these a day.
_FORGOTTEN = """
create temp table forgotten_rfqs as
select id from raw.rfq_versions group by id
having max(created_ts) < $before and max(observed_ts) < $forgotten and bool_or(status = 'closed')
"""
_NOTE_IDS = """
insert into raw.purged_ids
select 'rfqs', md5_number(id) from (
    from purged_rfqs
    except (from forgotten_rfqs except select rfq_id from raw.quote_versions)
)
union select 'quotes', md5_number(id) from purged_quotes
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be forgotten: what was created before a moment, or by or for an account."""

    before_ts: datetime | None
    account: str | None


@dataclass
class Purge:
    """One that is prepared on a copy: the rows it takes by table, and how to let it count."""

    rows: dict[str, int]
    _database: Database
    _scratch: Database
    _connection: duckdb.DuckDBPyConnection

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to forget."""
        return any(self.rows.values())


@contextmanager
def prepared(database: Database, wanted: Wanted, now: datetime) -> Iterator[Purge]:
    """Delete what is *wanted* in a copy of the private file, under the run lock.

    Raises `DatabaseError` where nothing was loaded, or where the account is all there is, and
    `DataRefused` where the private file has lost what was published: nobody else may have it.
    """
    if not database.may_be_loaded:
        raise DatabaseError(f"nothing was loaded into {database.path} yet: nothing to purge")
    with stoppable(), database.held(), database.working_directory() as directory:
        with database.writing() as connection:
            connection.execute("checkpoint")
            last = last_published(database.path, directory, is_ours=False)
            demand_buildable(connection, Work(database, directory, last))
            _demand_readable(connection, last)
            _demand_another_account(connection, wanted.account)
        scratch = Database(directory / "purged.duckdb")
        shutil.copyfile(database.private_path, scratch.private_path)
        with scratch.writing() as connection:
            rows = _delete(connection, wanted, now)
            yield Purge(rows, database, scratch, connection)


def carry_out(purge: Purge) -> list[Path]:
    """Publish without the purged rows, put both files in place; return what else was removed."""
    settings = configured("rejected_share", "account")
    published_anew(purge._scratch, purge._connection, settings, configured_maturity_s())
    database = purge._database
    private = database.private_path
    with _on_the_disk_of(private, purge._scratch.path.parent) as beside:
        compact = beside / "compact.duckdb"
        _rewrite(purge._connection, compact)
        removed = list(_remove_put_aside(database))
        # With a log beside it, which would be put aside, the file in its place cannot be opened.
        log_beside(database.path).unlink(missing_ok=True)
        replace_published(purge._scratch.path, database.path)
        log_beside(private).unlink(missing_ok=True)
        replace_published(compact, private, is_published=False)
    return removed


def _demand_readable(connection: duckdb.DuckDBPyConnection, last: Last | None) -> None:
    """What of a damaged published file the private one has lost, it may hold alone."""
    with attached(connection, last) as has_last:
        if last is not None and has_last:
            _, unreadable = find_lost(connection)
            if unreadable:
                raise damaged(last.place)


def _on_the_disk_of(private: Path, directory: Path) -> AbstractContextManager[Path]:
    """Return *directory* or, where a link leads to another disk, one from where it is renamed."""
    if private.parent.stat().st_dev == directory.stat().st_dev:
        return nullcontext(directory)
    return fresh_directory(private.parent, f".{private.name}.purge-")


def _demand_another_account(connection: duckdb.DuckDBPyConnection, account: str | None) -> None:
    known = connection.execute("select distinct communications_id from raw.accounts").fetchall()
    if account is not None and known == [(account,)]:
        raise DatabaseError(
            "that is the account whose database this is: to forget all of it, remove the files"
        )


def _delete(connection: duckdb.DuckDBPyConnection, wanted: Wanted, now: datetime) -> dict[str, int]:
    values = {"before": wanted.before_ts, "account": wanted.account}
    connection.execute(MAKE_TABLES)
    # It follows from raw, and the next run makes it anew.
    connection.execute("drop schema if exists candidates cascade")
    for made in (_RFQS, _QUOTES):
        connection.execute(made, values)
    retention = timedelta(days=configured("retention_days")[0])
    forgotten = {"before": wanted.before_ts, "forgotten": now - retention}
    connection.execute(_FORGOTTEN, forgotten)
    connection.execute(_NOTE_IDS)
    rows = {
        table: _changed(connection, f"delete from raw.{table} where {condition}", values)  # noqa: S608
        for table, condition in _IS_PURGED.items()
    }
    connection.execute(_UNNAMED_LISTS)
    note = {"now": now, "before": wanted.before_ts}
    connection.execute("insert into raw.purges values ($now, $before)", note)
    # No run goes on from a file that holds what is purged.
    connection.execute("delete from raw.published_files")
    _forget_in_state(connection, wanted.account)
    return rows


def _changed(connection: duckdb.DuckDBPyConnection, statement: str, values: dict[str, Any]) -> int:
    used = {name: value for name, value in values.items() if f"${name}" in statement}
    ((count,),) = connection.execute(statement, used).fetchall()
    return int(count)


def _forget_in_state(connection: duckdb.DuckDBPyConnection, account: str | None) -> None:
    """dlt's state remembers ids that are still to be asked for, packed so that none is found."""
    if ("raw", "_dlt_pipeline_state") not in tables_in(connection):
        return
    found = connection.execute("from purged_rfqs union from purged_quotes").fetchall()
    gone = {id_ for (id_,) in found}
    states = connection.execute("select _dlt_id, state from raw._dlt_pipeline_state").fetchall()
    for row_id, packed in states:
        left = compress_state(_without(decompress_state(packed), gone, account))
        connection.execute(
            "update raw._dlt_pipeline_state set state = $1 where _dlt_id = $2", [left, row_id]
        )


def _without(node: Any, gone: set[str], account: str | None) -> Any:
    """*node* without what is gone, wherever it stands in it."""
    if isinstance(node, dict):
        return {
            name: _without(value, gone, account)
            for name, value in node.items()
            if name not in gone and (account is None or account not in name.split())
        }
    if isinstance(node, list):
        return [_without(each, gone, account) for each in node if str(each) not in gone]
    return node


def _rewrite(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write the database anew: DuckDB leaves the bytes of deleted rows where they were."""
    connection.execute(f"attach {quoted_text(path)} as compact")
    ((name,),) = connection.execute("select current_catalog()").fetchall()
    connection.execute(f'copy from database "{name}" to compact')
    connection.execute("checkpoint compact")
    connection.execute("detach compact")


def _remove_put_aside(database: Database) -> Iterator[Path]:
    """Remove the copies that earlier runs have put aside: they may hold what is purged."""
    for path in (database.path, database.private_path):
        for why in ("damaged", "changed", "stray"):
            for name in (path.name, log_beside(path).name):
                for aside in path.parent.iterdir():
                    if aside.name.startswith(f"{name}.{why}-"):
                        aside.unlink()
                        yield aside
