"""Durations in seconds; quantiles are linear."""

from typing import Any

import polars as pl

from transforms.definitions.clocks import ROUNDING, first_time_at
from transforms.definitions.populations import is_accepted, is_executed, is_quoted
from transforms.definitions.units import MICROSECONDS
from transforms.metrics.sample import Sample, by_id, quantile, rate


def times(sample: Sample) -> dict[str, Any]:
    """Return every metric that is a duration, or a share by some time."""
    return (
        _by_rfq(sample)
        | _by_quote(sample)
        | _responses(sample.live)
        | _confirms(sample)
        | _first_quotes(sample.live)
        | _first_quotes_by_day(sample.live)
        | _fills(sample)
    )


def _by_rfq(sample: Sample) -> dict[str, Any]:
    rfqs = sample.rfqs
    # A stranger's RFQ that took our quote is answered, and who answered it first is not shown.
    quoted = sample.own_rfqs.filter(is_quoted())
    executed = rfqs.filter(is_executed())
    return {
        "ttfq_s": by_id(quoted, "rfq_id", "time_to_first_quote_s"),
        "time_to_accept_s": by_id(rfqs.filter(is_accepted()), "rfq_id", "time_to_accept_s"),
        "time_to_fill_s": by_id(executed, "rfq_id", "time_to_fill_s"),
    }


def _by_quote(sample: Sample) -> dict[str, Any]:
    quotes, accepted = sample.quotes, sample.all_quotes.filter("has_accept")
    reached = {
        "quote_dwell_s": (quotes, "accepted_ts", "quote_dwell_s"),
        "confirm_latency_s": (accepted, "confirmed_ts", "confirm_latency_s"),
        "exec_latency_s": (accepted, "executed_ts", "execution_latency_s"),
        "exec_excess_s": (accepted, "executed_ts", "execution_excess_s"),
        "quote_lifetime_s": (quotes, "end_ts", "quote_lifetime_s"),
    }
    return {
        name: by_id(of.filter(pl.col(stage).is_not_null()), "quote_id", column)
        for name, (of, stage, column) in reached.items()
    }


def _responses(sample: Sample) -> dict[str, Any]:
    first = sample.responses.filter(pl.col("version") == 1)
    by_maker = first.group_by("maker_id").agg(
        pl.col("response_latency_s").quantile(0.5, interpolation="linear")
    )
    return {
        "response_latency_s_by_maker": by_id(by_maker, "maker_id", "response_latency_s"),
        "response_latency_p50_s": quantile(first["response_latency_s"], 0.5),
    }


def _confirms(sample: Sample) -> dict[str, Any]:
    confirms = sample.accepts["confirm_latency_s"]
    return {
        "confirm_latency_p50_s": quantile(confirms, 0.5),
        "confirm_latency_p90_s": quantile(confirms, 0.9),
    }


def _first_quotes(sample: Sample) -> dict[str, Any]:
    quoted = sample.curve("ttfq", "quote")
    unquoted = sample.curve("ttfq", "closed_unquoted")
    return {
        "ttfq_p50_quoted_only_s": quantile(sample.own_rfqs["time_to_first_quote_s"], 0.5),
        "ttfq_km_median_s": first_time_at(quoted, 0.5, "km_incidence"),
        "ttfq_cif_median_s": first_time_at(quoted, 0.5),
        "ttfq_cif_quote": plateau(quoted),
        "ttfq_cif_closed_unquoted": plateau(unquoted),
    }


def _first_quotes_by_day(sample: Sample) -> dict[str, Any]:
    quoted = sample.own_rfqs.filter(pl.col("time_to_first_quote_s").is_not_null())
    micros = (pl.col("time_to_first_quote_s") * MICROSECONDS).round().cast(pl.Int64)
    days = (
        quoted.group_by(day=pl.col("cohort_date").dt.to_string())
        .agg(
            p50=pl.col("time_to_first_quote_s").quantile(0.5, interpolation="linear"),
            total=micros.sum(),
            n=pl.len(),
        )
        .sort("day")
        .rows_by_key("day", named=True, unique=True)
    )
    total, n = sum(day["total"] for day in days.values()), quoted.height
    return {
        "ttfq_p50_by_day_s": {day: of["p50"] for day, of in days.items()},
        "ttfq_sum_count_by_day": {
            day: [of["total"] / MICROSECONDS, of["n"]] for day, of in days.items()
        },
        "ttfq_mean_merged_s": rate(total, n * MICROSECONDS),
    }


def _fills(sample: Sample) -> dict[str, Any]:
    filled, closed = sample.curve("fill", "executed"), sample.curve("fill", "closed")
    by_30s = filled.filter(pl.col("time_s") <= 30 + ROUNDING)
    return {
        "km_naive_1mS_fill": plateau(filled, "km_incidence"),
        "cif_fill": plateau(filled),
        "cif_close": plateau(closed),
        "cif_fill_at_30s": None if filled.is_empty() else plateau(by_30s) or 0.0,
    }


def plateau(curve: pl.DataFrame, column: str = "incidence") -> float | None:
    """Return the last value of a curve, None where nobody was observed."""
    return None if curve.is_empty() else float(curve[column][-1])
