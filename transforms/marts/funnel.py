"""How far RFQs get."""

from itertools import pairwise

import polars as pl

from transforms.definitions.populations import (
    is_accepted,
    is_confirmed,
    is_executed,
    is_quoted,
    is_terminal,
)
from transforms.definitions.statistics import count, rate_columns

STAGES = ("rfq", "quoted", "accepted", "confirmed", "executed")


def funnel(own_rfq_facts: pl.LazyFrame) -> pl.LazyFrame:
    """Own RFQs reaching each stage by as_of, over those at least M old (the matured cohort).

    A stage's rate is over the stage before it. An RFQ counts once however many of its accepts
    lapsed. n_immature RFQs are too young to count; n_censored of the counted are still open.

    Only `live` ones show every answer; an unwatched RFQ may have been quoted unseen.

    One row per cohort_date, n_legs and capture.
    """
    matured = pl.col("is_matured")
    return (
        own_rfq_facts.group_by("cohort_date", "n_legs", "capture")
        .agg(
            n_immature=count(~matured),
            n_censored=count(matured & ~is_terminal()),
            **{f"n_{stage}": count(matured & _reached(stage)) for stage in STAGES},
        )
        .with_columns(**_stage_rates())
        .sort("cohort_date", "n_legs", "capture")
    )


def _reached(stage: str) -> pl.Expr:
    reached = {
        "rfq": pl.col("rfq_id").is_not_null(),
        "quoted": is_quoted(),
        "accepted": is_accepted(),
        "confirmed": is_confirmed(),
        "executed": is_executed(),
    }
    return reached[stage]


def _stage_rates() -> dict[str, pl.Expr]:
    columns: dict[str, pl.Expr] = {}
    for before, stage in pairwise(STAGES):
        columns |= rate_columns(f"{stage}_rate", f"n_{stage}", f"n_{before}")
    return columns
