"""Compute the marts from raw: all of them anew, or only what has changed since the last build.

A mart is a function in `marts/` that names what it reads in its signature: a parameter called
`rfqs` is handed `staging.rfqs`, `rfq_facts` the mart of that name, `own_rfq_facts` the rows of it
that are our own, `visible_rfq_facts` those with a quote or our own, `settings` the `Settings` of
the build.

`MARTS` says by which columns a mart's rows are replaced: those of one RFQ, of one market and day,
of one day or hour, or all; or that they are sums, from which what a changed RFQ had added is taken
off. So many small builds end where one of everything does.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

import duckdb

from transforms import creations, incremental, last_build
from transforms.computing import Computation
from transforms.definitions.last_look import fast_markets
from transforms.keys import DAY, HOUR, PARTITION, RFQ, WHOLE, Key, Mart, Sums
from transforms.partition import Here
from transforms.reading import FOREIGN, VISIBLE, Inputs
from transforms.settings import Settings
from transforms.staging import CHANGED, EVERYTHING, TABLES, find_changed, restage, stage
from transforms.tables import lent

__all__ = ["DAY", "HOUR", "PARTITION", "RFQ", "WHOLE", "Key", "Mart", "Sums", "build"]

ROWS_PER_PART = 200_000


def build(
    connection: duckdb.DuckDBPyConnection,
    marts: Mapping[Mart, Key],
    settings: Settings,
    *,
    afresh: bool = False,
    builder: Here | None = None,
    on_begun: Callable[[], None] = lambda: None,
) -> dict[str, int]:
    """Bring staging and *marts* to `settings.as_of`; return rows per mart.

    Goes on from the last build where that one was made by the same rules and shows no later
    moment, unless told to begin *afresh*. Either way the tables end up with the same rows. *marts*
    come in an order in which each is after those it reads. *builder* builds the parts in
    which facts and marts are computed, elsewhere than in this process.

    Staging and marts are written to the current database. Raw may be in another one, which the
    search path names for the schema `raw` alone. From *on_begun* on, what others write to raw
    changes nothing in this build.
    """
    builder = builder or Here()
    connection.execute("set timezone = 'UTC'")
    fingerprint = _fingerprint(connection, marts, settings)
    with _transaction(connection):
        goes_on = not afresh and why_afresh(connection, marts, settings) is None
        # A transaction sees a database as it is when it first reads there.
        incremental.execute(connection, "from_the_last" if goes_on else "from_nothing")
        incremental.execute(connection, "read_stretches")
        on_begun()
        _prepare(connection, settings, goes_on=goes_on)
        rows = Computation(connection, marts, settings, goes_on=goes_on, builder=builder).run()
        _sign(connection, settings, builder)
        states = CHANGED if goes_on else EVERYTHING
        last_build.remember(connection, settings.as_of, fingerprint, states)
    return rows


def why_afresh(
    connection: duckdb.DuckDBPyConnection, marts: Mapping[Mart, Key], settings: Settings
) -> str | None:
    """Return why a build cannot go on from the marts that are there; None where it can."""
    tables = [*TABLES, *_stored(marts)]
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


def _stored(marts: Mapping[Mart, Key]) -> list[str]:
    """Return the names of the tables that *marts* are in: the RFQ facts are in two."""
    names = [mart.__name__ for mart in marts]
    halves = [name.removeprefix("incremental.") for name in (VISIBLE, FOREIGN)]
    return [each for name in names for each in (halves if name == "rfq_facts" else [name])]


def _prepare(connection: duckdb.DuckDBPyConnection, settings: Settings, *, goes_on: bool) -> None:
    """Bring staging up to date, and say which RFQs that touches: all, unless the build goes on."""
    _set_moments(connection, settings, goes_on=goes_on)
    incremental.execute(connection, "looked_hours")
    incremental.execute(connection, "read_now")
    if goes_on:
        find_changed(connection)
        restage(connection, settings)
        incremental.execute(connection, "touched")
        incremental.execute(connection, "requoted")
        unquoted = "(from moved_rfqs anti join incremental.quoted_rfqs using (rfq_id))"
        creations.name_spans(connection, "moved", unquoted)
    else:
        stage(connection, settings)
        incremental.execute(connection, "everything")
        incremental.execute(connection, "read_before")
        creations.name_all(connection, "moved")
    incremental.execute(connection, "staged")
    incremental.execute(connection, "quoted")
    _find_fast_markets(connection, settings, goes_on=goes_on)
    incremental.execute(connection, "served_moments")
    connection.execute(f"set variable rows_per_part = {ROWS_PER_PART}")
    incremental.execute(connection, "parts_of_rfqs")


def _set_moments(
    connection: duckdb.DuckDBPyConnection, settings: Settings, *, goes_on: bool
) -> None:
    """Name the moments up to which something counts, at this build and at the one before."""
    maturity = timedelta(seconds=settings.maturity_s)
    longest_life = timedelta(seconds=settings.longest_life_s)
    moments = {
        "shown_ts": settings.as_of,
        "matured_ts": settings.as_of - maturity,
        "oldest_open": settings.as_of - longest_life,
    }
    if goes_on:
        ((before,),) = connection.execute("select as_of from incremental.last_build").fetchall()
        moments["matured_before_ts"] = before - maturity
        moments["oldest_open_before"] = before - longest_life
    for name, moment in moments.items():
        connection.execute(f"set variable {name} = {_literal(moment)}")


def _literal(moment: datetime) -> str:
    return f"timestamptz '{moment.isoformat()}'"


def _find_fast_markets(
    connection: duckdb.DuckDBPyConnection, settings: Settings, *, goes_on: bool
) -> None:
    """Tell which markets of a day were fast. Another window touches the quoted RFQs in it."""
    incremental.execute(connection, "doubted" if goes_on else "everything_doubted")
    inputs = Inputs(connection)
    places = inputs.scan("from doubted_rfqs")
    quotes = inputs.scan(
        "from staging.quotes where confirmed_ts is not null"
        " and rfq_id in (select rfq_id from doubted_rfqs)"
    )
    with lent(connection, fast_markets(places, quotes, settings).collect()):
        incremental.execute(connection, "fast_markets")


def _told_of(builder: Here) -> tuple[str, list[str], int]:
    return builder.name, sorted(builder.workers), builder.n_partitions


def _sign(connection: duckdb.DuckDBPyConnection, settings: Settings, builder: Here) -> None:
    """Say in the database itself what its marts show: no number without its moment and scope."""
    moments = (settings.as_of, settings.known_until or settings.as_of)
    is_complete = settings.is_market_complete
    sees = "every quote" if settings.viewer_id is None else "quotes it made or received"
    connection.execute(
        "create or replace table marts.build_info as select $1::timestamptz as as_of,"
        " $2::timestamptz as known_until, coalesce(max(load), 0) as load, now() as built_ts,"
        " $3 as scope, $4 as viewer_sees, $5::double as maturity_s, $6 as executor,"
        " $7::varchar[] as workers, $8::bigint as n_partitions,"
        " $9::boolean as is_market_complete from raw.loads",
        [*moments, settings.scope, sees, settings.maturity_s, *_told_of(builder), is_complete],
    )
