"""Which time was observed: the stretches of it that complete passes over the lists vouch for.

A pass that was verified moves the watermark of its list: all that happened from the watermark
before to the one after has been read, but for what the exchange had forgotten by then, and a build
adds that up as `read_stretches`. What no pass has read is a gap. A run that fails leaves none, as
long as a later one reads what it missed.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from transforms.settings import Settings

QUOTE_LISTS = ("quotes_made", "quotes_received")
_TIME = pl.Datetime("us", "UTC")
_FIRST, _LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def rfq_list(settings: Settings) -> str:
    """Return the list that shows the RFQs held: everybody's, or our own."""
    return "rfqs_market" if settings.scope == "market" else "rfqs_self"


def observed(
    read_stretches: pl.LazyFrame, lists: Sequence[str], settings: Settings
) -> pl.LazyFrame:
    """Return the stretches, up to as_of, that were read of each of *lists*.

    One row per stretch, from_ts to to_ts.
    """
    return _between(gaps(read_stretches, lists, settings))


def gaps(read_stretches: pl.LazyFrame, lists: Sequence[str], settings: Settings) -> pl.LazyFrame:
    """Return the stretches that were not read of one of *lists* at least, from ever and for ever.

    One row per stretch, from_ts to to_ts.
    """
    until = pl.min_horizontal("to_ts", pl.lit(settings.as_of))
    read = read_stretches.select(
        "pass", pl.col("from_ts").cast(_TIME), to_ts=until.cast(_TIME)
    ).filter(pl.col("from_ts") < pl.col("to_ts"))
    unread = [_between(read.filter(pl.col("pass") == name).drop("pass")) for name in lists]
    return _merged(pl.concat(unread))


def _between(stretches: pl.LazyFrame) -> pl.LazyFrame:
    """Return what lies between *stretches*, before the first and after the last."""
    edges = pl.LazyFrame(
        {"from_ts": [_FIRST, _LAST], "to_ts": [_FIRST, _LAST]},
        schema={"from_ts": _TIME, "to_ts": _TIME},
    )
    return (
        _merged(pl.concat([stretches, edges]))
        .select(from_ts="to_ts", to_ts=pl.col("from_ts").shift(-1))
        .drop_nulls()
    )


def _merged(stretches: pl.LazyFrame) -> pl.LazyFrame:
    """Return *stretches* in order, those that touch or overlap as one."""
    return (
        stretches.sort("from_ts")
        .with_columns(reached_ts=pl.col("to_ts").cum_max().shift(1))
        .with_columns(
            number=(pl.col("from_ts") > pl.col("reached_ts")).fill_null(value=False).cum_sum()
        )
        .group_by("number", maintain_order=True)
        .agg(pl.col("from_ts").first(), pl.col("to_ts").max())
        .drop("number")
    )
