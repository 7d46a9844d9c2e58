"""How wide quotes are, alone and combined, and what the second best maker would have paid."""

import polars as pl

from transforms.definitions.partition import CAPTURE_PARTITION, MARKET_DAY, UNKNOWN_MAKER
from transforms.definitions.populations import has_bid, is_executed, is_own
from transforms.definitions.statistics import (
    count,
    distribution,
    dollar_distribution,
    rate_columns,
    rows,
)
from transforms.definitions.watched import with_shares_watched


def quote_spreads(visible_rfq_facts: pl.LazyFrame, quote_facts: pl.LazyFrame) -> pl.LazyFrame:
    """Spreads of each maker's last quote per RFQ; composite spread and cover of the RFQ.

    quote_spread = 1 - yes_bid - no_bid, in dollars per contract; relative_spread = spread / mid;
    logit_spread = logit(ask) - logit(bid), comparable across price levels. All three need both
    bids above zero and no self-cross (spread < 0); a spread of 0 is locked and valid.

    What belongs to an RFQ and not to a maker stands once, in the row whose maker_id is NULL:
    composite spread (best ask - best bid of the live makers; below 0 where sane makers disagree)
    and cover. The quote columns are NULL in that row and the RFQ columns in all others, so every
    sum over the table is right. RFQ columns need visibility `own`: else other makers are unseen.

    Keep `capture = 'backfill'` apart: it holds mostly quotes that won. Beside `live` stands which
    share of the market's own RFQs of that day was watched, by lifetime. Merged median by legs:

        select n_legs, sum(n_spread) as n,
            sum(quote_spread_sum_microdollars) / 1e6 / sum(n_spread) as mean_dollars,
            marts.histogram_quantile(list(quote_spread_histogram), 0.5) as p50_dollars
        from marts.quote_spreads where visibility = 'own' group by n_legs

    One row per cohort_date, market_ticker, series_ticker (an attribute of the market), visibility,
    n_legs, size_bucket, capture and maker_id (NULL: the RFQ as a whole).
    """
    frames = [_by_maker(quote_facts), _by_rfq(visible_rfq_facts)]
    return (
        pl.concat(frames, how="diagonal")
        .with_columns(**rate_columns("one_sided_share", "n_one_sided", "n_quotes"))
        .pipe(with_shares_watched, visible_rfq_facts, MARKET_DAY)
        .sort(*CAPTURE_PARTITION, "maker_id")
    )


def _by_maker(quote_facts: pl.LazyFrame) -> pl.LazyFrame:
    two_sided = pl.col("is_two_sided")
    spread = pl.col("quote_spread", "relative_spread", "logit_spread")
    return (
        quote_facts.filter(pl.col("is_effective"), ~pl.col("is_orphan"), has_bid())
        .with_columns(
            pl.when(two_sided & ~pl.col("is_self_crossed")).then(spread),
            maker_id=pl.col("maker_id").fill_null(UNKNOWN_MAKER),
        )
        .group_by(*CAPTURE_PARTITION, "maker_id")
        .agg(
            n_quotes=rows(),
            n_two_sided=count(two_sided),
            n_one_sided=count(~two_sided),
            n_self_crossed=count(pl.col("is_self_crossed")),
            n_spread=count(pl.col("quote_spread").is_not_null()),
            **dollar_distribution("quote_spread"),
            **distribution("relative_spread", ""),
            **distribution("logit_spread", ""),
        )
    )


def _by_rfq(visible_rfq_facts: pl.LazyFrame) -> pl.LazyFrame:
    return (
        visible_rfq_facts.filter(is_own())
        # The facts hold the cover of an accept that lapsed, too; here it is the winner's.
        .with_columns(pl.when(is_executed()).then(pl.col("cover_distance")))
        .group_by(CAPTURE_PARTITION)
        .agg(
            n_composite=count(pl.col("composite_spread").is_not_null()),
            n_composite_crossed=count(pl.col("is_composite_crossed")),
            **dollar_distribution("composite_spread"),
            n_executed=count(is_executed()),
            n_covered=count(pl.col("cover_distance").is_not_null()),
            **dollar_distribution("cover_distance"),
            cover_savings_dollars=pl.col("cover_savings_dollars").sum(),
        )
        .with_columns(maker_id=pl.lit(None, pl.String))
    )
