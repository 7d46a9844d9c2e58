"""What is known of each RFQ before its quotes are ranked: class, size, end, who watched it."""

from datetime import timedelta
from itertools import pairwise

import polars as pl

from transforms.definitions.populations import BACKFILL, LATE, LIVE, is_own
from transforms.settings import Settings

# The exchange keeps cancelled quotes for 7 days after their last update. An RFQ that was first
# seen later shows its winners only, which would inflate every rate per quote.
CANCELLED_QUOTES_KEPT = timedelta(days=7)
# An answer takes seconds, and the exchange's clock on a page has whole ones: a pass served at t was
# served before t + 1 s.
TIME_TO_ANSWER = timedelta(seconds=5)
CLOCK_STEP = timedelta(seconds=1)

LIFETIME_EDGES_S = (5, 20, 60, 600)
LIFETIMES = ("under 5 s", "5-20 s", "20-60 s", "60-600 s", "600 s or more")
CONTRACT_EDGES = (1, 10, 50, 100, 500, 1000, 5000)
DOLLAR_EDGES = (10, 50, 250, 1000, 5000)


def known_rfqs(
    rfqs: pl.LazyFrame,
    quotes: pl.LazyFrame,
    passes: pl.LazyFrame,
    open_sweeps: pl.LazyFrame,
    settings: Settings,
) -> pl.LazyFrame:
    """Classify, size and end every RFQ known at `settings.as_of`. One row per RFQ.

    Recorded end: the first execution, else cancellation, else the last update of a closed RFQ (an
    upper bound), else the last sight of one that the exchange no longer knows (`lost`), else none.
    An accept or an execution proves that the RFQ was alive: where one comes later, it is the end.
    """
    return (
        rfqs.join(_of_quotes(quotes), on="rfq_id", how="left", validate="1:1")
        .join(_last_sweep(open_sweeps, settings), how="cross")
        .with_columns(
            size_mode=size_mode(),
            cohort_date=pl.col("created_ts").dt.date(),
            visibility=visibility(),
        )
        .with_columns(is_out_of_sight=is_out_of_sight(settings))
        .with_columns(end_cause=end_cause())
        .with_columns(
            contracts=pl.when(pl.col("size_mode") == "contracts").then("contracts"),
            recorded_end_ts=recorded_end_ts(),
        )
        .with_columns(
            end_ts=pl.when(pl.col("recorded_end_ts").is_not_null()).then(
                pl.max_horizontal("recorded_end_ts", "last_act_ts")
            ),
            is_end_moved=is_end_moved(),
        )
        .with_columns(
            is_end_upper_bound=is_end_upper_bound(),
            is_matured=pl.col("created_ts")
            <= settings.as_of - timedelta(seconds=settings.maturity_s),
        )
        .pipe(_watched, passes, settings)
        .with_columns(
            size_bucket=size_bucket(), lifetime_bucket=lifetime_bucket(), capture=capture(settings)
        )
    )


def size_mode() -> pl.Expr:
    """Return `target_cost` where the requester named dollars; its own contracts mean nothing."""
    is_target_cost = pl.col("target_cost_dollars").is_not_null()
    return pl.when(is_target_cost).then(pl.lit("target_cost")).otherwise(pl.lit("contracts"))


def visibility() -> pl.Expr:
    """Return whose eyes we have: the requester's, one maker's, or a passer-by's."""
    is_own = pl.col("is_own") | pl.col("has_quote_on_own_rfq").fill_null(False)
    return visibility_of(is_own, pl.col("has_quote_by_viewer").fill_null(False))


def visibility_of(is_own: pl.Expr, is_quoted: pl.Expr) -> pl.Expr:
    """Return `own`, `quoted` or `foreign`: the viewer asked, the viewer quoted, or neither."""
    return (
        pl.when(is_own)
        .then(pl.lit("own"))
        .when(is_quoted)
        .then(pl.lit("quoted"))
        .otherwise(pl.lit("foreign"))
    )


def _watched(rfqs: pl.LazyFrame, passes: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    """Add `watched_until_ts`, the last pass over the RFQ's quotes that was served while it lived.

    NULL unless it came 5 s or more after the creation. Nobody shows when an RFQ of somebody else
    ended unless we won it, so these count as alive only while they were seen open, won or lost.
    """
    alive_ts = pl.min_horizontal(
        pl.col("end_ts") - CLOCK_STEP,
        pl.when(is_own()).then(pl.lit(settings.as_of)).otherwise("last_seen_open_ts"),
    )
    is_alive_known = is_own() | pl.col("last_seen_open_ts").is_not_null()
    served = passes.select(
        "side", watched_until_ts=pl.min_horizontal("served_ts", pl.lit(settings.as_of))
    )
    is_in_time = pl.col("watched_until_ts") >= pl.col("created_ts") + TIME_TO_ANSWER
    # Few columns are sorted here, and the others stay where they are.
    lives = rfqs.cache()
    watched = (
        lives.select(
            *("rfq_id", "created_ts"),
            side=pl.when(is_own()).then(pl.lit("received")).otherwise(pl.lit("made")),
            alive_ts=pl.when(is_alive_known).then(alive_ts).otherwise("created_ts"),
        )
        .sort("alive_ts")
        .join_asof(
            served.sort("watched_until_ts"),
            left_on="alive_ts",
            right_on="watched_until_ts",
            by="side",
            coalesce=False,
            check_sortedness=False,
        )
        .filter(is_in_time)
        .select("rfq_id", "watched_until_ts")
    )
    return lives.join(watched, on="rfq_id", how="left", validate="1:1")


def capture(settings: Settings) -> pl.Expr:
    """Return whether somebody watched: `live`, `late`, or `backfill` where losers are gone."""
    is_live = pl.col("watched_until_ts").is_not_null() | pl.lit(settings.is_watched)
    over_ts = pl.coalesce("end_ts", "created_ts")
    is_late = pl.col("first_observed_ts") <= over_ts + CANCELLED_QUOTES_KEPT
    return (
        pl.when(is_live)
        .then(pl.lit(LIVE))
        .when(is_late)
        .then(pl.lit(LATE))
        .otherwise(pl.lit(BACKFILL))
    )


def lifetime_bucket() -> pl.Expr:
    """Return how long the RFQ lived; NULL while it does, and where nobody knows."""
    lived = pl.col("end_ts") - pl.col("created_ts")
    steps = zip(LIFETIME_EDGES_S, LIFETIMES, strict=False)
    return pl.coalesce(
        *(pl.when(lived < timedelta(seconds=edge)).then(pl.lit(name)) for edge, name in steps),
        pl.when(lived.is_not_null()).then(pl.lit(LIFETIMES[-1])),
    )


def end_cause() -> pl.Expr:
    """Return why the RFQ is over, NULL while it is not."""
    return (
        pl.when(pl.col("executed_ts").is_not_null())
        .then(pl.lit("executed"))
        .when(pl.col("status") == "closed")
        .then(pl.lit("closed"))
        .when(pl.col("gone_ts").is_not_null())
        .then(pl.lit("lost"))
        .when("is_out_of_sight")
        .then(pl.lit("closed"))
    )


def is_out_of_sight(settings: Settings) -> pl.Expr:
    """Return whether an RFQ of somebody else is over though no row says so.

    A complete sweep of the open RFQs, served after its creation, did not show it, or it is older
    than the exchange lets an RFQ live.
    """
    swept_ts = pl.col("swept_ts")
    is_missing = (swept_ts > pl.col("created_ts")) & (
        pl.col("last_seen_open_ts").fill_null(pl.col("created_ts")) < swept_ts
    )
    is_too_old = pl.col("created_ts") < settings.as_of - timedelta(seconds=settings.longest_life_s)
    return ~is_own() & (is_missing.fill_null(False) | is_too_old)


def recorded_end_ts() -> pl.Expr:
    """Return when the RFQ was over by its own account; NULL where it shows no time."""
    return (
        pl.when(pl.col("end_cause") == "executed")
        .then("first_executed_ts")
        .when(pl.col("end_cause") == "closed")
        .then(pl.coalesce("cancelled_ts", "updated_ts"))
        .when(pl.col("end_cause") == "lost")
        .then(pl.coalesce("last_seen_open_ts", "last_observed_ts"))
    )


def is_end_moved() -> pl.Expr:
    """Return whether an accept or an execution came after what stands for the end."""
    closed_ts = pl.when(pl.col("status") == "closed").then("updated_ts")
    stated_ts = pl.coalesce("cancelled_ts", closed_ts, "recorded_end_ts")
    return (pl.col("last_act_ts") > stated_ts).fill_null(False)


def is_end_upper_bound() -> pl.Expr:
    """Return whether the end is dated by an update that may have come later."""
    is_dated_by_update = pl.col("end_cause").eq_missing("closed") & pl.col("cancelled_ts").is_null()
    return is_dated_by_update & pl.col("end_ts").is_not_null() & ~pl.col("is_end_moved")


def size_bucket() -> pl.Expr:
    """Return the fixed size bucket, lower edge included: contracts or dollars asked for."""
    by_dollars = _bucket(pl.col("target_cost_dollars"), DOLLAR_EDGES, "${}", " target cost")
    by_contracts = _bucket(pl.col("contracts"), CONTRACT_EDGES, "{}", " contracts")
    return pl.coalesce(by_dollars, by_contracts, pl.lit("unknown"))


def _bucket(size: pl.Expr, edges: tuple[int, ...], mark: str, unit: str) -> pl.Expr:
    names = [mark.format(edge) for edge in edges]
    spans = [f"{low}-{high}" for low, high in pairwise(names)]
    labels = [pl.lit(text + unit) for text in (f"under {names[0]}", *spans, f"{names[-1]}+")]
    steps = zip(edges, labels, strict=False)
    return pl.coalesce(
        *(pl.when(size < edge).then(label) for edge, label in steps),
        pl.when(size >= edges[-1]).then(labels[-1]),
    )


def _of_quotes(quotes: pl.LazyFrame) -> pl.LazyFrame:
    """What the quotes tell of each RFQ. One row per quoted RFQ: few of all there are."""
    return (
        _viewers_part(quotes)
        .join(_last_events(quotes), on="rfq_id", how="left", validate="1:1")
        .join(_winners(quotes), on="rfq_id", how="left", validate="1:1")
    )


def _winners(quotes: pl.LazyFrame) -> pl.LazyFrame:
    """The first accepted of the executed quotes. One row per executed RFQ.

    More than one execution is an alarm, not a second fill: the earliest accept counts.
    """
    return (
        quotes.filter(pl.col("executed_ts").is_not_null())
        .sort("accepted_ts", "executed_ts", "quote_id", nulls_last=True)
        .group_by("rfq_id", maintain_order=True)
        .agg(
            winner_id=pl.col("quote_id").first(),
            executed_ts=pl.col("executed_ts").first(),
            first_executed_ts=pl.col("executed_ts").min(),
            first_executed_observed_ts=pl.col("first_executed_observed_ts").min(),
            n_executed_quotes=pl.len().cast(pl.Int64),
        )
    )


def _last_events(quotes: pl.LazyFrame) -> pl.LazyFrame:
    return quotes.group_by("rfq_id").agg(
        last_act_ts=pl.max_horizontal(pl.col("accepted_ts").max(), pl.col("executed_ts").max())
    )


def _last_sweep(open_sweeps: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    return open_sweeps.filter(pl.col("served_ts") <= settings.as_of).select(
        swept_ts=pl.col("served_ts").max()
    )


def _viewers_part(quotes: pl.LazyFrame) -> pl.LazyFrame:
    return quotes.group_by("rfq_id").agg(
        has_quote_on_own_rfq=pl.col("is_on_own_rfq").any(),
        has_quote_by_viewer=pl.col("is_made_by_viewer").any(),
    )
