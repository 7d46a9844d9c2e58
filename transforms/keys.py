"""By what the rows of a mart are replaced, so that a build computes no more than what changed."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from transforms.definitions.partition import MARKET_DAY

Mart = Callable[..., pl.LazyFrame]
"""A function from frames to a frame; its name is the table's name."""


@dataclass(frozen=True, slots=True)
class Sums:
    """A mart whose rows are sums over facts, one row per *columns*.

    A build that goes on takes off what the touched facts had added and puts on what they add now,
    whatever else there is of the same key. So everything that *parts* sums up is a whole number or
    a decimal, whose sums are exact in any order. A key whose sum *counted* is 0 has no row.
    *finished* adds the columns that are made of sums. Where *parts* counts an RFQ otherwise once it
    has matured, which nothing else tells of it, `counts_matured` says so.
    """

    columns: tuple[str, ...]
    counted: str
    parts: Mart
    finished: Callable[[pl.LazyFrame], pl.LazyFrame]
    counts_matured: bool = False


Key = tuple[str, ...] | Sums
RFQ = ("rfq_id",)
PARTITION = MARKET_DAY
DAY = ("cohort_date",)
HOUR = ("cohort_date", "hour_start_ts")
WHOLE: tuple[str, ...] = ()


def negative(parts: pl.LazyFrame, sums: Sums) -> pl.LazyFrame:
    """Return the sums of *parts* with the other sign."""
    return parts.with_columns(-pl.exclude(sums.columns))
