"""How many of everything."""

from typing import Any

import polars as pl

from transforms.definitions.populations import is_accepted, is_confirmed, is_executed, is_quoted
from transforms.metrics.sample import Sample


def counts(sample: Sample) -> dict[str, Any]:
    """Return every metric that is a count."""
    return _rfqs(sample) | _funnel(sample) | _quotes(sample) | _accepts(sample)


def _rfqs(sample: Sample) -> dict[str, Any]:
    rfqs = sample.rfqs
    foreign = rfqs.filter(pl.col("visibility") == "foreign")
    hidden = sample.rfqs_of_others.filter(pl.col("requester_id_first").is_null())
    by_legs = rfqs.group_by("n_legs").len().sort("n_legs")
    return {
        "n_rfq": rfqs.height,
        "n_rfq_seen": rfqs.height,
        "n_rfq_own": sample.own_rfqs.height,
        "n_rfq_foreign": foreign.height,
        "n_rfq_by_legs": {str(legs): n for legs, n in by_legs.iter_rows()},
        "n_open": rfqs.filter(pl.col("state") == "open").height,
        "n_foreign_hidden_first_seen": hidden.height,
        "n_foreign_revealed": hidden.filter(pl.col("requester_id_last").is_not_null()).height,
    }


def _funnel(sample: Sample) -> dict[str, Any]:
    own = sample.own_rfqs
    return {
        "n_matured": sample.matured.height,
        "n_rfq_quoted": own.filter(is_quoted()).height,
        "n_rfq_accepted": own.filter(is_accepted()).height,
        "n_rfq_confirmed": own.filter(is_confirmed()).height,
        "n_rfq_executed": own.filter(is_executed()).height,
        "n_rfq_filled_after_lapse": own.filter("is_filled_after_lapse").height,
        "n_composite_crossed": own.filter("is_composite_crossed").height,
    }


def _quotes(sample: Sample) -> dict[str, Any]:
    quotes = sample.own_quotes
    negative = quotes.filter("is_negative_latency")
    rejected = negative.filter(pl.col("response_latency_s").is_null())
    return {
        "n_quote_rows": sample.all_quotes.height,
        "n_quotes_raw": quotes.height,
        "n_quotes_effective": sample.effective.height,
        "n_two_sided": sample.effective.filter("is_two_sided").height,
        "n_self_crossed": quotes.filter("is_self_crossed").height,
        "n_replaced": quotes.filter(pl.col("end_cause") == "replaced").height,
        "n_withdrawn": quotes.filter(pl.col("end_cause") == "withdrawn").height,
        "n_quotes_after_close": quotes.filter("is_after_close").height,
        "n_responding_makers": sample.responses["maker_id"].n_unique(),
        "n_neg_latency": negative.height,
        "n_neg_latency_rejected": rejected.height,
        "n_neg_latency_clamped": negative.height - rejected.height,
    }


def _accepts(sample: Sample) -> dict[str, Any]:
    accepts = sample.accepts
    return {
        "n_accepts": accepts.height,
        "n_accepts_pending": accepts.filter("is_accept_pending").height,
        "n_accepts_matured": accepts.filter("is_accept_matured").height,
        "n_lapsed": accepts.filter("is_lapsed").height,
        "n_confirmed_stuck": accepts.filter("is_confirmed_stuck").height,
        "n_executions": sample.executions.height,
    }
