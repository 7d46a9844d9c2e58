"""Simulated quotes: which makers answer an RFQ, when, at what prices, and for how long.

One row per quote. `maker_end_us` is when the maker itself takes the quote back or replaces it.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from pipelines.sandbox.behavior import Behavior
from pipelines.sandbox.listings import SINGLE_MARKETS
from pipelines.sandbox.rows import TICKS_PER_DOLLAR
from pipelines.sandbox.simulation import shapes
from pipelines.sandbox.simulation.chance import Chance
from pipelines.sandbox.simulation.plan import DESK_NUMBER, US
from pipelines.sandbox.simulation.shapes import Maker, Shape

_FEWEST_MARKUP = 0.6
_ANSWER = pl.col("rfq").cast(pl.UInt64) * 64 + pl.col("place")
"""A number for each pair of RFQ and maker."""
_QUOTE = _ANSWER * 2 + pl.col("version")


def plan_quotes(
    chance: Chance, shape: Shape, behavior: Behavior, rfqs: pl.DataFrame, makers: list[Maker]
) -> pl.DataFrame:
    """Every quote the makers would make on *rfqs* while these stay open."""
    asked = rfqs.with_columns(fair=fair(chance)).select(
        *("requester", "market", "created_us", "natural_end_us", "fair"),
        rfq="number",
        contracts=_contracts(),
        last_us=_last_us(behavior),
    )
    first = (
        _answers(chance, asked, _habits(makers))
        .with_columns(created_us=pl.col("created_us") + _latency_us(chance), version=pl.lit(0))
        .filter(_is_up(chance, shape), *_in_time())
        .with_columns(replaced_us=_requote_us(chance, shape))
    )
    second = first.filter(pl.col("replaced_us").is_not_null()).with_columns(
        created_us=pl.col("replaced_us"),
        replaced_us=pl.lit(None, pl.Int64),
        version=pl.lit(1),
    )
    return (
        pl.concat([first, second.filter(*_in_time())])
        .with_columns(maker_end_us=pl.min_horizontal("replaced_us", _withdrawal_us(chance, shape)))
        .with_columns(**_bids(chance))
        .filter((pl.col("yes_bid_ticks") > 0) | (pl.col("no_bid_ticks") > 0))
        .select(QUOTE_SCHEMA.keys())
        .sort("created_us", "rfq", "maker")
        .collect()
    )


QUOTE_SCHEMA: Final[dict[str, type[pl.DataType]]] = {
    "rfq": pl.UInt32,
    "requester": pl.UInt32,
    "maker": pl.UInt32,
    "version": pl.Int32,
    "market": pl.Int64,
    "yes_bid_ticks": pl.Int32,
    "no_bid_ticks": pl.Int32,
    "created_us": pl.Int64,
    "maker_end_us": pl.Int64,
    "natural_end_us": pl.Int64,
    "confirm_share": pl.Float64,
}


def _habits(makers: list[Maker]) -> pl.DataFrame:
    """One row per maker; `place` is its row."""
    habits = pl.DataFrame(makers, infer_schema_length=None).rename({"number": "maker"})
    return habits.with_row_index("place").with_columns(
        pl.col("place").cast(pl.UInt64), pl.col("maker").cast(pl.UInt32)
    )


def _answers(chance: Chance, asked: pl.DataFrame, habits: pl.DataFrame) -> pl.LazyFrame:
    """One row per RFQ and maker who cares to answer it and to whom it is not too large."""
    # Most pairs come to nothing, so they are made of few columns and the rest is added after.
    pairs = (
        asked.lazy()
        .select("rfq", "contracts", "requester")
        .with_row_index("row")
        .join(habits.lazy().select("place", "participation", "max_contracts"), how="cross")
        .filter(
            chance.uniform("answer", _ANSWER) < _eagerness(),
            pl.col("contracts") <= pl.col("max_contracts"),
        )
        .select("row", "place")
        .collect()
    )
    return pl.concat([asked[pairs["row"]], habits[pairs["place"]]], how="horizontal").lazy()


def _in_time() -> tuple[pl.Expr, pl.Expr]:
    created_us = pl.col("created_us")
    return created_us < pl.col("natural_end_us"), created_us <= pl.col("last_us")


def _requote_us(chance: Chance, shape: Shape) -> pl.Expr:
    """When the maker replaces its quote, null if it does not or can no longer."""
    at_us = pl.col("created_us") + _pause_us(chance)
    is_requoted = chance.uniform("requote", _ANSWER) < shape.requote_share
    return pl.when(is_requoted & (at_us <= pl.col("last_us"))).then(at_us)


def fair(chance: Chance) -> pl.Expr:
    """The YES probability all makers lean on, a little different for each request."""
    market_draw = chance.uniform("fair", pl.col("market") + len(SINGLE_MARKETS))
    level = (
        pl.when(pl.col("market") < 0)
        .then(shapes.SINGLE_FAIR.at(market_draw))
        .otherwise(shapes.COMBO_FAIR.at(market_draw))
    )
    return (level * (1 + 0.04 * chance.normal("drift", pl.col("number")))).clip(0.002, 0.97)


def _contracts() -> pl.Expr:
    """The size of a request, for a target cost at its fair price."""
    bought = pl.col("target_cost_ticks") / TICKS_PER_DOLLAR / pl.col("fair")
    is_target = pl.col("target_cost_ticks") > 0
    return pl.when(is_target).then(bought).otherwise(pl.col("contracts_hundredths") / 100)


def _last_us(behavior: Behavior) -> pl.Expr:
    """The last instant at which the RFQ takes quotes."""
    if behavior.quote_window_s is None:
        return pl.col("natural_end_us")
    window_end_us = pl.col("created_us") + round(behavior.quote_window_s * US)
    return pl.when(pl.col("market") < 0).then("natural_end_us").otherwise(window_end_us)


def _is_up(chance: Chance, shape: Shape) -> pl.Expr:
    """Makers are away for whole hours."""
    hour = pl.col("created_us") // (3600 * US)
    return chance.uniform("away", hour * 64 + pl.col("place")) >= shape.downtime_share


def _eagerness() -> pl.Expr:
    """The chance that a maker answers; the desk is a customer makers know."""
    is_desk = pl.col("requester") == DESK_NUMBER
    return pl.col("participation") * pl.when(is_desk).then(1.1).otherwise(0.85)


def _latency_us(chance: Chance) -> pl.Expr:
    jitter = (0.45 * chance.normal("latency", _ANSWER)).exp()
    return (pl.col("latency_s") * jitter * US).cast(pl.Int64) + 20_000


def _pause_us(chance: Chance) -> pl.Expr:
    """From a maker's first quote to its second, six seconds on average."""
    return ((1 - chance.uniform("pause", _ANSWER)).log() * -6 * US).cast(pl.Int64) + 150_000


def _withdrawal_us(chance: Chance, shape: Shape) -> pl.Expr:
    is_withdrawn = (
        chance.uniform("withdraw", _ANSWER * 2 + pl.col("version")) < shape.withdraw_share
    )
    end_us = pl.col("created_us") + (pl.col("quote_ttl_s") * US).cast(pl.Int64)
    return pl.when(is_withdrawn).then(end_us)


def _bids(chance: Chance) -> dict[str, pl.Expr]:
    view = pl.col("fair") + pl.col("skew") + 0.006 * chance.normal("view", _QUOTE)
    markup = pl.col("markup") * (_FEWEST_MARKUP + 0.8 * chance.uniform("markup", _QUOTE))
    return {
        "yes_bid_ticks": pl.when("offers_yes").then(_on_grid(view - markup)).otherwise(0),
        "no_bid_ticks": pl.when("offers_no").then(_on_grid(1 - view - markup)).otherwise(0),
    }


def _on_grid(price: pl.Expr) -> pl.Expr:
    """A price rounded down to the market's grid; 0 where nothing sensible is left."""
    ticks = (price * TICKS_PER_DOLLAR).floor().cast(pl.Int32).clip(0, TICKS_PER_DOLLAR - 20)
    is_fine = (ticks < 100) | (ticks > 9_900)
    step = pl.when(pl.col("market") < 0).then(100).otherwise(pl.when(is_fine).then(1).otherwise(10))
    return (ticks - ticks % step).cast(pl.Int32)
