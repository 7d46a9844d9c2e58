"""Publish the staging views, then rebuild the marts that read them.

A view is a file in `views/`, a mart a function in `marts/`. A mart names what it reads in its
signature: a parameter called `rfqs` is handed `staging.rfqs`, one called `rfq_facts` the mart of
that name, one called `settings` the `Settings` of the build.
"""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from importlib.resources import files
from typing import Any, Protocol

import duckdb
import polars as pl

VIEWS = ("rfqs", "rfq_legs", "quotes")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a build depends on besides the rows. Times are UTC, durations seconds."""

    as_of: datetime
    viewer_id: str | None = None
    scope: str = "market"
    maturity_s: float = 300.0
    skew_tol_s: float = 0.1


class Mart(Protocol):
    """A function from frames to a frame; its name is the table's name."""

    __name__: str

    def __call__(self, *args: Any, **kwargs: Any) -> pl.LazyFrame: ...


def raw_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the raw tables that are not there yet."""
    connection.execute((files("transforms") / "raw.sql").read_text())


def build(
    connection: duckdb.DuckDBPyConnection, marts: Iterable[Mart], settings: Settings
) -> dict[str, int]:
    """Rebuild staging and *marts* in the open database; return rows per mart."""
    connection.execute("set timezone = 'UTC'")
    connection.execute("begin")
    publish_views(connection, settings)
    by_name = {mart.__name__: mart for mart in marts}
    frames = {name: _staged(connection, name) for name in VIEWS}
    for name in _in_order(by_name):
        frames[name] = _computed(by_name[name], frames, settings)
        _write(connection, name, frames[name])
    _sign(connection, settings)
    connection.execute("commit")
    return {name: frames[name].height for name in by_name}


def publish_views(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Create the staging views as the data stood at `settings.as_of`."""
    connection.execute("create schema if not exists staging")
    connection.execute("create schema if not exists marts")
    as_of = settings.as_of.astimezone(UTC).isoformat()
    viewer = "null" if settings.viewer_id is None else _literal(settings.viewer_id)
    for name in VIEWS:
        select = (files("transforms") / "views" / f"{name}.sql").read_text()
        filled = select.replace("$as_of", f"timestamptz {_literal(as_of)}").replace(
            "$viewer_id", f"{viewer}::varchar"
        )
        connection.execute(f"create or replace view staging.{name} as {filled}")


def _in_order(marts: Mapping[str, Mart]) -> Iterable[str]:
    reads = {name: [p for p in _parameters(mart) if p in marts] for name, mart in marts.items()}
    return TopologicalSorter(reads).static_order()


def _parameters(mart: Mart) -> list[str]:
    return list(inspect.signature(mart).parameters)


def _computed(mart: Mart, frames: Mapping[str, pl.DataFrame], settings: Settings) -> pl.DataFrame:
    inputs = {
        name: settings if name == "settings" else frames[name].lazy() for name in _parameters(mart)
    }
    return mart(**inputs).collect()


def _write(connection: duckdb.DuckDBPyConnection, name: str, frame: pl.DataFrame) -> None:
    connection.register("_mart", frame.to_arrow())
    connection.execute(f"create or replace table marts.{name} as from _mart")
    connection.unregister("_mart")


def _sign(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Say in the database itself what its marts show: no number without its moment and scope."""
    sees = "every quote" if settings.viewer_id is None else "quotes it made or received"
    connection.execute(
        "create or replace table marts.build_info as select $1::timestamptz as as_of,"
        " now() as built_ts, $2 as scope, $3 as viewer_sees, $4::double as maturity_s",
        [settings.as_of, settings.scope, sees, settings.maturity_s],
    )


def _staged(connection: duckdb.DuckDBPyConnection, name: str) -> pl.DataFrame:
    frame: pl.DataFrame = connection.sql(f"from staging.{name}").pl()
    return frame


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
