"""How few makers and requesters the flow is spread over."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import polars as pl

from transforms.metrics.sample import Sample, concentration, exact_sum


def market_shares(sample: Sample) -> dict[str, Any]:
    """Return every Herfindahl-Hirschman index. Quotes on one's own RFQ do not compete."""
    by_rfqs = concentration(_rfqs_quoted(sample.live))
    return {
        "hhi_executed_contracts": concentration(_contracts_won(sample)),
        "hhi_rfqs_quoted": by_rfqs,
        "hhi_rfqs_quoted_own": by_rfqs,
    } | _requesters(sample)


def _rfqs_quoted(sample: Sample) -> Sequence[int]:
    competing = sample.responses.filter(~pl.col("is_self_quote"))
    return competing.group_by("maker_id").agg(pl.col("rfq_id").n_unique())["rfq_id"].to_list()


def _contracts_won(sample: Sample) -> Sequence[Fraction]:
    won = sample.trades.filter(~pl.col("is_self_quote"))
    return [exact_sum(of_maker["executed_contracts"]) for of_maker in won.partition_by("maker_id")]


def _requesters(sample: Sample) -> dict[str, Any]:
    """Bound the index from both sides: the hidden are all different, or all the busiest one."""
    asked = sample.rfqs_of_others
    known = asked.drop_nulls("requester_id_first").group_by("requester_id_first").len()
    counts = sorted(known["len"], reverse=True)
    n_hidden = asked.height - sum(counts)
    busiest = [*counts[:1], 0][0]
    return {
        "hhi_requesters_foreign_lower": concentration([*counts, *[1] * n_hidden]),
        "hhi_requesters_foreign_upper": concentration([busiest + n_hidden, *counts[1:]]),
    }
