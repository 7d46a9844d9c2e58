"""Simulated quotes: which makers answer an RFQ, when, at what prices, and for how long.

One row per quote. `maker_end_us` is when the maker itself takes the quote back or replaces it.
"""

from __future__ import annotations

import polars as pl

from pipelines.sandbox import shapes
from pipelines.sandbox.chance import Chance
from pipelines.sandbox.fixed_point import TICKS_PER_DOLLAR
from pipelines.sandbox.listings import SINGLE_MARKETS
from pipelines.sandbox.planning import DESK_NUMBER, US
from pipelines.sandbox.shapes import Maker, Shape

_FEWEST_MARKUP = 0.6
_ANSWER = pl.col("rfq").cast(pl.UInt64) * 64 + pl.col("place")
"""A number for each pair of RFQ and maker."""
_QUOTE = _ANSWER * 2 + pl.col("version")


def plan_quotes(
    chance: Chance, shape: Shape, rfqs: pl.DataFrame, makers: list[Maker]
) -> pl.DataFrame:
    """Every quote the makers would make on *rfqs* while these stay open."""
    first = (
        rfqs.lazy()
        .select(
            "requester", "market", "created_us", "natural_end_us", rfq="number", fair=_fair(chance)
        )
        .join(_maker_columns(makers).lazy(), how="cross")
        .filter(chance.uniform("answer", _ANSWER) < _eagerness())
        .with_columns(created_us=pl.col("created_us") + _latency_us(chance), version=pl.lit(0))
    )
    second = (
        first.filter(chance.uniform("requote", _ANSWER) < shape.requote_share)
        .with_columns(requote_us=pl.col("created_us") + _pause_us(chance))
        .with_columns(created_us=pl.col("requote_us"), version=pl.lit(1))
    )
    replaced = second.select("rfq", "maker", replaced_us="requote_us", version=pl.lit(0))
    return (
        pl.concat([first, second.drop("requote_us")])
        .join(replaced, on=["rfq", "maker", "version"], how="left", validate="1:1")
        .filter(pl.col("created_us") < pl.col("natural_end_us"))
        .with_columns(maker_end_us=pl.min_horizontal("replaced_us", _withdrawal_us(chance, shape)))
        .with_columns(**_bids(chance))
        .filter((pl.col("yes_bid_ticks") > 0) | (pl.col("no_bid_ticks") > 0))
        .select(_KEPT)
        .sort("created_us", "rfq", "maker")
        .collect()
    )


_KEPT = (
    *("rfq", "requester", "maker", "version", "market", "yes_bid_ticks", "no_bid_ticks"),
    *("created_us", "maker_end_us", "natural_end_us", "confirm_share"),
)


def _maker_columns(makers: list[Maker]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "place": pl.Series(range(len(makers)), dtype=pl.UInt64),
            "maker": pl.Series([maker.number for maker in makers], dtype=pl.UInt32),
            "participation": [maker.participation for maker in makers],
            "latency_s": [maker.latency_s for maker in makers],
            "markup": [maker.markup for maker in makers],
            "offers_yes": [maker.offers_yes for maker in makers],
            "offers_no": [maker.offers_no for maker in makers],
            "confirm_share": [maker.confirm_share for maker in makers],
            "quote_ttl_s": [maker.quote_ttl_s for maker in makers],
        }
    )


def _fair(chance: Chance) -> pl.Expr:
    """The YES probability all makers lean on, a little different for each request."""
    market_draw = chance.uniform("fair", pl.col("market") + len(SINGLE_MARKETS))
    level = (
        pl.when(pl.col("market") < 0)
        .then(shapes.SINGLE_FAIR.at(market_draw))
        .otherwise(shapes.COMBO_FAIR.at(market_draw))
    )
    return (level * (1 + 0.04 * chance.normal("drift", pl.col("number")))).clip(0.002, 0.97)


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
    view = pl.col("fair") + 0.006 * chance.normal("view", _QUOTE)
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
