"""Compute the marts from raw: all of them anew, or only what has changed since the last build.

A mart is a function in `marts/` that names what it reads in its signature: a parameter called
`rfqs` is handed `staging.rfqs`, `rfq_facts` the mart of that name, `own_rfq_facts` the rows of it
that are our own, `settings` the `Settings` of the build.

`MARTS` says by which columns a mart's rows are replaced: those of one RFQ, of one market and day,
of one day, or all. Whatever of a key was touched is deleted and computed again from all rows with
that key, so many small builds end where one of everything does.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from threading import Lock

import duckdb
import polars as pl

from transforms.last_build import can_go_on, recipe_of, remember
from transforms.scan import scan
from transforms.settings import Settings
from transforms.staging import TABLES, restage, stage

Key = tuple[str, ...]
RFQ: Key = ("rfq_id",)
PARTITION: Key = ("cohort_date", "market_ticker")
DAY: Key = ("cohort_date",)
WHOLE: Key = ()

_TOUCHED = {RFQ: "touched_rfqs", PARTITION: "touched_partitions", DAY: "touched_days"}


Mart = Callable[..., pl.LazyFrame]
"""A function from frames to a frame; its name is the table's name."""


def raw_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the raw tables that are not there yet."""
    _execute(connection, "raw.sql")


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
    """
    connection.execute("set timezone = 'UTC'")
    recipe = recipe_of(connection, [mart.__name__ for mart in marts], settings)
    with _transaction(connection):
        goes_on = not afresh and can_go_on(connection, settings.as_of, recipe)
        _prepare(connection, settings, goes_on=goes_on)
        for mart, key in marts.items():
            touched = _TOUCHED.get(key) if goes_on else None
            frame = _computed(connection, mart, key, touched, settings)
            _replace(connection, mart.__name__, key, touched, frame)
        _sign(connection, settings)
        remember(connection, settings.as_of, recipe)
    return {mart.__name__: _count(connection, mart.__name__) for mart in marts}


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
    """Bring staging up to date and, to go on from the last build, say what that touches."""
    if not goes_on:
        stage(connection, settings)
        connection.execute("drop schema if exists marts cascade; create schema marts")
        return
    _execute(connection, "incremental/changed.sql")
    restage(connection, settings)
    _execute(connection, "incremental/touched.sql")


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
        else scan(connection, _restricted(_relation(name), key, touched), reading)
        for name in inspect.signature(mart).parameters
    }
    return mart(**inputs).collect()


def _relation(name: str) -> str:
    if name.startswith("own_"):
        return f"from marts.{name.removeprefix('own_')} where visibility = 'own'"
    return f"from staging.{name}" if name in TABLES else f"from marts.{name}"


def _restricted(relation: str, key: Key, touched: str | None) -> str:
    if touched is None:
        return relation
    return f"from ({relation}) as held semi join {touched} as touched on {_same(key)}"


def _same(key: Key) -> str:
    return " and ".join(f"held.{column} is not distinct from touched.{column}" for column in key)


def _replace(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    key: Key,
    touched: str | None,
    frame: pl.DataFrame,
) -> None:
    connection.register("_rows", frame.to_arrow())
    if touched is None:
        connection.execute(f"create or replace table marts.{name} as from _rows")
    else:
        connection.execute(
            f"delete from marts.{name} as held using {touched} as touched where {_same(key)}"  # noqa: S608
        )
        connection.execute(f"insert into marts.{name} by name from _rows")
    connection.unregister("_rows")


def _sign(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Say in the database itself what its marts show: no number without its moment and scope."""
    sees = "every quote" if settings.viewer_id is None else "quotes it made or received"
    connection.execute(
        "create or replace table marts.build_info as select $1::timestamptz as as_of,"
        " now() as built_ts, $2 as scope, $3 as viewer_sees, $4::double as maturity_s",
        [settings.as_of, settings.scope, sees, settings.maturity_s],
    )


def _execute(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    connection.execute((files("transforms") / name).read_text())


def _count(connection: duckdb.DuckDBPyConnection, mart: str) -> int:
    count: int = connection.execute(f"select count(*) from marts.{mart}").fetchall()[0][0]  # noqa: S608
    return count
