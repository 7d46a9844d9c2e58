"""The maker's own quotes."""

import polars as pl

from transforms.definitions.populations import is_mine
from transforms.definitions.units import CONTRACTS, DOLLARS, ONE_DOLLAR, elapsed_s

COLUMNS = (
    *("quote_id", "rfq_id", "market_ticker", "series_ticker", "cohort_date", "capture", "n_legs"),
    *("size_bucket", "contracts", "target_cost_dollars", "created_ts", "rfq_age_s", "version"),
    *("is_effective", "response_latency_s", "latency_bucket", "yes_bid_dollars", "no_bid_dollars"),
    *("quote_spread", "outcome", "end_ts", "end_cause", "quote_lifetime_s", "accepted_ts"),
    *("accepted_side", "accepted_bid_dollars", "confirm_latency_s", "executed_ts"),
    *("executed_contracts", "executed_cost_dollars", "is_orphan"),
)
LATENCY_EDGES_S = (0.5, 1, 2, 5, 30)
LATENCIES = ("under 0.5 s", "0.5-1 s", "1-2 s", "2-5 s", "5-30 s", "30 s or more")
UNKNOWN_LATENCY = "unknown"


def my_quotes(visible_rfq_facts: pl.LazyFrame, quote_facts: pl.LazyFrame) -> pl.LazyFrame:
    """Each quote the viewer made for somebody else: when, at what price, and what became of it.

    A maker never sees its rivals, so no column places a quote among others: what was not accepted
    on an RFQ that is over is `not_done_unknown`, whether it lost or nothing traded.

    Quotes whose RFQ is unknown or gone are there, with the RFQ's columns NULL where the quote does
    not tell them. What the viewer quoted on its own RFQs is not: `data_quality` counts it.

    One row per quote made by the viewer on an RFQ of somebody else.
    """
    bid_hit = (ONE_DOLLAR - pl.col("requester_price_dollars")).cast(DOLLARS)
    return (
        quote_facts.filter(is_mine())
        .join(_asked(visible_rfq_facts), on="rfq_id", how="left", validate="m:1")
        .with_columns(
            rfq_age_s=elapsed_s("rfq_created_ts", "created_ts"),
            latency_bucket=pl.when(pl.col("version") == 1).then(latency_bucket()),
            no_bid_dollars=(ONE_DOLLAR - pl.col("yes_ask_dollars")).cast(DOLLARS),
            outcome=pl.when(~_is_no_response()).then("outcome"),
            accepted_bid_dollars=bid_hit,
            executed_cost_dollars=(bid_hit * pl.col("executed_contracts")).cast(DOLLARS),
        )
        .select(COLUMNS)
        .sort("rfq_id", "created_ts", "quote_id")
    )


def latency_bucket() -> pl.Expr:
    """Return how long the maker took to answer; `unknown` where clocks disagree too much."""
    latency = pl.col("response_latency_s")
    steps = zip(LATENCY_EDGES_S, LATENCIES, strict=False)
    return pl.coalesce(
        *(pl.when(latency < edge).then(pl.lit(name)) for edge, name in steps),
        pl.when(latency.is_not_null()).then(pl.lit(LATENCIES[-1])),
        pl.lit(UNKNOWN_LATENCY),
    )


def _asked(visible_rfq_facts: pl.LazyFrame) -> pl.LazyFrame:
    return visible_rfq_facts.select(
        "rfq_id",
        pl.col("contracts").cast(CONTRACTS),
        "target_cost_dollars",
        rfq_created_ts="created_ts",
    )


def _is_no_response() -> pl.Expr:
    """Return whether it came after its RFQ's end or bids for neither side, on a known RFQ."""
    return ~pl.any_horizontal("is_orphan", "is_valid_response", "has_accept")
