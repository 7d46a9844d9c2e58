"""The maker's day: what it saw, quoted, won and backed out of."""

import polars as pl
import polars.selectors as cs

from transforms.definitions.outcome_buckets import is_last_withdrawn
from transforms.definitions.populations import is_mine, is_own
from transforms.definitions.statistics import count, rate_columns, rows
from transforms.marts.makers import last_look, quoting
from transforms.marts.my_quotes import latency_bucket
from transforms.settings import Settings

KEY = ("cohort_date", "capture")
CUTS = {
    "hit_ratio_by_size": "size_bucket",
    "hit_ratio_by_series": "series_ticker",
    "hit_ratio_by_legs": "n_legs",
    "hit_ratio_by_latency": "latency_bucket",
}


def my_day(
    visible_rfq_facts: pl.LazyFrame,
    quote_facts: pl.LazyFrame,
    fill_rates: pl.LazyFrame,
    settings: Settings,
) -> pl.LazyFrame:
    """RFQs of others per cohort day: seen, quoted by the viewer, won, withdrawn, lapsed.

    quoted_rate = n_rfq_quoted / n_rfq_seen, NULL in scope self, where nothing is seen but what was
    quoted. hit_ratio = n_rfq_won / n_rfq_decided: of the RFQs quoted, those known to be over. A
    maker cannot tell a lost RFQ from one that never traded, so both are in n_rfq_decided alike.
    Accepts, lapses and executions count quotes, those included whose RFQ is gone. Read the rates
    of capture live, lapse_rate of every capture.

    The hit ratio is cut by size, series, legs and own latency in lists of one entry per group, so
    that a row stays a day. Groups of several days add up, for example

        select capture, cut.size_bucket, sum(cut.n_won) / sum(cut.n_decided) as hit_ratio
        from (select capture, unnest(hit_ratio_by_size) as cut from marts.my_day) group by all

    One row per cohort_date and capture.
    """
    # Every part asks for both again; without the caches each would be read anew.
    mine = quote_facts.filter(is_mine()).cache()
    quoted = _quoted(visible_rfq_facts, mine).cache()
    seen = fill_rates.filter(~is_own()).group_by(KEY).agg(pl.col("n_rfq").sum().alias("n_rfq_seen"))
    accepts, answers = mine.filter("has_accept"), mine.filter("is_valid_response")
    parts = [
        seen,
        quoted.group_by(KEY).agg(**_counts()),
        answers.group_by(KEY).agg(**quoting()),
        accepts.group_by(KEY).agg(**last_look()),
        *(_hit_ratios(quoted, name, by) for name, by in CUTS.items()),
    ]
    days = pl.concat([seen.select(KEY), accepts.select(KEY)]).unique()
    for part in parts:
        days = days.join(part, on=KEY, how="left", validate="1:1")
    counts = cs.starts_with("n_") | cs.by_name("executed_contracts")
    return days.with_columns(counts.fill_null(0)).with_columns(**_rates(settings)).sort(KEY)


def _quoted(visible_rfq_facts: pl.LazyFrame, mine: pl.LazyFrame) -> pl.LazyFrame:
    """RFQs of others that the viewer quoted, and what became of it. One row per RFQ."""
    is_won = (pl.col("outcome") == "done") & pl.col("is_reference_accept")
    first = pl.col("response_latency_s").filter(pl.col("version") == 1)
    contests = (
        mine.filter("is_valid_response")
        .group_by("rfq_id")
        .agg(
            is_quoted=pl.lit(value=True),
            is_won=is_won.any(),
            is_withdrawn=is_last_withdrawn().any(),
            response_latency_s=first.first(),
        )
    )
    return (
        visible_rfq_facts.filter(~is_own())
        .select("rfq_id", *KEY, "series_ticker", "n_legs", "size_bucket", "is_decided")
        .join(contests, on="rfq_id", how="inner", validate="1:1")
        .with_columns(
            is_contest=pl.col("is_decided") & pl.col("is_quoted"), latency_bucket=latency_bucket()
        )
    )


def _counts() -> dict[str, pl.Expr]:
    return {
        "n_rfq_quoted": count(pl.col("is_quoted")),
        "n_rfq_decided": count(pl.col("is_contest")),
        "n_rfq_won": count(pl.col("is_contest") & pl.col("is_won")),
        "n_rfq_withdrawn": count(pl.col("is_withdrawn")),
    }


def _hit_ratios(quoted: pl.LazyFrame, name: str, by: str) -> pl.LazyFrame:
    """The hit ratio by each value of column *by*, as a list. One row per day with a contest."""
    ratio = ("hit_ratio", "hit_ratio_low", "hit_ratio_high")
    return (
        quoted.filter("is_contest")
        .group_by(*KEY, by)
        .agg(n_decided=rows(), n_won=count(pl.col("is_won")))
        .with_columns(**rate_columns("hit_ratio", "n_won", "n_decided"))
        .sort(*KEY, by)
        .group_by(KEY, maintain_order=True)
        .agg(pl.struct(by, "n_decided", "n_won", *ratio).alias(name))
    )


def _rates(settings: Settings) -> dict[str, pl.Expr]:
    sees_all = pl.lit(settings.scope == "market")
    quoted = rate_columns("quoted_rate", "n_rfq_quoted", "n_rfq_seen")
    return {
        **{name: pl.when(sees_all).then(column) for name, column in quoted.items()},
        **rate_columns("hit_ratio", "n_rfq_won", "n_rfq_decided"),
        **rate_columns("lapse_rate", "n_lapsed", "n_accepts_matured"),
    }
