"""Raw tables filled with exchange objects, as a load would fill them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import duckdb

from tests.marts.facts import after
from transforms.raw import create_raw_tables

ExchangeObject = dict[str, Any]


def rfq_object(rfq_id: str, created_s: float = 0, **changes: Any) -> ExchangeObject:
    """An RFQ for 100 contracts as its requester reads it, closed without a reason."""
    return {
        "id": rfq_id,
        "creator_id": "requester",
        "market_ticker": "KXTEST-26-A",
        "contracts_fp": "100.00",
        "status": "closed",
        "created_ts": after(created_s),
        "updated_ts": after(created_s + 30),
    } | changes


def quote_object(
    quote_id: str, rfq_id: str, created_s: float = 1, **changes: Any
) -> ExchangeObject:
    """Maker A's quote of 0.40 at 0.45, cancelled with the RFQ."""
    return {
        "id": quote_id,
        "rfq_id": rfq_id,
        "creator_id": "A",
        "rfq_creator_id": "requester",
        "market_ticker": "KXTEST-26-A",
        "contracts_fp": "100.00",
        "yes_bid_dollars": "0.4000",
        "no_bid_dollars": "0.5500",
        "status": "cancelled",
        "created_ts": after(created_s),
        "updated_ts": after(created_s + 29),
        "cancelled_ts": after(created_s + 29),
    } | changes


def executed_quote_object(quote_id: str, rfq_id: str, created_s: float = 1) -> ExchangeObject:
    """Maker A's quote, whose NO bid was hit 4 s later, confirmed after 2 s, executed after 15."""
    return quote_object(
        quote_id,
        rfq_id,
        created_s,
        status="executed",
        cancelled_ts=None,
        accepted_side="no",
        accepted_ts=after(created_s + 4),
        confirmed_ts=after(created_s + 6),
        executed_ts=after(created_s + 21),
        updated_ts=after(created_s + 21),
    )


def load(
    connection: duckdb.DuckDBPyConnection,
    rfqs: Iterable[ExchangeObject],
    quotes: Iterable[ExchangeObject],
    observed_ts: datetime,
) -> None:
    """Store each object as a version seen at *observed_ts* by the requester of all RFQs."""
    create_raw_tables(connection)
    connection.execute("insert into raw.accounts values ('requester', $1)", [observed_ts])
    for table, rows in (("rfq_versions", rfqs), ("quote_versions", quotes)):
        for row in rows:
            seen = {"version_hash": row["id"], "observed_ts": observed_ts, "observed_pass": "test"}
            version = row | seen
            columns = ", ".join(version)
            values = ", ".join(f"${name}" for name in version)
            connection.execute(f"insert into raw.{table} ({columns}) values ({values})", version)
