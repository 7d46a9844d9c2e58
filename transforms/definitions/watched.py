"""Which lives were watched: what stands beside every figure that is of `live` RFQs.

An RFQ is watched if a pass happens to be served while it lives: at a pass every five minutes, long
lives are watched far more often than short ones.
"""

import polars as pl

from transforms.definitions.populations import is_live, is_own
from transforms.definitions.rfqs import LIFETIMES
from transforms.definitions.statistics import rate

# What lived for less than 5 s can hardly be watched, so nothing stands for it.
WATCHABLE = LIFETIMES[1:]


def shares_watched(n: pl.Expr) -> dict[str, pl.Expr]:
    """Return by lifetime the share of RFQs that were watched, where *n* says how many a row is."""
    return {
        f"share_watched_{_suffix(bucket)}": rate(
            n.filter(is_of_lifetime(bucket), is_live()).sum(),
            n.filter(is_of_lifetime(bucket)).sum(),
        )
        for bucket in WATCHABLE
    }


def with_shares_watched(
    mart: pl.LazyFrame, rfq_facts: pl.LazyFrame, by: tuple[str, ...]
) -> pl.LazyFrame:
    """Add to the rows about own RFQs which share of the own RFQs of the same *by* was watched.

    NULL in the other rows, since nobody shows how long an RFQ of somebody else lived.
    """
    each = pl.col("rfq_id").is_not_null().cast(pl.Int64)
    shares = rfq_facts.filter(is_own()).group_by(by).agg(**shares_watched(each))
    return mart.join(
        shares.with_columns(visibility=pl.lit("own")),
        on=[*by, "visibility"],
        how="left",
        validate="m:1",
    )


def is_of_lifetime(bucket: str) -> pl.Expr:
    """The RFQ lived so long; one that is still alive is of no bucket."""
    return pl.col("lifetime_bucket").eq_missing(bucket)


def _suffix(bucket: str) -> str:
    return bucket.removesuffix(" or more").replace("-", "_").replace(" ", "_")
