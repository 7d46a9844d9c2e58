"""One maker's day: how often it answers, wins, backs out, and how it prices."""

import polars as pl
import polars.selectors as cs

from transforms.definitions.partition import UNKNOWN_MAKER
from transforms.definitions.populations import is_executed, is_own
from transforms.definitions.statistics import (
    count,
    millionths,
    quantile,
    rate,
    rate_columns,
)
from transforms.definitions.watched import with_shares_watched
from transforms.settings import Settings

KEY = ("maker_id", "cohort_date", "visibility", "capture")
FIRST = (*KEY, "n_rfq_self_quoted", "n_rfq_broadcast")


def makers(
    visible_rfq_facts: pl.LazyFrame,
    quote_facts: pl.LazyFrame,
    sent_rfqs: pl.LazyFrame,
    settings: Settings,
) -> pl.LazyFrame:
    """League table of makers per cohort day.

    response_rate = RFQs quoted / RFQs broadcast while the maker was active, from the first to the
    last RFQ it quoted that day (every RFQ is broadcast to all makers; the ends are quoted by
    construction, so few RFQs overstate it); NULL of `quoted` in scope self, where of others' RFQs
    nothing is seen but what was quoted. hit_ratio = RFQs won / RFQs quoted and decided, one that is
    not decided yet being in neither; hit_ratio_traded the same over those that traded with anybody
    (own RFQs only, else lost and not traded look alike). lapse_rate = lapsed / accepts whose window
    is over.
    win_share_at_best = wins at the best live bid of that side / wins of which the bid that was hit
    and all live rivals are known; a lower bid may be taken.

    Beside `live` stands which share of the day's own RFQs was watched, by lifetime.
    Accepts, lapses, executions and contracts count accepted quotes whose RFQ is gone, too.
    A maker's quotes on its own RFQ count in n_rfq_self_quoted and nowhere else. Visibility `own`
    compares all makers on the viewer's RFQs; `quoted` is the viewer as maker on RFQs of others,
    where shares and cover are NULL. Concentration: add the vectors, then square, for example

        with maker as (select maker_id, sum(executed_contracts) as x from marts.makers
            where visibility = 'own' group by maker_id)
        select sum(power(x / total, 2)) as hhi
        from (select x, sum(x) over () as total from maker)

    One row per maker_id, cohort_date, visibility and capture.
    """
    broadcast = _broadcast(visible_rfq_facts, quote_facts, sent_rfqs, settings)
    return (
        league(visible_rfq_facts, quote_facts, KEY)
        .join(broadcast, on=KEY, how="left", validate="1:1")
        .with_columns(**rate_columns("response_rate", "n_rfq_quoted", "n_rfq_broadcast"))
        .with_columns(**_shares())
        .pipe(with_shares_watched, visible_rfq_facts, ("cohort_date",))
        .select(*FIRST, ~cs.by_name(*FIRST))
        .sort(KEY)
    )


def league(
    rfq_facts: pl.LazyFrame, quote_facts: pl.LazyFrame, key: tuple[str, ...]
) -> pl.LazyFrame:
    """What the league table tells of each maker, by *key*, which names maker_id and visibility."""
    # Every part asks for both again; without the caches each would be read anew.
    named = _named(quote_facts).cache()
    known = named.filter(~pl.col("is_orphan"))
    contests = _contests(known, rfq_facts).cache()
    others = contests.filter(~pl.col("is_self"))
    rivals = known.join(others, on=["rfq_id", "maker_id"], how="semi")
    accepts = named.filter("has_accept", ~pl.col("is_self_quote"))
    parts = [
        contests.group_by(key).agg(n_rfq_self_quoted=count(pl.col("is_self"))),
        others.group_by(key).agg(**_outcomes()),
        rivals.group_by(key).agg(**quoting()),
        accepts.group_by(key).agg(**last_look()),
    ]
    makers = pl.concat([contests.select(key), accepts.select(key)]).unique()
    for part in parts:
        # The legs of an RFQ that is gone are NULL, and a key of their own.
        makers = makers.join(part, on=key, how="left", nulls_equal=True, validate="1:1")
    counted = pl.col("n_rfq_self_quoted", *last_look()).fill_null(0)
    return makers.with_columns(counted).with_columns(**_rates(), **_cover())


def _named(quote_facts: pl.LazyFrame) -> pl.LazyFrame:
    return quote_facts.with_columns(maker_id=pl.col("maker_id").fill_null(UNKNOWN_MAKER))


def _contests(known: pl.LazyFrame, rfq_facts: pl.LazyFrame) -> pl.LazyFrame:
    """One row per RFQ and maker that validly answered it."""
    is_valid = pl.col("is_valid_response")
    has_won = pl.col("is_reference_accept") & pl.col("executed_ts").is_not_null()
    return (
        known.group_by("rfq_id", "maker_id")
        .agg(
            is_answer=is_valid.any(),
            is_self=pl.col("is_self_quote").filter(is_valid).any(),
            has_won=has_won.any(),
        )
        .filter("is_answer")
        .join(rfq_facts, on="rfq_id", how="inner", validate="m:1")
        # Others than decided ones are in no count of the ratio.
        .with_columns(is_won=pl.col("is_decided") & is_executed() & pl.col("has_won"))
    )


STREAM = ("cohort_date", "capture", "is_own")


def _broadcast(
    rfq_facts: pl.LazyFrame,
    quote_facts: pl.LazyFrame,
    sent_rfqs: pl.LazyFrame,
    settings: Settings,
) -> pl.LazyFrame:
    """How many RFQs were sent from the first to the last that a maker quoted. One row per KEY.

    Ours are one stream of a day and capture, those of all others another, which only the market's
    list shows.
    """
    is_shown = is_own() | pl.lit(settings.scope == "market")
    created = pl.col("created_ts")
    contests = _contests(_named(quote_facts).filter(~pl.col("is_orphan")), rfq_facts)
    return (
        contests.filter(~pl.col("is_self"), is_shown)
        .group_by(KEY)
        .agg(is_own().first().alias("is_own"), first_ts=created.min(), last_ts=created.max())
        .join(sent_rfqs, on=STREAM, how="inner")
        .filter(created.is_between("first_ts", "last_ts"))
        .group_by(KEY)
        .agg(n_rfq_broadcast=pl.col("n").sum())
    )


def _outcomes() -> dict[str, pl.Expr]:
    won = pl.col("is_won")
    cover = pl.when(won).then(pl.col("cover_distance"))
    # Without a cover the winner was alone, unless a rival was lost before the accept, or nobody
    # knows which bid was hit.
    is_hit_known = pl.col("requester_price_dollars").is_not_null()
    is_compared = won & is_own() & ~pl.col("is_cover_unknown") & is_hit_known
    return {
        "n_rfq_quoted": pl.len().cast(pl.Int64),
        "n_rfq_decided": count(pl.col("is_decided")),
        "n_rfq_traded": count(is_executed() & is_own()),
        "n_rfq_won": count(won),
        "n_rfq_won_compared": count(is_compared),
        "n_rfq_won_at_best": count(is_compared & (cover.fill_null(0) >= 0)),
        "n_covered": count(cover.is_not_null()),
        "cover_distance_sum_microdollars": millionths(cover).sum(),
        "cover_distance_p50_dollars": quantile(cover, 50),
    }


def quoting() -> dict[str, pl.Expr]:
    """How a maker prices and how fast it answers: aggregates of its quotes."""
    effective = pl.col("is_effective")
    spread_known = effective & pl.col("is_two_sided") & ~pl.col("is_self_crossed")
    first = pl.col("is_valid_response") & (pl.col("version") == 1)
    latency = pl.when(first).then(pl.col("response_latency_s"))
    return {
        "n_quotes_effective": count(effective),
        "n_spread": count(spread_known),
        "quote_spread_p50_dollars": quantile(_where(spread_known, "quote_spread"), 50),
        "logit_spread_p50": quantile(_where(spread_known, "logit_spread"), 50),
        "n_response_latency": count(latency.is_not_null()),
        **{f"response_latency_p{p}_s": quantile(latency, p) for p in (50, 90, 99)},
    }


def last_look() -> dict[str, pl.Expr]:
    """What a maker does once it is accepted: aggregates of its accepted quotes."""
    is_trade = pl.col("executed_ts").is_not_null() & pl.col("is_reference_accept")
    return {
        "n_accepts": count(pl.col("has_accept")),
        "n_accepts_pending": count(pl.col("is_accept_pending")),
        "n_accepts_matured": count(pl.col("is_accept_matured")),
        "n_lapsed": count(pl.col("is_lapsed")),
        "n_executions": count(pl.col("executed_ts").is_not_null()),
        "executed_contracts": pl.col("executed_contracts").filter(is_trade).sum(),
    }


def _where(condition: pl.Expr, column: str) -> pl.Expr:
    return pl.when(condition).then(pl.col(column))


def _rates() -> dict[str, pl.Expr]:
    return {
        **rate_columns("hit_ratio", "n_rfq_won", "n_rfq_decided"),
        **_own(rate_columns("hit_ratio_traded", "n_rfq_won", "n_rfq_traded")),
        **_own(rate_columns("win_share_at_best", "n_rfq_won_at_best", "n_rfq_won_compared")),
        **rate_columns("lapse_rate", "n_lapsed", "n_accepts_matured"),
    }


def _shares() -> dict[str, pl.Expr]:
    vectors = ("n_rfq_quoted", "n_rfq_won", "executed_contracts")
    day = ("cohort_date", "visibility", "capture")
    return _own({f"{v}_share": rate(pl.col(v), pl.col(v).sum().over(day)) for v in vectors})


def _cover() -> dict[str, pl.Expr]:
    columns = ("n_covered", "cover_distance_sum_microdollars")
    return _own({name: pl.col(name) for name in columns})


def _own(columns: dict[str, pl.Expr]) -> dict[str, pl.Expr]:
    return {name: pl.when(is_own()).then(column) for name, column in columns.items()}
