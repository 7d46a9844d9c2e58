"""Seeded randomness by column: a draw depends on seed, stream and row number and on nothing else.

So rows can be made in any order, in slices, or again, and always come out the same.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import NormalDist

import polars as pl

from pipelines.sandbox.listings import Scramble

_STEPS = 4096


@dataclass(frozen=True, slots=True)
class Chance:
    """All the dice of one simulation."""

    seed: int

    def uniform(self, stream: str, number: pl.Expr) -> pl.Expr:
        """A column in [0, 1), independent for each *stream*."""
        bits = self._scramble(stream).column(number)
        return (bits // pl.lit(1 << 11, dtype=pl.UInt64)).cast(pl.Float64) * 2.0**-53

    def draw(self, stream: str, number: int) -> float:
        """The entry of `uniform` for one *number*."""
        return (self._scramble(stream).forward(number) >> 11) * 2.0**-53

    def normal(self, stream: str, number: pl.Expr) -> pl.Expr:
        """A standard normal column, cut at 3.5 standard deviations."""
        return _NORMAL.at(self.uniform(stream, number))

    def _scramble(self, stream: str) -> Scramble:
        digest = hashlib.sha256(f"{self.seed} {stream}".encode()).digest()
        return Scramble(64, int.from_bytes(digest[:8], "big"))


class Quantiles:
    """A distribution given by some of its quantiles, straight lines in the logarithm between."""

    def __init__(self, points: dict[float, float], *, is_logarithmic: bool = True) -> None:
        if min(points) > 0 or max(points) < 1:
            msg = f"quantiles must reach from 0 to 1, were {sorted(points)}"
            raise ValueError(msg)
        self._points = sorted(points.items())
        self._is_logarithmic = is_logarithmic

    @cached_property
    def _table(self) -> pl.Series:
        """Values at equal steps of probability, as logarithms where lines are logarithmic."""
        table, line = list[float](), iter(pairwise(self._points))
        (p, value), (next_p, next_value) = next(line)
        for step in range(_STEPS + 1):
            while step / _STEPS > next_p:
                (p, value), (next_p, next_value) = next(line)
            share = (step / _STEPS - p) / (next_p - p)
            if self._is_logarithmic:
                table.append(math.log(value) + share * math.log(next_value / value))
            else:
                table.append(value + share * (next_value - value))
        return pl.Series(table)

    def at(self, uniform: pl.Expr) -> pl.Expr:
        """The quantile at each probability of a column in [0, 1)."""
        place = uniform * _STEPS
        below = place.floor()
        table = pl.lit(self._table)
        low, high = (table.gather((below + step).cast(pl.UInt32)) for step in (0, 1))
        value = low + (high - low) * (place - below)
        return value.exp() if self._is_logarithmic else value

    def value(self, probability: float) -> float:
        """The quantile at one probability."""
        return float(pl.select(self.at(pl.lit(probability))).item())


def weighted(weights: Mapping[int, float]) -> pl.Series:
    """A table of whole numbers in proportion to their weights, for `pick`."""
    total, reached, table = sum(weights.values()), 0.0, list[int]()
    for value, weight in weights.items():
        reached += weight / total
        table += [value] * (round(reached * _STEPS) - len(table))
    return pl.Series(table, dtype=pl.Int64)


def pick(table: pl.Series, uniform: pl.Expr) -> pl.Expr:
    """Entries of a table of equally likely entries."""
    return pl.lit(table).gather((uniform * len(table)).cast(pl.UInt32))


def _normal_points() -> dict[float, float]:
    inner = {p / 1000: NormalDist().inv_cdf(p / 1000) for p in range(1, 1000)}
    return {0.0: -3.5} | inner | {1.0: 3.5}


_NORMAL = Quantiles(_normal_points(), is_logarithmic=False)
