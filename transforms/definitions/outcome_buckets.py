"""Where an RFQ died, or where it stands: the first bucket of its role that holds.

Of an RFQ of our own we are the requester and see every quote. Of anybody else's we are the maker,
whether we quoted or not, and see our own quotes alone, so no bucket tells how others fared.
Every bucket has a condition of its own and none takes what is left over: an RFQ that fits nowhere
has NULL, and `marts.data_quality` counts it.
"""

import polars as pl

from transforms.definitions.last_look import is_awaiting_execution
from transforms.definitions.populations import (
    has_bid,
    is_accepted,
    is_executed,
    is_filled_within,
    is_live,
    is_mine,
    is_own,
    is_quoted,
)
from transforms.settings import Settings

Buckets = dict[str, pl.Expr]
"""Conditions by name, in the order in which they are tried."""


def role() -> pl.Expr:
    """Return what we are to the RFQ: its requester, or one of those who might quote it."""
    return pl.when(is_own()).then(pl.lit("requester")).otherwise(pl.lit("maker"))


def fates(quote_facts: pl.LazyFrame) -> pl.LazyFrame:
    """What became of the quotes that we received or made. One row per RFQ with one."""
    is_stuck = pl.col("is_confirmed_stuck")
    return (
        quote_facts.filter(is_own() | is_mine())
        .group_by("rfq_id")
        .agg(
            any_executed=pl.col("executed_ts").is_not_null().any(),
            any_confirm_pending=(is_awaiting_execution() & ~is_stuck).any(),
            any_stuck=is_stuck.any(),
            any_accept_pending=pl.col("is_accept_pending").any(),
            any_failed=(pl.col("outcome") == "failed").any(),
            any_lapsed=pl.col("is_lapsed").any(),
            any_withdrawn=is_last_withdrawn().any(),
            any_response=pl.col("is_valid_response").any(),
            any_after_end=(pl.col("is_after_close") & has_bid()).any(),
        )
    )


def is_last_withdrawn() -> pl.Expr:
    """Return whether the maker withdrew its last version, and so left the RFQ unanswered."""
    return pl.col("is_effective") & pl.col("end_cause").eq_missing("withdrawn")


def outcome_bucket(settings: Settings) -> pl.Expr:
    """Return the first bucket that holds of the RFQ, in our role; NULL for none."""
    requester, maker = _first(_requester_buckets(settings)), _first(_maker_buckets())
    return pl.when(is_own()).then(requester).otherwise(maker)


def _first(buckets: Buckets) -> pl.Expr:
    return pl.coalesce(*(pl.when(holds).then(pl.lit(name)) for name, holds in buckets.items()))


def _requester_buckets(settings: Settings) -> Buckets:
    return {
        "executed_in_time": is_filled_within(settings.maturity_s),
        "executed_later": is_executed(),
        **_underway(),
        "open": ~_is_over(),
        "vanished": pl.col("end_cause").eq_missing("lost"),
        **_fell_through(),
        "abandoned": is_quoted() & ~is_accepted(),
        "quoted_after_end": ~is_quoted() & _fate("after_end"),
        "unquoted": ~is_quoted() & is_live(),
        "unwatched": ~is_quoted() & ~is_live(),
    }


def _maker_buckets() -> Buckets:
    is_answered = _fate("response")
    return {
        "executed": _fate("executed"),
        **_underway(),
        **_fell_through(),
        "withdrawn": _fate("withdrawn"),
        "open": ~_is_over(),
        "closed_unknown": is_answered & _is_over(),
        "quoted_after_end": ~is_answered & _fate("after_end"),
        "not_quoted": ~is_answered & is_live(),
        "unwatched": ~is_answered & ~is_live(),
    }


def _underway() -> Buckets:
    names = ("confirm_pending", "stuck", "accept_pending")
    return {name: _fate(name) for name in names}


def _fell_through() -> Buckets:
    return {name: _fate(name) for name in ("failed", "lapsed")}


def _fate(name: str) -> pl.Expr:
    return pl.col(f"any_{name}").fill_null(value=False)


def _is_over() -> pl.Expr:
    return pl.col("end_cause").is_not_null()
