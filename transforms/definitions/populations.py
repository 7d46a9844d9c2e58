"""Who is counted: what it means that an RFQ or a quote is own, live, quoted, executed and so on.

Every mart, summary and metric takes its rows by these, so that one data set has one figure.
"""

from datetime import timedelta

import polars as pl

LIVE, LATE, BACKFILL = "live", "late", "backfill"

ANSWERED_SOON_S = 5

TERMINAL_STATES = ("executed", "closed_unfilled", "closed_unknown")


def is_own() -> pl.Expr:
    """The viewer requested this RFQ and therefore sees every quote on it."""
    return pl.col("visibility").eq_missing("own")


def is_mine() -> pl.Expr:
    """The viewer made this quote for somebody else: it sees this quote and none of its rivals."""
    return pl.col("is_made_by_viewer") & ~is_own()


def has_bid() -> pl.Expr:
    """The quote bids for at least one side; a bid of 0 is none."""
    return pl.any_horizontal(pl.col("yes_bid_dollars", "yes_ask_dollars").is_not_null())


def is_live() -> pl.Expr:
    """Its quotes were watched while it lived: what quote figures are of."""
    return pl.col("capture").eq_missing(LIVE)


def is_timely() -> pl.Expr:
    """First read while losers were still kept: what fill rates are of."""
    return pl.col("capture").is_in([LIVE, LATE]).fill_null(value=False)


def is_terminal() -> pl.Expr:
    """The RFQ was seen to end. One of ours that the exchange forgot while it was open was not."""
    is_lost = is_own() & pl.col("end_cause").eq_missing("lost")
    return pl.col("state").is_in(TERMINAL_STATES) & ~is_lost


def is_answered_within(seconds: float) -> pl.Expr:
    """A valid response came within so many seconds; one dated before the RFQ did, too."""
    waited = pl.col("first_quote_ts") - pl.col("created_ts")
    return (waited <= timedelta(seconds=seconds)).fill_null(value=False)


def is_filled_within(maturity_s: float) -> pl.Expr:
    """The RFQ was executed within so many seconds of its creation.

    Not by `time_to_fill_s`, which is NULL for a chain of timestamps out of order, and not by its
    end, which an act on another quote may move.
    """
    age = pl.col("executed_ts") - pl.col("created_ts")
    return is_executed() & (age <= timedelta(seconds=maturity_s))


def is_executed() -> pl.Expr:
    """The RFQ ended in orders being placed."""
    return pl.col("state").eq_missing("executed")


def is_quoted() -> pl.Expr:
    """At least one valid response; an accept proves one even where the quote itself was lost."""
    return pl.any_horizontal(pl.col("n_makers") > 0, is_accepted())


def is_accepted() -> pl.Expr:
    """At least one of its quotes was accepted; an execution proves an accept."""
    return pl.col("has_accept") | is_executed()


def is_confirmed() -> pl.Expr:
    """At least one accept was confirmed; an execution proves a confirmation."""
    return pl.col("has_confirm") | is_executed()
