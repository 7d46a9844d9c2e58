"""What is odd in the data, counted beside the figures it could distort."""

from dataclasses import dataclass

import polars as pl

from transforms.bounds import BOUNDS
from transforms.definitions.populations import has_bid, is_live, is_own, is_terminal
from transforms.definitions.statistics import count, millionths, rate

KEY = ("cohort_date", "check_name")
RFQ_STATUSES = ("open", "closed")
QUOTE_STATUSES = ("open", "accepted", "confirmed", "executed", "cancelled")

# Price grids, in millionths of a dollar: cents for single markets; for combos tenths of a cent,
# and hundredths below one cent and above 99.
_CENT, _TENTH, _HUNDREDTH = 10_000, 1_000, 100
_EDGE_LOW, _EDGE_HIGH = 10_000, 990_000


_LOST_MEANING = (
    "Published once, then lost by the private file and gone on the exchange; in no figure since a "
    "run accepted it (--accept-loss). Executions count as well where their quote is still known."
)


@dataclass(frozen=True, slots=True)
class Check:
    """Rows of *population* where *flag* holds, and what such a row is."""

    name: str
    population: pl.Expr
    flag: pl.Expr
    meaning: str


_TWO_LISTS_MEANING = (
    "A combo's market whose RFQs were served with different legs, settlement values apart. Each"
    " RFQ has the legs that it was served with last."
)


def data_quality(
    data_quality_by_day: pl.LazyFrame, accepted_losses: pl.LazyFrame, listed_markets: pl.LazyFrame
) -> pl.LazyFrame:
    """Flagged rows by check, with the number of rows checked and what was done about them.

    One row per check_name.
    """
    others = (_lost_rows(accepted_losses), _markets_of_two_lists(listed_markets))
    known = pl.LazyFrame(
        [(check.name, check.meaning) for check in (*_rfq_checks(), *_quote_checks())],
        schema={"check_name": pl.String, "meaning": pl.String},
        orient="row",
    )
    counted = data_quality_by_day.group_by("check_name").agg(pl.col("count", "n_checked").sum())
    return (
        known.join(counted, on="check_name", how="left", validate="1:1")
        .with_columns(pl.col("count", "n_checked").fill_null(0))
        .with_columns(share=rate(pl.col("count"), pl.col("n_checked")))
        .select("check_name", "count", "n_checked", "share", "meaning")
        .pipe(lambda counts: pl.concat([counts, *others]))
        .sort("check_name")
    )


def _markets_of_two_lists(listed_markets: pl.LazyFrame) -> pl.LazyFrame:
    """The combos' markets that have shown other legs as well, as one more row of counts."""
    return listed_markets.select(
        check_name=pl.lit("market_of_two_leg_lists"),
        count="n_of_two_lists",
        n_checked="n_listed",
        share=rate(pl.col("n_of_two_lists"), pl.col("n_listed")),
        meaning=pl.lit(_TWO_LISTS_MEANING),
    )


def _lost_rows(accepted_losses: pl.LazyFrame) -> pl.LazyFrame:
    """What is published without, as one more row of counts: nobody holds the rows any more."""
    return accepted_losses.select(
        check_name=pl.lit("lost_row"),
        count=pl.col("rows_lost").sum().cast(pl.Int64),
        n_checked=pl.lit(0, pl.Int64),
        share=pl.lit(None, pl.Float64),
        meaning=pl.lit(_LOST_MEANING),
    )


def data_quality_by_day(rfq_facts: pl.LazyFrame, quote_facts: pl.LazyFrame) -> pl.LazyFrame:
    """Flagged rows by check and cohort day, to see when something went wrong.

    One row per cohort_date (NULL for quotes on RFQs that were never seen) and check_name.
    """
    return flagged_shares(flagged_counts(rfq_facts, quote_facts))


def flagged_counts(rfq_facts: pl.LazyFrame, quote_facts: pl.LazyFrame) -> pl.LazyFrame:
    """Count what each check flags, and of how many. One row per `KEY`."""
    return pl.concat([_by_day(rfq_facts, _rfq_checks()), _by_day(quote_facts, _quote_checks())])


def flagged_shares(counts: pl.LazyFrame) -> pl.LazyFrame:
    """Divide the *counts*, where anything was checked."""
    return (
        counts.filter(pl.col("n_checked") > 0)
        .with_columns(share=rate(pl.col("count"), pl.col("n_checked")))
        .sort(KEY)
    )


def _by_day(facts: pl.LazyFrame, checks: list[Check]) -> pl.LazyFrame:
    counts = {
        check.name: pl.struct(
            count=count(check.population & check.flag), n_checked=count(check.population)
        )
        for check in checks
    }
    return (
        facts.group_by("cohort_date")
        .agg(**counts)
        .unpivot(index="cohort_date", variable_name="check_name", value_name="counted")
        .unnest("counted")
    )


def _quote_checks() -> list[Check]:
    others = [*_origin_checks(), *_price_checks(), *_time_checks()]
    odd = [_shown_late("quote"), _unknown_status("quote", QUOTE_STATUSES)]
    return [*others, *_bound_checks("quote"), *odd]


def _bound_checks(entity: str) -> list[Check]:
    """A check per field with bounds."""
    return [
        Check(
            f"{entity}_{bound.field}_out_of_bounds",
            pl.col(f"{entity}_id").is_not_null(),
            _is_out_of_bounds(bound.field),
            f"Shows a value below {bound.low:,} or above {bound.high:,}. Not believed: NULL, or"
            " what another state of it showed. The row is in raw, a copy in raw.rejected_rows.",
        )
        for bound in BOUNDS[f"{entity}_versions"]
    ]


def _is_out_of_bounds(field: str) -> pl.Expr:
    return pl.col("out_of_bounds").str.split(", ").list.contains(field).fill_null(value=False)


def _every_quote() -> pl.Expr:
    return pl.col("quote_id").is_not_null()


def _is_known() -> pl.Expr:
    return ~pl.col("is_orphan")


def _origin_checks() -> list[Check]:
    return [
        Check(
            "orphan_quote",
            _every_quote(),
            pl.col("is_orphan"),
            "Its RFQ was never seen, or is gone. In no count of RFQs; an accepted one counts in"
            " accepts, executions and contracts, as backfill. Joins its RFQ once that is read.",
        ),
        Check(
            "self_quote",
            _is_known(),
            pl.col("is_self_quote"),
            "Made by the requester itself. Out of hit ratios and concentration.",
        ),
        Check(
            "vanished_quote",
            _every_quote(),
            pl.col("end_cause") == "lost",
            "Gone without a cancel: the exchange denies it, or a pass served after its RFQ's end"
            " did not show it ended. Its life is censored when last seen open.",
        ),
    ]


def _price_checks() -> list[Check]:
    return [
        Check(
            "self_crossed_quote",
            pl.col("is_two_sided"),
            pl.col("is_self_crossed"),
            "Its two bids add up to more than $1. Out of spreads, best prices and cover.",
        ),
        Check(
            "quote_without_bid",
            _every_quote(),
            ~has_bid(),
            "Both bids are 0. No response, in no spread.",
        ),
        Check(
            "price_above_one",
            _every_quote(),
            _is_out_of_bounds("yes_bid_dollars") | _is_out_of_bounds("no_bid_dollars"),
            "A bid above $1 or below $0, for what pays between the two. Not believed: NULL here.",
        ),
        Check(
            "off_grid_price",
            _is_known() & has_bid(),
            _is_off_grid(),
            "A bid off the price grid (cents; combos tenths of a cent, hundredths below 0.01 and"
            " above 0.99). Used as it is: the exchange took it, or the market's grid is finer.",
        ),
    ]


def _time_checks() -> list[Check]:
    first = _is_known() & pl.col("is_valid_response") & (pl.col("version") == 1)
    latency = pl.col("response_latency_s")
    return [
        Check(
            "negative_latency_clamped",
            first,
            pl.col("is_negative_latency") & (latency == 0),
            "Created before its RFQ within the clock tolerance. Latency set to 0.",
        ),
        Check(
            "negative_latency_rejected",
            first,
            pl.col("is_negative_latency") & latency.is_null(),
            "Created before its RFQ beyond the clock tolerance. A response without a latency.",
        ),
        Check(
            "quote_after_close",
            _is_known(),
            pl.col("is_after_close"),
            "Created after its RFQ ended. No response, out of best prices and latencies.",
        ),
        Check(
            "cancelled_for_unknown_reason",
            pl.col("cancelled_ts").is_not_null(),
            pl.col("end_cause") == "unknown",
            "Cancelled on an RFQ that is not held, or that is of somebody else or over, has no"
            " known end and was not seen open later: withdrawn, or ended with its RFQ.",
        ),
        Check(
            "failed_execution",
            pl.col("has_confirm"),
            pl.col("outcome") == "failed",
            "Confirmed, then cancelled by the exchange. Such quotes were seen to fill even so.",
        ),
        Check(
            "non_monotone_chain",
            _every_quote(),
            ~pl.col("is_monotone"),
            "Accepted, confirmed and executed are out of order. In counts, out of durations.",
        ),
        Check(
            "combo_slower_than_fast",
            pl.col("has_confirm") & (pl.col("n_legs") != 1),
            pl.col("is_against_fast"),
            "A combo confirmed after more than 3 s or executed after 8 s or more. Taken as fast.",
        ),
        Check(
            "confirmed_stuck",
            pl.col("has_confirm"),
            pl.col("is_confirmed_stuck"),
            "Confirmed and not executed 5 s after the timer. Counts as confirmed, not as lapsed.",
        ),
    ]


def _is_off_grid() -> pl.Expr:
    yes_bid, yes_ask = millionths(pl.col("yes_bid_dollars")), millionths(pl.col("yes_ask_dollars"))
    # The grids are symmetric, so the ask is on its grid where the NO bid is.
    return pl.any_horizontal(_is_between_ticks(yes_bid), _is_between_ticks(yes_ask))


def _is_between_ticks(price: pl.Expr) -> pl.Expr:
    at_edge = (price < _EDGE_LOW) | (price > _EDGE_HIGH)
    combo_tick = pl.when(at_edge).then(_HUNDREDTH).otherwise(_TENTH)
    tick = pl.when(pl.col("n_legs") == 1).then(_CENT).otherwise(combo_tick)
    return (price % tick != 0).fill_null(value=False)


def _rfq_checks() -> list[Check]:
    return [
        Check(
            "composite_crossed",
            pl.col("composite_spread").is_not_null(),
            pl.col("is_composite_crossed"),
            "The best bid of one maker is above the best ask of another. Kept as it is, below 0.",
        ),
        Check(
            "own_rfq_not_captured_live",
            is_own(),
            ~is_live(),
            "No complete pass over its quotes was served from 5 s after its creation to its end:"
            " quotes may have come and vanished unseen. Kept apart by capture.",
        ),
        Check(
            "rfq_of_others_first_seen_closed",
            ~is_own(),
            ~pl.col("is_first_seen_open"),
            "Over when first seen. Out of requester figures: an execution reveals its requester.",
        ),
        Check(
            "repeated_execution",
            pl.col("n_executed_quotes") > 0,
            pl.col("n_executed_quotes") > 1,
            "Several of its quotes executed. The one accepted first counts.",
        ),
        Check(
            "end_dated_by_update",
            is_terminal() & pl.col("end_ts").is_not_null(),
            pl.col("is_end_upper_bound"),
            "Closed without a time of its own, so its last update stands for the end: no earlier.",
        ),
        Check(
            "act_after_end",
            pl.col("end_ts").is_not_null(),
            pl.col("is_end_moved"),
            "A quote was accepted or executed after its recorded end: it was alive, and ends then.",
        ),
        Check(
            "rival_lost_before_accept",
            is_own() & pl.col("has_accept"),
            pl.col("is_cover_unknown"),
            "A rival's quote vanished before the accept. Cover and prices at the accept are NULL.",
        ),
        Check(
            "vanished_rfq",
            pl.col("rfq_id").is_not_null(),
            pl.col("end_cause") == "lost",
            "The exchange forgot it while it was open. Ends when last seen, cause unknown.",
        ),
        Check(
            "combo_without_legs",
            pl.col("is_combo"),
            pl.col("n_legs") == 0,
            "A combo whose legs were never shown. In the group of 0 legs.",
        ),
        Check(
            "rfq_ended_before_it_began",
            pl.col("end_ts").is_not_null(),
            pl.col("end_ts") < pl.col("created_ts"),
            "Its end is dated before its creation. In counts, out of durations beyond tolerance.",
        ),
        Check(
            "rfq_in_no_outcome",
            pl.col("rfq_id").is_not_null(),
            pl.col("outcome_bucket").is_null(),
            "In no bucket of marts.outcomes, which has a row with a NULL bucket then. An error of"
            " ours: the buckets are to hold every RFQ.",
        ),
        *_bound_checks("rfq"),
        _shown_late("rfq"),
        _unknown_status("rfq", RFQ_STATUSES),
    ]


def _shown_late(entity: str) -> Check:
    return Check(
        f"{entity}_shown_late",
        pl.col(f"{entity}_id").is_not_null(),
        pl.col("is_shown_late"),
        "A state of it came in after a run that had read past its time: the exchange showed it"
        " late, or a backfill asked for it. Nothing else moves a matured rate in a later run.",
    )


def _unknown_status(entity: str, statuses: tuple[str, ...]) -> Check:
    return Check(
        f"unknown_{entity}_status",
        pl.col(f"{entity}_id").is_not_null(),
        ~pl.col("exchange_status").is_in(statuses).fill_null(value=False),
        f"Its status is none of {', '.join(statuses)}. Passed through as it is.",
    )
