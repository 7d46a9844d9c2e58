"""The five clocks of an RFQ's life: who is timed, until when, and which causes compete."""

import polars as pl

from transforms.partition import BACKFILL, LATE, LIVE, is_accepted, is_executed, is_own, is_quoted
from transforms.settings import Settings
from transforms.units import elapsed_s

CAUSES = {
    "ttfq": ("quote", "closed_unquoted"),
    "fill": ("executed", "closed"),
    "accept": ("accepted", "ended"),
    "confirm": ("confirmed", "lapsed"),
    "lifetime": ("replaced", "withdrawn", "accepted", "rfq_end"),
}
ANY = (LIVE, LATE, BACKFILL)
# Time to quote and a quote's life need what came and went; what was accepted is kept for good.
CAPTURES = {
    "ttfq": (LIVE,),
    "fill": (LIVE, LATE),
    "accept": (LIVE, LATE),
    "confirm": ANY,
    "lifetime": (LIVE,),
}


def causes(clock: str, settings: Settings) -> tuple[str, ...]:
    """Return the causes that compete on *clock*.

    Between passes quotes may come and vanish unseen, so nobody is known to close unquoted.
    """
    return ("quote",) if clock == "ttfq" and not settings.is_watched else CAUSES[clock]


def observations(
    rfq_facts: pl.LazyFrame, quote_facts: pl.LazyFrame, settings: Settings
) -> pl.LazyFrame:
    """Time every clock on our own RFQs: `time_s` and `cause`, a NULL cause for censored.

    One row per clock and RFQ (ttfq, fill, accept) or quote (confirm, lifetime). Rows whose
    duration is unknown (out of order, or skewed beyond tolerance) are left out. `capture` tells
    apart what each clock is to be read of, by `CAPTURES`.
    """
    rfqs = rfq_facts.filter(is_own())
    quotes = quote_facts.filter(is_own())
    clocks = {
        "ttfq": _first_quotes(rfqs, settings),
        "fill": _fills(rfqs, settings),
        "accept": _accepts(rfqs, settings),
        "confirm": _confirms(quotes.filter("has_accept"), settings),
        "lifetime": _lifetimes(quotes.filter("is_valid_response"), settings),
    }
    return pl.concat(
        timed.select(
            "capture", "n_legs", "cause", pl.col("time_s").clip(0.0), clock=pl.lit(clock)
        ).filter(pl.col("time_s").is_not_null())
        for clock, timed in clocks.items()
    )


def _first_quotes(rfqs: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    """With passes an RFQ is cut at its last one: what came after it may have vanished unseen."""
    if not settings.is_watched:
        watched_s = elapsed_s("created_ts", "watched_until_ts")
        until_s = pl.coalesce(watched_s, _age_s(settings))
        is_seen = is_quoted() & (pl.col("time_to_first_quote_s") <= until_s)
        is_undated = is_quoted() & pl.col("time_to_first_quote_s").is_null()
        return rfqs.filter(~is_undated).with_columns(
            cause=pl.when(is_seen).then(pl.lit("quote")),
            time_s=pl.when(is_seen).then("time_to_first_quote_s").otherwise(until_s),
        )
    return rfqs.with_columns(
        cause=pl.when(is_quoted())
        .then(pl.lit("quote"))
        .when(_is_closed())
        .then(pl.lit("closed_unquoted")),
        time_s=pl.when(is_quoted()).then("time_to_first_quote_s").otherwise(_age_s(settings)),
    )


def _fills(rfqs: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    state = pl.col("state")
    return rfqs.with_columns(
        cause=pl.when(is_executed())
        .then(pl.lit("executed"))
        .when(_is_closed() & (state == "closed_unfilled"))
        .then(pl.lit("closed")),
        time_s=pl.when(is_executed())
        .then("time_to_fill_s")
        .when(state == "closed_unfilled")
        .then(_age_s(settings))
        .otherwise(elapsed_s("created_ts", pl.lit(settings.as_of))),
    )


def _accepts(rfqs: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    return rfqs.with_columns(
        cause=pl.when(is_accepted())
        .then(pl.lit("accepted"))
        .when(_is_closed())
        .then(pl.lit("ended")),
        time_s=pl.when(is_accepted()).then("time_to_accept_s").otherwise(_age_s(settings)),
    )


def _confirms(quotes: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    """A lapse is dated at the end of the window, where the maker's right to confirm ended."""
    lapsed_s = pl.min_horizontal(
        pl.col("confirm_window_s").cast(pl.Float64), elapsed_s("accepted_ts", "cancelled_ts")
    )
    return quotes.with_columns(
        cause=pl.when("has_confirm")
        .then(pl.lit("confirmed"))
        .when("is_lapsed")
        .then(pl.lit("lapsed")),
        time_s=pl.when("has_confirm")
        .then("confirm_latency_s")
        .when("is_lapsed")
        .then(lapsed_s)
        .otherwise(elapsed_s("accepted_ts", pl.lit(settings.as_of))),
    )


def _lifetimes(quotes: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    is_live = pl.col("end_cause").is_null()
    return quotes.with_columns(
        # A quote that vanished was alive when it was last seen: censored there, not withdrawn.
        cause=pl.when(pl.col("end_cause") != "lost").then("end_cause"),
        time_s=pl.when(is_live)
        .then(elapsed_s("created_ts", pl.lit(settings.as_of)))
        .otherwise("quote_lifetime_s"),
    )


def _is_closed() -> pl.Expr:
    """Return whether the end was seen; an RFQ that merely vanished is censored instead."""
    return pl.col("end_cause").is_in(["closed", "executed"]).fill_null(False)


def _age_s(settings: Settings) -> pl.Expr:
    """Return the seconds from creation to the end, or to the as-of time where there is none."""
    is_open = pl.col("end_cause").is_null()
    end = pl.when(is_open).then(pl.lit(settings.as_of)).otherwise("end_ts")
    return elapsed_s(pl.col("created_ts"), end)
