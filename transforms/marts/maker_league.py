"""The makers that answer us, compared on RFQs of one kind."""

import polars as pl
import polars.selectors as cs

from transforms.definitions.statistics import rate_columns, rows
from transforms.definitions.watched import with_shares_watched
from transforms.marts.makers import league

KIND = ("cohort_date", "capture", "series_ticker", "n_legs", "size_bucket")
KEY = ("maker_id", *KIND)


def maker_league(own_rfq_facts: pl.LazyFrame, own_quote_facts: pl.LazyFrame) -> pl.LazyFrame:
    """`marts.makers` of own RFQs by size, series and legs, for makers are alike on like RFQs only.

    A maker that answered any own RFQ of the day has a row for every kind of RFQ there was that day,
    also where it answered none: quoted_rate = n_rfq_quoted / n_rfq adds up over rows. Everything
    else is as in `marts.makers`. For example, who wins what of the RFQs that traded:

        select capture, maker_id, size_bucket, sum(n_rfq_traded) as n_traded,
            sum(n_rfq_won) / nullif(sum(n_rfq_traded), 0) as hit_ratio_traded
        from marts.maker_league group by all

    One row per maker_id, cohort_date, capture, series_ticker, n_legs (NULL: the RFQ is gone) and
    size_bucket.
    """
    makers = league(own_rfq_facts, own_quote_facts, (*KEY, "visibility")).cache()
    return (
        _asked(own_rfq_facts, makers)
        .join(makers, on=KEY, how="full", coalesce=True, nulls_equal=True, validate="1:1")
        .with_columns(_sums().fill_null(0), cs.boolean().fill_null(value=True))
        .with_columns(**rate_columns("quoted_rate", "n_rfq_quoted", "n_rfq"))
        .with_columns(visibility=pl.lit("own"))
        .pipe(with_shares_watched, own_rfq_facts, ("cohort_date",))
        .drop("visibility")
        .select(*KEY, pl.exclude(KEY))
        .sort(KEY)
    )


def _asked(own_rfq_facts: pl.LazyFrame, makers: pl.LazyFrame) -> pl.LazyFrame:
    """How many RFQs of each kind a maker could answer on a day on which it answered any.

    One row per KEY.
    """
    kinds = own_rfq_facts.group_by(KIND).agg(n_rfq=rows())
    active = makers.filter(pl.col("n_rfq_quoted") > 0).select("cohort_date", "maker_id").unique()
    return active.join(kinds, on="cohort_date", how="inner")


def _sums() -> cs.Selector:
    """What adds up: 0 where a maker answered none of a kind."""
    counts = cs.starts_with("n_") - cs.by_name("n_legs")
    return counts | cs.by_name("executed_contracts", "cover_distance_sum_microdollars")
