"""What the live figures rest on: which lives were watched, and the figures weighted to all lives.

Long lives are watched far more often than short ones. Within a bucket of lifetimes every RFQ had
about the same chance: weighting each bucket by all own RFQs in it takes that bias off.
"""

import polars as pl

from transforms.definitions.populations import (
    ANSWERED_SOON_S,
    LATE,
    LIVE,
    is_accepted,
    is_answered_within,
    is_executed,
    is_quoted,
)
from transforms.definitions.statistics import MILLION, count, millionths, rate, rows
from transforms.definitions.watched import WATCHABLE, is_of_lifetime, shares_watched

KEY = ("cohort_date", "capture", "lifetime_bucket")
# Name, numerator, denominator, and how many units of the numerator make one of the figure.
FIGURES = (
    ("response_rate_5s", "n_answered_5s", "n_rfq", 1),
    ("response_rate_all", "n_answered", "n_rfq", 1),
    ("abandonment_rate", "n_abandoned", "n_answered_ended", 1),
    ("hit_ratio", "n_won", "n_contests", 1),
    ("one_sided_share", "n_one_sided", "n_quotes_effective", 1),
    ("withdraw_rate_effective", "n_withdrawn", "n_quotes_effective", 1),
    ("mean_quote_spread_dollars", "quote_spread_sum_microdollars", "n_spread", MILLION),
    ("mean_cover_distance_dollars", "cover_distance_sum_microdollars", "n_covered", MILLION),
)


def watched_by_day(own_rfq_facts: pl.LazyFrame, own_quote_facts: pl.LazyFrame) -> pl.LazyFrame:
    """Own RFQs by what was watched of them and how long they lived, and parts of their figures.

    All columns add up. One row per cohort_date, capture and lifetime_bucket (NULL: still alive, or
    over at an unknown time).
    """
    effective = own_quote_facts.filter("is_effective").join(
        own_rfq_facts.select("rfq_id", "is_decided", "maker_id_won", "n_executed_quotes"),
        on="rfq_id",
        validate="m:1",
    )
    of_quotes = effective.group_by(KEY).agg(**_of_quotes())
    return (
        own_rfq_facts.group_by(KEY)
        .agg(**_of_rfqs())
        .join(of_quotes, on=KEY, how="left", nulls_equal=True, validate="1:1")
        .with_columns(pl.col(*_of_quotes()).fill_null(0))
        .sort(KEY)
    )


def live_figures(watched_by_day: pl.LazyFrame) -> pl.LazyFrame:
    """Each figure over what was watched, the share watched by lifetime, and the figure weighted.

    value is over `live` own RFQs, as `transforms.metrics` has it; where none is live, over the
    `late` ones, and capture says so. weighted_value weights the lifetimes to those of all own RFQs
    of 5 s or more; weighted_share is the share of these whose bucket was watched at all.

    One row per figure.
    """
    is_any_live = (pl.col("capture") == LIVE).any()
    shown = pl.when(is_any_live).then(pl.lit(LIVE)).otherwise(pl.lit(LATE))
    marked = watched_by_day.with_columns(shown=shown).with_columns(
        is_shown=pl.col("capture") == pl.col("shown")
    )
    return pl.concat(marked.select(**_figure(*each)) for each in FIGURES).sort("figure")


def _of_rfqs() -> dict[str, pl.Expr]:
    is_over = pl.col("end_cause").is_not_null()
    cover = pl.when(is_executed()).then("cover_distance")
    return {
        "n_rfq": rows(),
        "n_answered_5s": count(is_answered_within(ANSWERED_SOON_S)),
        "n_answered": count(is_quoted()),
        "n_answered_ended": count(is_quoted() & is_over),
        "n_abandoned": count(is_quoted() & is_over & ~is_accepted()),
        "n_covered": count(cover.is_not_null()),
        "cover_distance_sum_microdollars": millionths(cover).sum(),
    }


def _of_quotes() -> dict[str, pl.Expr]:
    is_contest = pl.col("is_decided") & ~pl.col("is_self_quote")
    # Makers whose id is hidden are one bucket: NULL wins where a quote of nobody known was filled.
    is_winner = pl.col("maker_id").eq_missing(pl.col("maker_id_won"))
    return {
        "n_contests": count(is_contest),
        "n_won": count(is_contest & is_winner & (pl.col("n_executed_quotes") > 0)),
        "n_quotes_effective": rows(),
        "n_one_sided": count(~pl.col("is_two_sided")),
        "n_withdrawn": count(pl.col("end_cause") == "withdrawn"),
        "n_spread": count(pl.col("quote_spread").is_not_null()),
        "quote_spread_sum_microdollars": millionths(pl.col("quote_spread")).sum(),
    }


def _figure(name: str, numerator: str, denominator: str, units: int) -> dict[str, pl.Expr]:
    is_shown = pl.col("is_shown")
    total = pl.col(denominator).filter(is_shown).sum()
    is_stood_for = {bucket: (_shown_in(bucket) > 0).cast(pl.Int64) for bucket in WATCHABLE}
    return {
        "figure": pl.lit(name),
        "capture": pl.col("shown").first(),
        "value": rate(pl.col(numerator).filter(is_shown).sum(), total * units),
        "n": total.cast(pl.Int64),
        "weighted_value": rate(_weighted(numerator), _weighted(denominator) * units),
        "weighted_share": rate(
            pl.sum_horizontal(_all_in(bucket) * is_stood_for[bucket] for bucket in WATCHABLE),
            pl.sum_horizontal(_all_in(bucket) for bucket in WATCHABLE),
        ),
        **shares_watched(pl.col("n_rfq")),
    }


def _weighted(column: str) -> pl.Expr:
    """Sum *column* over the buckets, each multiplied up from the RFQs shown to all there are."""
    return pl.sum_horizontal(
        rate(
            pl.col(column).filter(is_of_lifetime(bucket), pl.col("is_shown")).sum(),
            _shown_in(bucket),
        )
        * _all_in(bucket)
        for bucket in WATCHABLE
    )


def _all_in(bucket: str) -> pl.Expr:
    return pl.col("n_rfq").filter(is_of_lifetime(bucket)).sum()


def _shown_in(bucket: str) -> pl.Expr:
    return pl.col("n_rfq").filter(is_of_lifetime(bucket), pl.col("is_shown")).sum()
