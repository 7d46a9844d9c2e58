"""Fact rows by hand: one plain, unremarkable RFQ or quote, and what a test changes about it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import polars as pl

from transforms import incremental
from transforms.definitions.populations import TERMINAL_STATES
from transforms.raw import create_raw_tables

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
"""A Monday."""

_PRICE = pl.Decimal(18, 6)
_SIZE = pl.Decimal(18, 2)
_TIME = pl.Datetime("us", "UTC")

RFQ_SCHEMA: dict[str, Any] = {
    "rfq_id": pl.String,
    "market_ticker": pl.String,
    "series_ticker": pl.String,
    "event_ticker": pl.String,
    "requester_id_first": pl.String,
    "requester_id_last": pl.String,
    "visibility": pl.String,
    "capture": pl.String,
    "n_legs": pl.Int64,
    "is_combo": pl.Boolean,
    "size_mode": pl.String,
    "contracts": _SIZE,
    "target_cost_dollars": _PRICE,
    "size_bucket": pl.String,
    "cohort_date": pl.Date,
    "created_ts": _TIME,
    "end_ts": _TIME,
    "state": pl.String,
    "is_matured": pl.Boolean,
    "n_makers": pl.Int64,
    "n_quotes_effective": pl.Int64,
    "time_to_first_quote_s": pl.Float64,
    "time_to_accept_s": pl.Float64,
    "composite_spread": _PRICE,
    "composite_spread_at_accept": _PRICE,
    "requester_price_dollars": _PRICE,
    "is_composite_crossed": pl.Boolean,
    "executed_contracts": _SIZE,
    "cover_distance": _PRICE,
    "cover_savings_dollars": _PRICE,
    "has_accept": pl.Boolean,
    "has_confirm": pl.Boolean,
    "maker_id_won": pl.String,
    "end_cause": pl.String,
    "is_end_upper_bound": pl.Boolean,
    "is_end_moved": pl.Boolean,
    "is_cover_unknown": pl.Boolean,
    "is_decided": pl.Boolean,
    "executed_ts": _TIME,
    "first_quote_ts": _TIME,
    "lifetime_bucket": pl.String,
    "is_first_seen_open": pl.Boolean,
    "n_executed_quotes": pl.Int64,
    "exchange_status": pl.String,
    "out_of_bounds": pl.String,
    "is_shown_late": pl.Boolean,
    "outcome_bucket": pl.String,
}

QUOTE_SCHEMA: dict[str, Any] = {
    "quote_id": pl.String,
    "rfq_id": pl.String,
    "market_ticker": pl.String,
    "series_ticker": pl.String,
    "maker_id": pl.String,
    "version": pl.Int64,
    "is_effective": pl.Boolean,
    "is_self_crossed": pl.Boolean,
    "is_two_sided": pl.Boolean,
    "outcome": pl.String,
    "yes_bid_dollars": _PRICE,
    "yes_ask_dollars": _PRICE,
    "quote_spread": _PRICE,
    "relative_spread": pl.Float64,
    "logit_spread": pl.Float64,
    "created_ts": _TIME,
    "end_ts": _TIME,
    "end_cause": pl.String,
    "response_latency_s": pl.Float64,
    "confirm_latency_s": pl.Float64,
    "execution_latency_s": pl.Float64,
    "is_after_close": pl.Boolean,
    "is_negative_latency": pl.Boolean,
    "is_confirmed_stuck": pl.Boolean,
    "is_against_fast": pl.Boolean,
    "lifetime_bucket": pl.String,
    "is_orphan": pl.Boolean,
    "is_self_quote": pl.Boolean,
    "has_accept": pl.Boolean,
    "has_confirm": pl.Boolean,
    "accepted_ts": _TIME,
    "executed_ts": _TIME,
    "cancelled_ts": _TIME,
    "is_accept_pending": pl.Boolean,
    "is_accept_matured": pl.Boolean,
    "is_lapsed": pl.Boolean,
    "is_valid_response": pl.Boolean,
    "is_monotone": pl.Boolean,
    "is_reference_accept": pl.Boolean,
    "executed_contracts": _SIZE,
    "cohort_date": pl.Date,
    "visibility": pl.String,
    "capture": pl.String,
    "n_legs": pl.Int64,
    "size_bucket": pl.String,
    "exchange_status": pl.String,
    "out_of_bounds": pl.String,
    "is_shown_late": pl.Boolean,
}

RUN_SCHEMA: dict[str, Any] = {
    "pass": pl.String,
    "watermark_before_ts": _TIME,
    "forgotten_before_ts": _TIME,
    "watermark_after_ts": _TIME,
}

COVERAGE_SCHEMA: dict[str, Any] = {
    "checked_ts": _TIME,
    "open_rfqs_listed": pl.Int64,
    "open_rfqs_missed": pl.Int64,
}

_PARTITION = {
    "market_ticker": "KXTEST-26-A",
    "series_ticker": "KXTEST",
    "visibility": "own",
    "capture": "live",
    "n_legs": 1,
    "size_bucket": "contracts 100",
    "cohort_date": date(2026, 1, 5),
}


def after(seconds: float) -> datetime:
    """Noon plus *seconds*."""
    return NOON + timedelta(seconds=seconds)


def rfq(rfq_id: str, **changes: Any) -> dict[str, Any]:
    """An own, matured RFQ for 100 contracts, closed unfilled after 30 s, never quoted."""
    plain = _PARTITION | {
        "rfq_id": rfq_id,
        "requester_id_first": "req",
        "requester_id_last": "req",
        "is_combo": False,
        "size_mode": "contracts",
        "contracts": Decimal(100),
        "created_ts": NOON,
        "end_ts": after(30),
        "state": "closed_unfilled",
        "is_matured": True,
        "n_makers": 0,
        "n_quotes_effective": 0,
        "has_accept": False,
        "has_confirm": False,
        "is_composite_crossed": False,
        "end_cause": "closed",
        "exchange_status": "closed",
        "is_end_upper_bound": False,
        "is_end_moved": False,
        "is_cover_unknown": False,
        "is_first_seen_open": True,
        "is_shown_late": False,
        "outcome_bucket": "unquoted",
        "n_executed_quotes": 0,
    }
    shown = plain | changes
    return {"is_decided": shown["state"] in TERMINAL_STATES} | shown


def executed_rfq(rfq_id: str, **changes: Any) -> dict[str, Any]:
    """An own RFQ filled whole after 22 s by maker A, first quoted after 1 s."""
    filled = {
        "state": "executed",
        "end_ts": after(22),
        "executed_ts": after(22),
        "n_makers": 1,
        "n_quotes_effective": 1,
        "time_to_first_quote_s": 1.0,
        "time_to_accept_s": 5.0,
        "has_accept": True,
        "has_confirm": True,
        "requester_price_dollars": Decimal("0.45"),
        "executed_contracts": changes.get("contracts", Decimal(100)),
        "maker_id_won": "A",
        "end_cause": "executed",
        "outcome_bucket": "executed_in_time",
        "n_executed_quotes": 1,
    }
    return rfq(rfq_id, **(filled | changes))


def quote(quote_id: str, rfq_id: str, maker_id: str | None = "A", **changes: Any) -> dict[str, Any]:
    """A valid first and last quote, 0.40 bid at 0.45, one second after the RFQ, not traded."""
    plain = _PARTITION | {
        "quote_id": quote_id,
        "is_shown_late": False,
        "rfq_id": rfq_id,
        "maker_id": maker_id,
        "version": 1,
        "is_effective": True,
        "is_two_sided": True,
        "outcome": "not_traded",
        "yes_bid_dollars": Decimal("0.40"),
        "yes_ask_dollars": Decimal("0.45"),
        "quote_spread": Decimal("0.05"),
        "relative_spread": 0.05 / 0.425,
        "logit_spread": 0.2048,
        "created_ts": after(1),
        "end_ts": after(30),
        "end_cause": "rfq_end",
        "exchange_status": "cancelled",
        "response_latency_s": 1.0,
        "is_valid_response": True,
        "is_monotone": True,
    }
    flags = {name: False for name, kind in QUOTE_SCHEMA.items() if kind is pl.Boolean}
    return flags | plain | changes


def executed_quote(
    quote_id: str, rfq_id: str, maker_id: str | None = "A", **changes: Any
) -> dict[str, Any]:
    """A quote accepted after 5 s, confirmed 2 s later and executed 15 s after that."""
    traded = {
        "outcome": "done",
        "end_cause": "accepted",
        "exchange_status": "executed",
        "has_accept": True,
        "has_confirm": True,
        "is_reference_accept": True,
        "executed_contracts": Decimal(100),
        "accepted_ts": after(5),
        "executed_ts": after(22),
        "is_accept_matured": True,
        "confirm_latency_s": 2.0,
        "execution_latency_s": 15.0,
    }
    return quote(quote_id, rfq_id, maker_id, **(traded | changes))


def rfq_facts(*rows: dict[str, Any]) -> pl.LazyFrame:
    """The mart of that name, with the columns the summaries read."""
    return pl.LazyFrame(rows, schema=RFQ_SCHEMA)


def sent_rfqs(facts: pl.LazyFrame) -> pl.LazyFrame:
    """When those RFQs were sent, as a build tells it."""
    return facts.select(
        *("cohort_date", "capture", "created_ts"),
        is_own=pl.col("visibility") == "own",
        n=pl.lit(1, pl.Int64),
    )


def foreign_minutes(*rows: dict[str, Any]) -> pl.LazyFrame:
    """Strangers' RFQs by the minute, as a build tells `arrivals` of them."""
    count, moment = pl.Int64(), pl.Datetime("us", "UTC")
    return pl.LazyFrame(
        rows,
        schema={
            "cohort_date": pl.Date(),
            **dict.fromkeys(("n_rfq", "n_rfq_combo"), count),
            **dict.fromkeys(("first_created_ts", "last_created_ts"), moment),
        },
    )


def quote_facts(*rows: dict[str, Any]) -> pl.LazyFrame:
    """The mart of that name, with the columns the summaries read."""
    return pl.LazyFrame(rows, schema=QUOTE_SCHEMA)


def read(
    name: str, since: datetime | None, until: datetime | None, forgotten: datetime | None = None
) -> dict[str, Any]:
    """A pass that moved the watermark of a list; what changed before *forgotten* was gone."""
    moments = (since, forgotten, until)
    return dict(zip(RUN_SCHEMA, (name, *moments), strict=True))


def read_stretches(*runs: dict[str, Any]) -> pl.LazyFrame:
    """What a build makes of these reports of passes."""
    reports = pl.DataFrame(runs, schema=RUN_SCHEMA).to_arrow()
    with duckdb.connect() as connection:
        connection.register("reports", reports)
        create_raw_tables(connection)
        connection.execute(
            "create or replace table raw.extraction_runs as select *, 0 as load from reports"
        )
        connection.execute("set timezone = 'UTC'")
        incremental.execute(connection, "from_nothing")
        incremental.execute(connection, "read_stretches")
        return connection.sql("from read_stretches").pl().lazy()


def looked_hours(
    as_of: datetime, *stretches: tuple[str, datetime, datetime, float]
) -> pl.LazyFrame:
    """What a build as of then makes of stretches of looks: side, first, last, longest pause."""
    with duckdb.connect() as connection:
        create_raw_tables(connection)
        for each in stretches:
            connection.execute(
                "insert into raw.look_stretches values ($1, $2, $3, 2, $4, [0], 0)", list(each)
            )
        shown = f"set variable shown_ts = timestamptz '{as_of.isoformat()}'"
        connection.execute(f"set timezone = 'UTC'; {shown}")
        incremental.execute(connection, "from_nothing")
        incremental.execute(connection, "looked_hours")
        return connection.sql("from incremental.looked_hours").pl().lazy()


def coverage(*rows: tuple[datetime, int, int]) -> pl.LazyFrame:
    """The log of that name: when it was compared, how many were listed, how many missed."""
    return pl.LazyFrame(rows, schema=COVERAGE_SCHEMA, orient="row")
