"""Raw tables filled by hand, staged and built, for what exchange objects alone cannot say."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import polars as pl

from tests.metrics.markets import ExchangeObject, at
from transforms.build import RFQ, build
from transforms.marts.quote_facts import quote_facts
from transforms.marts.rfq_facts import rfq_facts
from transforms.metrics.objects import load_objects
from transforms.settings import Settings

Row = dict[str, Any]
Gone = tuple[str, str, float]
"""Resource, id, and the second after midnight at which the exchange denied it."""


@contextmanager
def warehouse(
    rfqs: Sequence[ExchangeObject],
    quotes: Sequence[ExchangeObject],
    settings: Settings,
    gone: Sequence[Gone] = (),
    seen_s: float | None = None,
) -> Iterator[dict[str, pl.DataFrame]]:
    """Stage and build the objects; `seen_s` dates all observations, else their creation does."""
    with duckdb.connect() as connection:
        load_objects(connection, rfqs, quotes)
        for table in ("rfq_versions", "quote_versions"):
            if seen_s is not None:
                connection.execute(
                    f"update raw.{table} set observed_ts = '{at(seen_s)}', observed_pass = 'load'"
                )
        for resource, each, seconds in gone:
            connection.execute(
                "insert into raw.tombstones (resource, id, first_missing_ts, gone_ts)"
                " values ($1, $2, $3, $3)",
                [resource, each, at(seconds)],
            )
        build(connection, {quote_facts: RFQ, rfq_facts: RFQ}, settings)
        names = ["staging.rfqs", "staging.rfq_legs", "staging.quotes"]
        names += ["marts.rfq_facts", "marts.quote_facts"]
        yield {name.removeprefix("marts."): connection.sql(f"from {name}").pl() for name in names}


def built(connection: duckdb.DuckDBPyConnection, settings: Settings) -> tuple[dict[str, Row], ...]:
    """RFQ facts and quote facts by id, of what the raw tables hold."""
    build(connection, {quote_facts: RFQ, rfq_facts: RFQ}, settings)
    return tuple(
        {
            row[f"{entity}_id"]: row
            for row in connection.sql(f"from marts.{entity}_facts").pl().iter_rows(named=True)
        }
        for entity in ("rfq", "quote")
    )
