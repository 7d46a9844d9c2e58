"""Small markets as a maker or a desk sees them, built by the marts that are made for these two."""

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from tests.metrics.markets import ExchangeObject, at
from tests.metrics.warehouse import Gone
from transforms.build import Key, Mart, build
from transforms.marts import (
    MARTS,
    fill_rates,
    lost_quotes,
    maker_league,
    my_day,
    my_quotes,
    outcomes,
    quote_facts,
    rfq_facts,
)
from transforms.metrics.objects import load_objects
from transforms.settings import Settings

Row = dict[str, Any]
OF_ROLES = (
    *(quote_facts, rfq_facts, my_quotes, lost_quotes, fill_rates, maker_league, my_day, outcomes),
)
TABLES = {mart: MARTS[mart] for mart in OF_ROLES}


def seen(
    rfqs: Sequence[ExchangeObject],
    quotes: Sequence[ExchangeObject],
    settings: Settings,
    passes: Sequence[tuple[str, float]] = (),
    gone: Sequence[Gone] = (),
    tables: Mapping[Mart, Key] = TABLES,
) -> dict[str, list[Row]]:
    """The rows of each mart, by its name, of objects with *passes* served and ids *gone*."""
    with duckdb.connect() as connection:
        served = [{"side": side, "served_ts": at(seconds)} for side, seconds in passes]
        load_objects(connection, rfqs, quotes, served)
        for resource, each, seconds in gone:
            connection.execute(
                "insert into raw.tombstones (resource, id, first_missing_ts, gone_ts)"
                " values ($1, $2, $3, $3)",
                [resource, each, at(seconds)],
            )
        build(connection, tables, settings)
        names = [mart.__name__ for mart in tables]
        return {name: connection.sql(f"from marts.{name}").pl().to_dicts() for name in names}


def columns(rows: list[Row], *names: str) -> list[tuple[Any, ...]]:
    """Those columns of the rows, decimals as the numbers they are."""
    return [tuple(_plain(row[name]) for name in names) for row in rows]


def _plain(value: Any) -> Any:
    return float(value) if type(value).__name__ == "Decimal" else value
