"""What a build leaves behind for the next one, which computes only what has changed since."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

import duckdb
import polars as pl

from transforms.settings import Settings

APPEND_ONLY = ("rfq_versions", "quote_versions", "tombstones", "last_seen")


def fingerprint_of(
    connection: duckdb.DuckDBPyConnection, marts: Sequence[str], settings: Settings
) -> str:
    """Return a fingerprint of all that *marts* depend on besides rows and time: rules, engines."""
    accounts = connection.execute(
        "select distinct communications_id from raw.accounts order by all"
    ).fetchall()
    tolerances = (settings.maturity_s, settings.skew_tol_s, settings.longest_life_s)
    asked = (settings.viewer_id, settings.scope, *tolerances, settings.is_watched)
    engines = (duckdb.__version__, pl.__version__)
    return sha256(repr((_rules(), engines, marts, asked, accounts)).encode()).hexdigest()


def can_go_on(
    connection: duckdb.DuckDBPyConnection, as_of: datetime, fingerprint: str, tables: Sequence[str]
) -> bool:
    """Return whether the *tables* of the last build are right but for what changed since."""
    if not _are_there(connection, ["last_build", *tables]):
        return False
    ((is_same, is_later),) = connection.execute(
        "select recipe = $1, $2 >= as_of from incremental.last_build", [fingerprint, as_of]
    ).fetchall()
    return bool(is_same and is_later and _has_only_grown(connection))


def remember(connection: duckdb.DuckDBPyConnection, as_of: datetime, fingerprint: str) -> None:
    """Keep how far the build that ends here has read."""
    connection.execute("create schema if not exists incremental")
    connection.execute(_query("last_build"), {"as_of": as_of, "recipe": fingerprint})
    connection.execute(_query("unsettled"), {"as_of": as_of})


def _has_only_grown(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether a raw row's place says when it came: none was ever deleted."""
    return all(
        connection.table(f"raw.{name}")
        .aggregate("count(*) = coalesce(max(rowid) + 1, 0)")
        .fetchall()[0][0]
        for name in APPEND_ONLY
    )


@cache
def _rules() -> str:
    return sha256(
        b"\0".join(map(Traversable.read_bytes, _sources(files("transforms"))))
    ).hexdigest()


def _sources(folder: Traversable) -> Iterator[Traversable]:
    for path in sorted(folder.iterdir(), key=lambda each: each.name):
        if path.is_dir():
            yield from _sources(path)
        elif path.name.endswith((".py", ".sql")):
            yield path


def _query(name: str) -> str:
    return (files("transforms") / "incremental" / f"{name}.sql").read_text()


def _are_there(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> bool:
    found = connection.execute(
        "select table_name from duckdb_tables() where database_name = current_catalog()"
        " and schema_name in ('incremental', 'staging', 'marts')"
    ).fetchall()
    return {(name,) for name in tables} <= set(found)
