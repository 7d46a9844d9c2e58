"""Compute the marts from raw: all of them anew, or only what has changed since the last build.

A mart is a function in `marts/` that names what it reads in its signature: a parameter called
`rfqs` is handed `staging.rfqs`, `rfq_facts` the mart of that name, `own_rfq_facts` the rows of it
that are our own, `settings` the `Settings` of the build.

`MARTS` says by which columns a mart's rows are replaced: those of one RFQ, of one market and day,
of one day, or all. Whatever of a key was touched is deleted and computed again from all rows with
that key, so many small builds end where one of everything does. Keys are taken some at a time, so
that a market of any size needs no more memory than a part of it.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from itertools import groupby
from threading import Lock

import duckdb
import polars as pl
from polars.io.plugins import register_io_source

from transforms import last_build
from transforms.definitions.partition import MARKET_DAY
from transforms.settings import Settings
from transforms.staging import CHANGED, EVERYTHING, TABLES, restage, stage

Key = tuple[str, ...]
RFQ: Key = ("rfq_id",)
PARTITION: Key = MARKET_DAY
DAY: Key = ("cohort_date",)
WHOLE: Key = ()

# What marts read besides rows of the exchange: what raw tells of the reading, all of it each time.
LOGS = {
    **{name: f"raw.{name}" for name in ("accepted_losses", "coverage", "passes", "open_sweeps")},
    "read_stretches": "read_stretches",
}

_PARTS = {RFQ: "parts_of_rfqs", PARTITION: "parts_of_partitions", DAY: "parts_of_days"}
ROWS_PER_PART = 200_000

Mart = Callable[..., pl.LazyFrame]
"""A function from frames to a frame; its name is the table's name."""


def build(
    connection: duckdb.DuckDBPyConnection,
    marts: Mapping[Mart, Key],
    settings: Settings,
    *,
    afresh: bool = False,
) -> dict[str, int]:
    """Bring staging and *marts* to `settings.as_of`; return rows per mart.

    Goes on from the last build where that one was made by the same rules and shows no later
    moment, unless told to begin *afresh*. Either way the tables end up with the same rows. *marts*
    come in an order in which each is after those it reads.

    Staging and marts are written to the current database. Raw may be in another one, which the
    search path names for the schema `raw` alone.
    """
    connection.execute("set timezone = 'UTC'")
    fingerprint = _fingerprint(connection, marts, settings)
    with _transaction(connection):
        goes_on = not afresh and why_afresh(connection, marts, settings) is None
        _prepare(connection, settings, goes_on=goes_on)
        for key, together in groupby(marts, key=marts.__getitem__):
            _compute(connection, list(together), key, settings, goes_on=goes_on)
        _sign(connection, settings)
        states = CHANGED if goes_on else EVERYTHING
        last_build.remember(connection, settings.as_of, fingerprint, states)
    return {mart.__name__: _count(connection, mart.__name__) for mart in marts}


def why_afresh(
    connection: duckdb.DuckDBPyConnection, marts: Mapping[Mart, Key], settings: Settings
) -> str | None:
    """Return why a build cannot go on from the marts that are there; None where it can."""
    tables = [*TABLES, *(mart.__name__ for mart in marts)]
    fingerprint = _fingerprint(connection, marts, settings)
    return last_build.why_afresh(connection, settings.as_of, fingerprint, tables)


def _fingerprint(
    connection: duckdb.DuckDBPyConnection, marts: Mapping[Mart, Key], settings: Settings
) -> str:
    return last_build.fingerprint_of(connection, [mart.__name__ for mart in marts], settings)


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.execute("begin")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def _prepare(connection: duckdb.DuckDBPyConnection, settings: Settings, *, goes_on: bool) -> None:
    """Bring staging up to date, and say which keys that touches: all, unless the build goes on."""
    _execute(connection, "incremental/read_stretches.sql")
    if goes_on:
        _execute(connection, "incremental/changed.sql")
        restage(connection, settings)
        _execute(connection, "incremental/touched.sql")
    else:
        stage(connection, settings)
        connection.execute("drop schema if exists marts cascade; create schema marts")
        _execute(connection, "incremental/everything.sql")
    connection.execute(f"set variable rows_per_part = {ROWS_PER_PART}")
    _execute(connection, "incremental/parts.sql")


def _compute(
    connection: duckdb.DuckDBPyConnection,
    marts: list[Mart],
    key: Key,
    settings: Settings,
    *,
    goes_on: bool,
) -> None:
    """Compute the touched rows of *marts*, which share a key, part by part."""
    is_kept = goes_on and key is not WHOLE
    rows = {mart: _count(connection, mart.__name__) if is_kept else 0 for mart in marts}
    for touched in _parts(connection, key):
        for mart in marts:
            frame = _computed(connection, mart, key, touched, settings)
            if is_kept and touched:
                rows[mart] -= _delete(connection, mart.__name__, key, touched)
            _store(connection, mart.__name__, frame, is_whole=touched is None)
            rows[mart] += frame.height
    for mart, expected in rows.items():
        held = _count(connection, mart.__name__)
        if held != expected:
            raise RuntimeError(f"marts.{mart.__name__} shows {held} of {expected} rows written")


def _parts(connection: duckdb.DuckDBPyConnection, key: Key) -> list[str | None]:
    """Return the touched keys in parts, each as a query; None stands for every row there is."""
    table = _PARTS.get(key)
    if table is None:
        return [None]
    parts = connection.execute(f"select distinct part from {table} order by part").fetchall()  # noqa: S608
    return [f"(from {table} where part = {part})" for (part,) in parts] or [f"(from {table})"]


def _computed(
    connection: duckdb.DuckDBPyConnection,
    mart: Mart,
    key: Key,
    touched: str | None,
    settings: Settings,
) -> pl.DataFrame:
    reading = Lock()
    inputs = {
        name: settings
        if name == "settings"
        else _scan(connection, _restricted(name, key, touched), reading)
        for name in inspect.signature(mart).parameters
    }
    return mart(**inputs).collect()


def _relation(name: str) -> str:
    if name.startswith("own_"):
        return f"from marts.{name.removeprefix('own_')} where visibility = 'own'"
    if name in LOGS:
        return f"from {LOGS[name]}"
    return f"from staging.{name}" if name in TABLES else f"from marts.{name}"


def _scan(connection: duckdb.DuckDBPyConnection, relation: str, reading: Lock) -> pl.LazyFrame:
    """Return *relation*, an SQL query, as a lazy frame that reads the columns its plan needs.

    DuckDB's own lazy frame reads from the threads that polars runs, and refuses when two of them
    come at once; a second connection would not see what the open transaction has written. So
    *reading* lets one in at a time.
    """

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = "*" if columns is None else ", ".join(f'"{name}"' for name in columns) or "1"
        with reading:
            frame = connection.sql(f"select {wanted} from ({relation})").pl()  # noqa: S608
        frame = frame.head(n_rows) if n_rows is not None else frame
        yield frame if predicate is None else frame.filter(predicate)

    schema = connection.sql(f"from ({relation}) limit 0").pl().schema
    return register_io_source(read, schema=schema, is_pure=True)


def _restricted(name: str, key: Key, touched: str | None) -> str:
    relation = _relation(name)
    if touched is None or name in LOGS:
        return relation
    return f"from ({relation}) as held semi join {touched} as touched on {_same(key)}"


def _same(key: Key) -> str:
    return " and ".join(f"held.{column} is not distinct from touched.{column}" for column in key)


def _delete(connection: duckdb.DuckDBPyConnection, name: str, key: Key, touched: str) -> int:
    """Delete the touched rows of a mart; return how many there were."""
    deleted: int = connection.execute(
        f"delete from marts.{name} as held using {touched} as touched where {_same(key)}"  # noqa: S608
    ).fetchall()[0][0]
    return deleted


def _store(
    connection: duckdb.DuckDBPyConnection, name: str, frame: pl.DataFrame, *, is_whole: bool
) -> None:
    connection.register("_rows", frame.to_arrow())
    if is_whole:
        connection.execute(f"create or replace table marts.{name} as from _rows")
    else:
        _create_as_rows(connection, name)
        connection.execute(f"insert into marts.{name} by name from _rows")
    connection.unregister("_rows")


def _create_as_rows(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    described = connection.execute("describe from _rows").fetchall()
    columns = ", ".join(f'"{column}" {kind}' for column, kind, *_ in described)
    connection.execute(f"create table if not exists marts.{name} ({columns})")


def _sign(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Say in the database itself what its marts show: no number without its moment and scope."""
    moments = (settings.as_of, settings.known_until or settings.as_of)
    sees = "every quote" if settings.viewer_id is None else "quotes it made or received"
    connection.execute(
        "create or replace table marts.build_info as select $1::timestamptz as as_of,"
        " $2::timestamptz as known_until, coalesce(max(load), 0) as load, now() as built_ts,"
        " $3 as scope, $4 as viewer_sees, $5::double as maturity_s from raw.loads",
        [*moments, settings.scope, sees, settings.maturity_s],
    )


def _execute(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    connection.execute((files("transforms") / name).read_text())


def _count(connection: duckdb.DuckDBPyConnection, mart: str) -> int:
    count: int = connection.execute(f"select count(*) from marts.{mart}").fetchall()[0][0]  # noqa: S608
    return count
