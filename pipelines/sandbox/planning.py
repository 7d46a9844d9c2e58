"""Simulated requests: who asked for what, when, and for how long. One row per RFQ."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import accumulate

import polars as pl

from pipelines.sandbox import shapes
from pipelines.sandbox.behavior import Behavior
from pipelines.sandbox.chance import Chance, Quantiles, pick
from pipelines.sandbox.clock import to_us
from pipelines.sandbox.listings import SINGLE_MARKETS
from pipelines.sandbox.shapes import Shape

DESK_NUMBER = 1
MAKER_NUMBER = 2
FIRST_STRANGER_NUMBER = 100
US = 1_000_000
BURST_RFQS = 12
BURST_S = 2

_NUMBER = pl.col("number")


def plan_rfqs(
    chance: Chance, shape: Shape, behavior: Behavior, count: int, since: datetime, until: datetime
) -> pl.DataFrame:
    """*count* requests created in [since, until), oldest first, as nobody but time treats them.

    `natural_end_us` is when the requester deletes or replaces the RFQ, or when it expires.
    """
    rfqs = (
        pl.select(number=pl.int_range(count, dtype=pl.UInt32))
        .with_columns(created_us=_arrivals(chance, shape, count, since, until))
        .with_columns(
            requester=_requesters(chance, shape, count),
            market=_markets(chance, shape, count),
            **_sizes(chance, shape),
            excludes_fees=chance.uniform("excludes", _NUMBER) < shape.excludes_fees_share,
            obscured=chance.uniform("obscured", _NUMBER) < shape.obscured_share,
        )
        .with_columns(
            excludes_fees=pl.col("excludes_fees") & (pl.col("target_cost_ticks") > 0),
            wants_trade=chance.uniform("wants", _NUMBER)
            < pl.when(pl.col("requester") == DESK_NUMBER)
            .then(shape.desk_trade_share)
            .otherwise(shape.stranger_trade_share),
        )
    )
    return rfqs.with_columns(decide_us=_decisions(chance)).pipe(_with_natural_end, chance, behavior)


def _arrivals(
    chance: Chance, shape: Shape, count: int, since: datetime, until: datetime
) -> pl.Expr:
    """Arrival times of a Poisson process whose rate follows the hour of the week, with bursts."""
    hours = max(1, -(-(until - since) // timedelta(hours=1)))
    starts = [since + timedelta(hours=hour) for hour in range(hours)]
    weights = [shapes.HOUR_WEIGHTS[t.hour] * shapes.DAY_WEIGHTS[t.weekday()] for t in starts]
    reached = [0.0, *accumulate(weights)]
    span_us = to_us(until) - to_us(since)
    points = {total / reached[-1]: hour / hours for hour, total in enumerate(reached)}
    burst, is_burst, after_us = _bursts(chance, shape, count)
    moment = chance.uniform("arrival", _NUMBER)
    moment = pl.when(is_burst).then(chance.uniform("burst at", burst)).otherwise(moment)
    share = Quantiles(points, is_logarithmic=False).at(moment)
    passed_us = (share * span_us).cast(pl.Int64) + pl.when(is_burst).then(after_us).otherwise(0)
    return (to_us(since) + passed_us.clip(0, span_us - 1)).sort()


def _bursts(chance: Chance, shape: Shape, count: int) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """The burst each request would belong to, whether it does, and how far into it it comes."""
    bursts = max(1, round(count * shape.burst_share / BURST_RFQS))
    burst = (chance.uniform("burst which", _NUMBER) * bursts).cast(pl.UInt64)
    is_burst = chance.uniform("burst", _NUMBER) < shape.burst_share
    after_us = (chance.uniform("burst after", _NUMBER) * BURST_S * US).cast(pl.Int64)
    return burst, is_burst, after_us


def _requesters(chance: Chance, shape: Shape, count: int) -> pl.Expr:
    """A few requesters ask for much: the ten busiest of 12,000 send about a seventh."""
    strangers = max(40, count * 6 // 100)
    rank = chance.uniform("requester", _NUMBER) ** 3.8 * strangers
    return (
        pl.when(chance.uniform("desk", _NUMBER) < shape.desk_share)
        .then(DESK_NUMBER)
        .otherwise(FIRST_STRANGER_NUMBER + rank.cast(pl.UInt32))
        .cast(pl.UInt32)
    )


def _markets(chance: Chance, shape: Shape, count: int) -> pl.Expr:
    """Single markets from -1 down; combos carry their number of legs in the lowest 5 bits."""
    popular = max(20, count // 40)
    shared = (chance.uniform("popular which", _NUMBER) ** 2 * popular).cast(pl.Int64)
    combo = (
        pl.when(chance.uniform("popular", _NUMBER) < shape.popular_share)
        .then(shared)
        .otherwise(_NUMBER.cast(pl.Int64) + popular)
    )
    legs = pick(shapes.LEGS, chance.uniform("legs", combo))
    single = -1 - (chance.uniform("single which", _NUMBER) * len(SINGLE_MARKETS)).cast(pl.Int64)
    is_single = chance.uniform("single", _NUMBER) < shape.single_share
    return pl.when(is_single).then(single).otherwise(combo * 32 + legs)


def _sizes(chance: Chance, shape: Shape) -> dict[str, pl.Expr]:
    usual = pick(shapes.TARGET_COST_CENTS, chance.uniform("cost", _NUMBER))
    odd = shapes.ODD_TARGET_COST_CENTS.at(chance.uniform("odd cost", _NUMBER)).cast(pl.Int64)
    is_odd = chance.uniform("odd", _NUMBER) < shape.odd_size_share
    contracts = shapes.CONTRACTS_HUNDREDTHS.at(chance.uniform("size", _NUMBER)).cast(pl.Int64)
    is_target = chance.uniform("mode", _NUMBER) < shape.target_cost_share
    cents = pl.when(is_odd).then(odd).otherwise(usual)
    return {
        "target_cost_ticks": pl.when(is_target).then(cents * 100).otherwise(0),
        "contracts_hundredths": pl.when(is_target).then(0).otherwise(contracts),
    }


def _decisions(chance: Chance) -> pl.Expr:
    """When a requester who wants to trade first looks for a quote to take."""
    delay_us = (shapes.DECISION_S.at(chance.uniform("decision", _NUMBER)) * US).cast(pl.Int64)
    return pl.when("wants_trade").then(pl.col("created_us") + delay_us)


def _with_natural_end(rfqs: pl.DataFrame, chance: Chance, behavior: Behavior) -> pl.DataFrame:
    """Add `natural_end_us` and whether that end is a deletion (`is_deleted`) or the expiry."""
    lifetime_s = shapes.RFQ_LIFETIME_S.at(chance.uniform("lifetime", _NUMBER))
    patience_us = pl.when(pl.col("market") < 0).then(100 * US).otherwise(20 * US)
    wanted_us = pl.max_horizontal(
        pl.col("created_us") + (lifetime_s * US).cast(pl.Int64), pl.col("decide_us") + patience_us
    )
    expiry_us = pl.col("created_us") + round(behavior.rfq_lifetime_s * US)
    # One open RFQ per requester and market: the next one replaces this one.
    replaced_us = pl.col("created_us").shift(-1).over("requester", "market")
    return rfqs.with_columns(
        natural_end_us=pl.min_horizontal(wanted_us, expiry_us, replaced_us),
    ).with_columns(is_deleted=pl.col("natural_end_us") < expiry_us)
