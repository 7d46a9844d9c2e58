"""Shares, each over the rows that its definition admits; None over nothing."""

from fractions import Fraction
from typing import Any

import polars as pl

from transforms.definitions.populations import (
    ANSWERED_SOON_S,
    is_accepted,
    is_answered_within,
    is_executed,
    is_filled_within,
    is_own,
    is_quoted,
    is_terminal,
)
from transforms.metrics.sample import Sample, exact_sum, rate, share


def rates(sample: Sample) -> dict[str, Any]:
    """Return every metric that is a rate or a share."""
    return (
        _executions(sample.timely)
        | _weighted_executions(sample.timely)
        | {"fill_completeness": _fill_completeness(sample)}
        | _quote_fates(sample.live)
        | _responses(sample.live)
        | _last_look(sample)
        | _of_others(sample)
        | {"hit_ratio_by_maker": _hit_ratio_by_maker(sample)}
    )


def _executions(sample: Sample) -> dict[str, Any]:
    own = sample.own_rfqs
    of_all = share(own, is_executed())
    return {
        "fill_rate_all": of_all,
        "fill_rate_own": of_all,
        # Nobody sees the executions of others: the rate is unknown, not 0.
        "fill_rate_foreign": None,
        "fill_rate_terminal": share(own.filter(is_terminal()), is_executed()),
        "fill_rate_matured": share(sample.matured, is_filled_within(sample.settings.maturity_s)),
    }


def _weighted_executions(sample: Sample) -> dict[str, Any]:
    return {
        "fill_rate_contracts": _weighted(sample, "contracts", "executed_contracts"),
        "fill_rate_target_cost": _weighted(sample, "target_cost_dollars", "target_cost_dollars"),
    }


def _weighted(sample: Sample, asked: str, got: str) -> float | None:
    """Return filled in time / asked, over the matured RFQs that were sized in that unit."""
    sized = sample.matured.filter(pl.col(asked) > 0)
    filled = sized.filter(is_filled_within(sample.settings.maturity_s))
    return rate(exact_sum(filled[got]), exact_sum(sized[asked]))


def _fill_completeness(sample: Sample) -> float | None:
    trades = sample.trades
    executed = exact_sum(trades["executed_contracts"])
    return None if sample.fills is None else rate(filled_contracts(sample, trades), executed)


def filled_contracts(sample: Sample, quotes: pl.DataFrame) -> Fraction:
    """Return the contracts of the fills that belong to these executed *quotes*."""
    executed = set(quotes["quote_id"])
    filled = (
        Fraction(str(fill["filled_contracts_fp"]))
        for fill in sample.fills or ()
        if fill.get("quote_id") in executed
    )
    return sum(filled, Fraction(0))


def _quote_fates(sample: Sample) -> dict[str, Any]:
    ended, effective = sample.ended_quotes, sample.effective
    n_done = ended.filter(pl.col("executed_ts").is_not_null()).height
    return {
        "quote_fill_rate_raw": rate(n_done, ended.height),
        "quote_fill_rate_effective": rate(n_done, ended.filter("is_effective").height),
        "one_sided_share": share(effective, ~pl.col("is_two_sided")),
        "withdraw_rate_effective": share(effective, pl.col("end_cause") == "withdrawn"),
    }


def _responses(sample: Sample) -> dict[str, Any]:
    own = sample.own_rfqs
    of_all = share(own, is_quoted())
    answered = own.filter(is_quoted() & pl.col("end_cause").is_not_null())
    return {
        "response_rate_all": of_all,
        "response_rate_own": of_all,
        "response_rate_5s": share(own, is_answered_within(ANSWERED_SOON_S)),
        "response_rate_matured": share(
            sample.matured, is_answered_within(sample.settings.maturity_s)
        ),
        "abandonment_rate": share(answered, ~is_accepted()),
    }


def _last_look(sample: Sample) -> dict[str, Any]:
    accepts = sample.accepts.filter("is_accept_matured")
    makers = sample.accepts["maker_id"].drop_nulls().unique().sort()
    return {
        "confirm_rate": share(accepts, "has_confirm"),
        "lapse_rate": share(accepts, "is_lapsed"),
        "lapse_rate_by_maker": {
            maker: share(accepts.filter(pl.col("maker_id") == maker), "is_lapsed")
            for maker in makers
        },
    }


def _hit_ratio_by_maker(sample: Sample) -> dict[str, float | None]:
    """By every maker that quoted us; None for one whose quotes all came too late, or undecided."""
    others = sample.own_quotes.filter(~pl.col("is_self_quote"))
    quoted = others.filter("is_valid_response")
    makers = others["maker_id"].drop_nulls().unique().sort()
    return {
        maker: _hit_ratio(quoted.filter(pl.col("maker_id") == maker), sample.live.own_rfqs)
        for maker in makers
    }


def _hit_ratio(quotes: pl.DataFrame, rfqs: pl.DataFrame) -> float | None:
    """Return #RFQs won / #RFQs quoted by one maker, of those that are decided."""
    decided = rfqs.filter("is_decided").select("rfq_id")
    judged = quotes.join(decided, on="rfq_id", how="semi")
    won = judged.filter((pl.col("outcome") == "done") & pl.col("is_reference_accept"))
    return rate(won["rfq_id"].n_unique(), judged["rfq_id"].n_unique())


def _of_others(sample: Sample) -> dict[str, Any]:
    has_viewer = sample.settings.viewer_id is not None
    live = sample.live
    not_own = live.rfqs.filter(~is_own())
    mine = live.quotes.filter(
        (pl.col("visibility") == "quoted") & pl.col("is_made_by_viewer"), "is_valid_response"
    )
    hidden = sample.rfqs_of_others.filter(pl.col("requester_id_first").is_null())
    return {
        "my_quote_rate": rate(mine["rfq_id"].n_unique(), not_own.height) if has_viewer else None,
        "my_hit_ratio": _hit_ratio(mine, not_own) if has_viewer else None,
        "requester_unknown_share_foreign": rate(hidden.height, sample.rfqs_of_others.height),
        # A hidden requester is revealed by its execution, if we read the RFQ again: a lower bound.
        "revealed_execution_rate_hidden": share(hidden, pl.col("requester_id_last").is_not_null()),
    }
