"""Every mart of one market of every visibility, capture and state, added up by hand.

`tests.accounts.of_both` says what happened. Where all rows of a market are alike, a filter that a
mart has lost changes nothing; here each filter leaves something out.
"""

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from tests.accounts import of_both, published
from transforms.marts import MARTS

OLD, DAY = "2026-04-26", "2026-05-04"
LOTS = "100-500 contracts"
Row = tuple[Any, ...]

# What became of each RFQ: 27 s are 20-60 s, 337 s are 60-600 s, as the exclusive upper edges say.
RFQS = [
    ("f dollars", "foreign", "late", "open", "open", None, "$10-$50 target cost"),
    ("f seen", "foreign", "live", "closed_unknown", "not_quoted", "20-60 s", LOTS),
    ("o closed", "own", "live", "closed_unfilled", "abandoned", "20-60 s", LOTS),
    ("o combo", "own", "late", "closed_unfilled", "abandoned", "20-60 s", LOTS),
    ("o filled", "own", "live", "executed", "executed_in_time", "20-60 s", LOTS),
    ("o filled late", "own", "late", "executed", "executed_later", "60-600 s", LOTS),
    ("o lapsed", "own", "late", "closed_unfilled", "lapsed", "60-600 s", LOTS),
    ("o old", "own", "backfill", "executed", "executed_in_time", "20-60 s", LOTS),
    ("o open", "own", "late", "open", "open", None, LOTS),
    ("o young", "own", "late", "open", "open", None, LOTS),
    ("t combo", "quoted", "live", "open", "open", None, LOTS),
    ("t lost", "quoted", "live", "closed_unknown", "closed_unknown", "20-60 s", LOTS),
    ("t old", "quoted", "backfill", "executed", "executed", "20-60 s", LOTS),
    ("t pending", "quoted", "late", "accepted_pending", "accept_pending", None, LOTS),
    ("t won", "quoted", "live", "executed", "executed", "20-60 s", LOTS),
]
QUOTES = [
    ("m1", "quoted", "live", "done", "accepted", 9.0, 1.0, 2.0, 15.0, 0.05),
    ("m2", "quoted", "live", "replaced", "replaced", 6.0, 2.0, None, None, 0.1),
    ("m3", "quoted", "live", "live", None, None, 0.5, None, None, 0.1),
    ("m4", "quoted", "late", "pending", "accepted", 9.0, 1.0, None, None, 0.05),
    ("m5", "quoted", "backfill", "done", "accepted", 9.0, 1.0, 2.0, 15.0, 0.05),
    ("m6", "quoted", "live", "not_done_unknown", "rfq_end", 50.0, None, None, None, 0.08),
    ("q1", "own", "live", "done", "accepted", 9.0, 1.0, 2.0, 15.0, 0.05),
    ("q2", "own", "live", "cover", "rfq_end", 24.0, 3.0, None, None, 0.1),
    ("q3", "own", "live", "not_traded", "rfq_end", 56.0, 2.0, None, None, None),
    ("q4", "own", "late", "done", "accepted", 317.0, 3.0, 2.0, 15.0, 0.05),
    ("q5", "own", "late", "lapsed", "accepted", 9.0, 1.0, None, None, 0.06),
    ("q6", "own", "late", "replaced", "replaced", 9.5, 0.5, None, None, 0.1),
    ("q7", "own", "backfill", "done", "accepted", 9.0, 1.0, 2.0, 15.0, 0.05),
    ("q8", "own", "late", "not_traded", "rfq_end", 20.0, None, None, None, 0.08),
]
# Of the late singles `o filled late`, `o lapsed` and `o open` are 300 s old, `o young` is not.
FUNNEL = [
    (OLD, 1, "backfill", 0, 0, 1, 1, 1, 1, 1),
    (DAY, 1, "late", 1, 1, 3, 2, 2, 1, 1),
    (DAY, 1, "live", 0, 0, 2, 2, 1, 1, 1),
    (DAY, 2, "late", 0, 0, 1, 1, 0, 0, 0),
]
OUTCOMES = [
    ("maker", OLD, "executed", 1),
    ("maker", DAY, "accept_pending", 1),
    ("maker", DAY, "closed_unknown", 1),
    ("maker", DAY, "executed", 1),
    ("maker", DAY, "not_quoted", 1),
    ("maker", DAY, "open", 2),
    ("requester", OLD, "executed_in_time", 1),
    ("requester", DAY, "abandoned", 2),
    ("requester", DAY, "executed_in_time", 1),
    ("requester", DAY, "executed_later", 1),
    ("requester", DAY, "lapsed", 1),
    ("requester", DAY, "open", 2),
]
# Of all, of those that ended, of those that are 300 s old: executed, and of how many.
FILL_RATES = [
    (OLD, "own", 1, LOTS, "backfill", 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 100, 100),
    (OLD, "quoted", 1, LOTS, "backfill", 1, 0, 0, 0, *[None] * 8),
    (DAY, "foreign", 1, "$10-$50 target cost", "late", 1, 1, 0, 0, *[None] * 8),
    (DAY, "foreign", 1, LOTS, "live", 1, 0, 0, 1, *[None] * 8),
    (DAY, "own", 1, LOTS, "late", 4, 2, 1, 0, 1, 4, 1, 2, 0, 3, 0, 300),
    (DAY, "own", 1, LOTS, "live", 2, 0, 0, 2, 1, 2, 1, 2, 1, 2, 100, 200),
    (DAY, "own", 2, LOTS, "late", 1, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 100),
    (DAY, "quoted", 1, LOTS, "late", 1, 1, 1, 0, *[None] * 8),
    (DAY, "quoted", 1, LOTS, "live", 2, 0, 0, 2, *[None] * 8),
    (DAY, "quoted", 2, LOTS, "live", 1, 1, 0, 1, *[None] * 8),
]
# Quotes, one-sided, with a spread, its micro-dollars; composites; executed, covered, saved: B bid
# 5 cents less than A for 100 contracts.
QUOTE_SPREADS = [
    (OLD, "own", 1, "backfill", "A", 1, 0, 1, 50_000, *[None] * 6),
    (OLD, "own", 1, "backfill", None, *[None] * 4, 1, 50_000, 1, 0, 0, 0.0),
    (OLD, "quoted", 1, "backfill", "desk", 1, 0, 1, 50_000, *[None] * 6),
    (DAY, "own", 1, "late", "A", 1, 0, 1, 60_000, *[None] * 6),
    (DAY, "own", 1, "late", "B", 1, 0, 1, 50_000, *[None] * 6),
    (DAY, "own", 1, "late", None, *[None] * 4, 2, 110_000, 1, 0, 0, 0.0),
    (DAY, "own", 1, "live", "A", 2, 1, 1, 50_000, *[None] * 6),
    (DAY, "own", 1, "live", "B", 1, 0, 1, 100_000, *[None] * 6),
    (DAY, "own", 1, "live", None, *[None] * 4, 1, 50_000, 1, 1, 50_000, 5.0),
    (DAY, "own", 2, "late", "A", 1, 0, 1, 80_000, *[None] * 6),
    (DAY, "own", 2, "late", None, *[None] * 4, 1, 80_000, 0, 0, 0, 0.0),
    (DAY, "quoted", 1, "late", "desk", 1, 0, 1, 50_000, *[None] * 6),
    (DAY, "quoted", 1, "live", "desk", 2, 0, 2, 130_000, *[None] * 6),
    (DAY, "quoted", 2, "live", "desk", 1, 0, 1, 100_000, *[None] * 6),
]
# Happened, competing, censored, and the sum of what happened in seconds.
LATENCIES = [
    (OLD, "own", 1, "backfill", "accept", None, 1, 0, 0, 10.0),
    (OLD, "own", 1, "backfill", "confirm", "A", 1, 0, 0, 2.0),
    (OLD, "own", 1, "backfill", "execute", "A", 1, 0, 0, 15.0),
    (OLD, "own", 1, "backfill", "first_quote", None, 1, 0, 0, 1.0),
    (OLD, "own", 1, "backfill", "response", "A", 1, None, None, 1.0),
    (OLD, "quoted", 1, "backfill", "confirm", "desk", 1, 0, 0, 2.0),
    (OLD, "quoted", 1, "backfill", "execute", "desk", 1, 0, 0, 15.0),
    (OLD, "quoted", 1, "backfill", "response", "desk", 1, None, None, 1.0),
    (DAY, "own", 1, "late", "accept", None, 2, 0, 2, 330.0),
    (DAY, "own", 1, "late", "confirm", "A", 0, 1, 0, 0.0),
    (DAY, "own", 1, "late", "confirm", "B", 1, 0, 0, 2.0),
    (DAY, "own", 1, "late", "execute", "B", 1, 0, 0, 15.0),
    (DAY, "own", 1, "late", "first_quote", None, 2, 0, 2, 4.0),
    (DAY, "own", 1, "late", "response", "A", 1, None, None, 1.0),
    (DAY, "own", 1, "late", "response", "B", 1, None, None, 3.0),
    (DAY, "own", 1, "live", "accept", None, 1, 1, 0, 10.0),
    (DAY, "own", 1, "live", "confirm", "A", 1, 0, 0, 2.0),
    (DAY, "own", 1, "live", "execute", "A", 1, 0, 0, 15.0),
    (DAY, "own", 1, "live", "first_quote", None, 2, 0, 0, 3.0),
    (DAY, "own", 1, "live", "response", "A", 2, None, None, 3.0),
    (DAY, "own", 1, "live", "response", "B", 1, None, None, 3.0),
    (DAY, "own", 2, "late", "accept", None, 0, 1, 0, 0.0),
    (DAY, "own", 2, "late", "first_quote", None, 1, 0, 0, 0.5),
    (DAY, "own", 2, "late", "response", "A", 1, None, None, 0.5),
    (DAY, "quoted", 1, "late", "confirm", "desk", 0, 0, 1, 0.0),
    (DAY, "quoted", 1, "late", "response", "desk", 1, None, None, 1.0),
    (DAY, "quoted", 1, "live", "confirm", "desk", 1, 0, 0, 2.0),
    (DAY, "quoted", 1, "live", "execute", "desk", 1, 0, 0, 15.0),
    (DAY, "quoted", 1, "live", "response", "desk", 2, None, None, 3.0),
    (DAY, "quoted", 2, "live", "response", "desk", 1, None, None, 0.5),
]
# RFQs sent out and quoted; decided, traded, won, won at the best bid; accepts, pending, lapsed,
# executions; contracts. What became of `t lost` nobody shows, so it is not known to have traded.
MAKERS = [
    ("A", OLD, "own", "backfill", 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 100),
    ("A", DAY, "own", "late", 2, 2, 2, 0, 0, 0, 1, 0, 1, 0, 0),
    ("A", DAY, "own", "live", 2, 2, 2, 1, 1, 1, 1, 0, 0, 1, 100),
    ("B", DAY, "own", "late", 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 100),
    ("B", DAY, "own", "live", 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0),
    ("desk", OLD, "quoted", "backfill", 1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 100),
    ("desk", DAY, "quoted", "late", 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0),
    ("desk", DAY, "quoted", "live", 4, 3, 2, 0, 1, 0, 1, 0, 0, 1, 100),
]
# All own RFQs of the class, whether the maker quoted them or not.
LEAGUE = [
    ("A", OLD, "backfill", "KXRAIN", 1, 1, 1, 1, 1, 0),
    ("A", DAY, "late", "KXMVE", 2, 1, 1, 1, 0, 0),
    ("A", DAY, "late", "KXRAIN", 1, 4, 1, 1, 0, 0),
    ("A", DAY, "live", "KXRAIN", 1, 2, 2, 2, 1, 1),
    ("B", DAY, "late", "KXMVE", 2, 1, 0, 0, 0, 0),
    ("B", DAY, "late", "KXRAIN", 1, 4, 1, 1, 1, 0),
    ("B", DAY, "live", "KXRAIN", 1, 2, 1, 1, 0, 0),
]
# Seen, quoted, decided, won, withdrawn; spreads; accepts, pending, lapsed, executions.
MY_DAY = [
    (OLD, "backfill", 1, 1, 1, 1, 0, 1, 1, 0, 0, 1, 100, 1.0, 1.0),
    (DAY, "late", 2, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0.5, None),
    (DAY, "live", 4, 3, 2, 1, 0, 3, 1, 0, 0, 1, 100, 0.75, 0.5),
]
# `m1` and `m5` won 100 contracts at 55 cents each.
MY_QUOTES = [
    ("m1", "t won", "live", "done", 1.0, 100, 55),
    ("m2", "t lost", "live", "replaced", 2.0, None, None),
    ("m3", "t combo", "live", "live", 0.5, None, None),
    ("m4", "t pending", "late", "pending", 1.0, None, None),
    ("m5", "t old", "backfill", "done", 1.0, 100, 55),
    ("m6", "t lost", "live", "not_done_unknown", None, None, None),
]
# Of 5 s or more lived `o filled`, `o closed`, `o combo` and `o old` (20-60 s, half of them watched)
# and `o filled late` and `o lapsed` (60-600 s, none of them): 4 of 6 are stood for.
LIVE_FIGURES = [
    (figure, "live", value, n, value, 4 / 6, None, 0.5, 0.0, None)
    for figure, value, n in (
        ("abandonment_rate", 1 / 2, 2),
        ("hit_ratio", 1 / 3, 3),
        ("mean_cover_distance_dollars", 0.05, 1),
        ("mean_quote_spread_dollars", 0.075, 2),
        ("one_sided_share", 1 / 3, 3),
        ("response_rate_5s", 1.0, 2),
        ("response_rate_all", 1.0, 2),
        ("withdraw_rate_effective", 0.0, 3),
    )
]
WATCHED = [
    (OLD, "backfill", "20-60 s", 1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 1, 50_000),
    (DAY, "late", "20-60 s", 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, 1, 80_000),
    (DAY, "late", "60-600 s", 2, 2, 2, 2, 0, 0, 2, 1, 2, 0, 2, 110_000),
    (DAY, "late", None, 2, *[0] * 11),
    (DAY, "live", "20-60 s", 2, 2, 2, 2, 1, 1, 3, 1, 3, 1, 2, 150_000),
]
# At the upper edge of its bin of 2 %: at risk, events, competing, censored, and the incidence of
# Aalen and Johansen. Late fills: of 4 one closes at 100 s, when the young one is censored; of the 2
# left one fills at 337 s: 3/4 of 1/2.
CURVES = [
    ("accept", "accepted", "late", 1, 4, 1, 0, 0, 1 / 4),
    ("accept", "accepted", "late", 1, 3, 0, 0, 1, 1 / 4),
    ("accept", "accepted", "late", 1, 2, 1, 0, 0, 5 / 8),
    ("accept", "accepted", "late", 1, 1, 0, 0, 1, 5 / 8),
    ("accept", "accepted", "live", 1, 2, 1, 0, 0, 1 / 2),
    ("accept", "accepted", "live", 1, 1, 0, 1, 0, 1 / 2),
    ("confirm", "confirmed", "late", 1, 2, 1, 0, 0, 1 / 2),
    ("confirm", "confirmed", "late", 1, 1, 0, 1, 0, 1 / 2),
    ("confirm", "confirmed", "live", 1, 1, 1, 0, 0, 1.0),
    ("fill", "closed", "late", 1, 4, 1, 0, 1, 1 / 4),
    ("fill", "closed", "late", 1, 2, 0, 1, 0, 1 / 4),
    ("fill", "closed", "late", 1, 1, 0, 0, 1, 1 / 4),
    ("fill", "closed", "live", 1, 2, 0, 1, 0, 0.0),
    ("fill", "closed", "live", 1, 1, 1, 0, 0, 1 / 2),
    ("fill", "executed", "late", 1, 4, 0, 1, 1, 0.0),
    ("fill", "executed", "late", 1, 2, 1, 0, 0, 3 / 8),
    ("fill", "executed", "late", 1, 1, 0, 0, 1, 3 / 8),
    ("fill", "executed", "live", 1, 2, 1, 0, 0, 1 / 2),
    ("fill", "executed", "live", 1, 1, 0, 1, 0, 1 / 2),
    ("lifetime", "rfq_end", "late", 1, 2, 0, 1, 0, 0.0),
    ("lifetime", "rfq_end", "late", 1, 1, 0, 1, 0, 0.0),
    ("lifetime", "rfq_end", "live", 1, 3, 0, 1, 0, 0.0),
    ("lifetime", "rfq_end", "live", 1, 2, 1, 0, 0, 1 / 3),
    ("lifetime", "rfq_end", "live", 1, 1, 1, 0, 0, 2 / 3),
    ("ttfq", "quote", "late", 1, 4, 1, 0, 0, 1 / 4),
    ("ttfq", "quote", "late", 1, 3, 1, 0, 0, 1 / 2),
    ("ttfq", "quote", "late", 1, 2, 0, 0, 1, 1 / 2),
    ("ttfq", "quote", "late", 1, 1, 0, 0, 1, 1 / 2),
    ("ttfq", "quote", "live", 1, 2, 1, 0, 0, 1 / 2),
    ("ttfq", "quote", "live", 1, 1, 1, 0, 0, 1.0),
]

TABLES: dict[str, tuple[str, list[Row]]] = {
    "rfq_facts": (
        "select rfq_id, visibility, capture, state, outcome_bucket, lifetime_bucket, size_bucket"
        " from marts.rfq_facts",
        RFQS,
    ),
    "quote_facts": (
        "select quote_id, visibility, capture, outcome, end_cause, quote_lifetime_s,"
        " response_latency_s, confirm_latency_s, execution_latency_s, quote_spread::double"
        " from marts.quote_facts",
        QUOTES,
    ),
    "funnel": (
        "select cohort_date::varchar, n_legs, capture, n_immature, n_censored, n_rfq, n_quoted,"
        " n_accepted, n_confirmed, n_executed from marts.funnel",
        FUNNEL,
    ),
    "outcomes": ("select role, cohort_date::varchar, bucket, n_rfq from marts.outcomes", OUTCOMES),
    "fill_rates": (
        "select cohort_date::varchar, visibility, n_legs, size_bucket, capture, n_rfq, n_censored,"
        " n_immature, n_live_capture, fill_rate_all_numerator, fill_rate_all_denominator,"
        " fill_rate_terminal_numerator, fill_rate_terminal_denominator,"
        " fill_rate_matured_numerator, fill_rate_matured_denominator,"
        " fill_rate_contracts_matured_numerator::int, fill_rate_contracts_matured_denominator::int"
        " from marts.fill_rates",
        FILL_RATES,
    ),
    "quote_spreads": (
        "select cohort_date::varchar, visibility, n_legs, capture, maker_id, n_quotes, n_one_sided,"
        " n_spread, quote_spread_sum_microdollars, n_composite, composite_spread_sum_microdollars,"
        " n_executed, n_covered, cover_distance_sum_microdollars, cover_savings_dollars::double"
        " from marts.quote_spreads",
        QUOTE_SPREADS,
    ),
    "response_latencies": (
        "select cohort_date::varchar, visibility, n_legs, capture, clock, maker_id, n, n_competing,"
        " n_censored, latency_sum_us / 1e6 from marts.response_latencies",
        LATENCIES,
    ),
    "makers": (
        "select maker_id, cohort_date::varchar, visibility, capture, n_rfq_broadcast, n_rfq_quoted,"
        " n_rfq_decided, n_rfq_traded, n_rfq_won, n_rfq_won_at_best, n_accepts, n_accepts_pending,"
        " n_lapsed, n_executions, executed_contracts::int from marts.makers",
        MAKERS,
    ),
    "maker_league": (
        "select maker_id, cohort_date::varchar, capture, series_ticker, n_legs, n_rfq,"
        " n_rfq_quoted, n_rfq_decided, n_rfq_won, n_covered, is_hit_ratio_suppressed"
        " from marts.maker_league",
        [(*row, True) for row in LEAGUE],
    ),
    "my_day": (
        "select cohort_date::varchar, capture, n_rfq_seen, n_rfq_quoted, n_rfq_decided, n_rfq_won,"
        " n_rfq_withdrawn, n_spread, n_accepts, n_accepts_pending, n_lapsed, n_executions,"
        " executed_contracts::int, quoted_rate, hit_ratio from marts.my_day",
        MY_DAY,
    ),
    "my_quotes": (
        "select quote_id, rfq_id, capture, outcome, response_latency_s, executed_contracts::int,"
        " executed_cost_dollars::int from marts.my_quotes",
        MY_QUOTES,
    ),
    "lost_quotes": (
        "select quote_id, rfq_id, capture, maker_id, maker_id_won, lost_by_cents::int, reason"
        " from marts.lost_quotes",
        [("q2", "o filled", "live", "B", "A", 5, "worse_price")],
    ),
    "live_figures": (
        "select figure, capture, value, n, weighted_value, weighted_share, share_watched_5_20_s,"
        " share_watched_20_60_s, share_watched_60_600_s, share_watched_600_s"
        " from marts.live_figures",
        LIVE_FIGURES,
    ),
    "watched_by_day": (
        "select cohort_date::varchar, capture, lifetime_bucket, n_rfq, n_answered_5s, n_answered,"
        " n_answered_ended, n_abandoned, n_covered, n_contests, n_won, n_quotes_effective,"
        " n_one_sided, n_spread, quote_spread_sum_microdollars from marts.watched_by_day",
        WATCHED,
    ),
    # In New York Monday begins on Sunday, hour 7 * 24 - 4 of the week; 1,000 s are 16.7 minutes.
    "activity": (
        "select hour_of_week, weekday, hour, n_rfq, n_rfq_combo, observed_minutes"
        " from marts.activity",
        [(164, 7, 20, 13, 2, 1000 / 60)],
    ),
    "arrivals": (
        "select cohort_date::varchar, n_rfq, n_rfq_combo, n_rfq_observed, n_rfq_combo_observed,"
        " n_rfq_own_or_quoted, n_rfq_watched from marts.arrivals",
        [(OLD, 2, 0, 0, 0, 2, 0), (DAY, 13, 2, 13, 2, 11, 5)],
    ),
    "trust": (
        "select cohort_date::varchar, verdict, hours_observed, n_gaps, n_rfq, n_rfq_own_or_quoted,"
        " n_rfq_watched, open_rfqs_listed::int, open_rfqs_missed::int, share_watched"
        " from marts.trust",
        [
            (OLD, "missing", 0.0, 1, 2, 2, 0, None, None, 0.0),
            (DAY, "partial", 1000 / 3600, 0, 13, 11, 5, 20, 1, 5 / 11),
        ],
    ),
    # What still waits at the as-of time is in no row: of the late singles two RFQs on each clock.
    "curve_counts": (
        "select cohort_date::varchar, clock, capture, n_legs, cause, sum(n)::int"
        " from marts.curve_counts where capture <> 'backfill' group by all",
        [
            (DAY, "accept", "late", 1, "accepted", 2),
            (DAY, "accept", "late", 2, "ended", 1),
            (DAY, "accept", "live", 1, "accepted", 1),
            (DAY, "accept", "live", 1, "ended", 1),
            (DAY, "confirm", "late", 1, "confirmed", 1),
            (DAY, "confirm", "late", 1, "lapsed", 1),
            (DAY, "confirm", "live", 1, "confirmed", 1),
            (DAY, "fill", "late", 1, "closed", 1),
            (DAY, "fill", "late", 1, "executed", 1),
            (DAY, "fill", "late", 2, "closed", 1),
            (DAY, "fill", "live", 1, "closed", 1),
            (DAY, "fill", "live", 1, "executed", 1),
            (DAY, "lifetime", "late", 1, "accepted", 2),
            (DAY, "lifetime", "late", 2, "replaced", 1),
            (DAY, "lifetime", "late", 2, "rfq_end", 1),
            (DAY, "lifetime", "live", 1, "accepted", 1),
            (DAY, "lifetime", "live", 1, "rfq_end", 2),
            (DAY, "ttfq", "late", 1, "quote", 2),
            (DAY, "ttfq", "late", 2, "quote", 1),
            (DAY, "ttfq", "live", 1, "quote", 2),
        ],
    ),
    "survival_curves": (
        "select clock, cause, capture, n_legs, n_risk, n_events, n_competing, n_censored, incidence"
        " from marts.survival_curves where n_legs = 1 and capture <> 'backfill' and cause in"
        " ('quote', 'executed', 'closed', 'accepted', 'confirmed', 'rfq_end')"
        " and (clock <> 'lifetime' or cause = 'rfq_end')"
        " order by clock, cause, capture, n_legs, time_bin",
        CURVES,
    ),
    "data_quality": (
        "select check_name, count, n_checked from marts.data_quality where count > 0",
        [("own_rfq_not_captured_live", 6, 8), ("rfq_of_others_first_seen_closed", 1, 7)],
    ),
    "data_quality_by_day": (
        "select cohort_date::varchar, check_name, count, n_checked from marts.data_quality_by_day"
        " where count > 0",
        [
            (OLD, "own_rfq_not_captured_live", 1, 1),
            (OLD, "rfq_of_others_first_seen_closed", 1, 1),
            (DAY, "own_rfq_not_captured_live", 5, 7),
        ],
    ),
    # The views add up what is timely: the backfill is in no fill rate.
    "fill_rate_daily": (
        "select cohort_date::varchar, is_combo, n_rfq, n_immature, n_censored,"
        " fill_rate_matured_numerator, fill_rate_matured_denominator, fill_rate_matured"
        " from marts.fill_rate_daily",
        [(DAY, False, 6, 1, 2, 1, 5, 0.2), (DAY, True, 1, 0, 0, 0, 1, 0.0)],
    ),
    "fill_rate_by_series": (
        "select series_ticker, is_combo, n_rfq, n_immature, n_censored,"
        " fill_rate_matured_numerator, fill_rate_matured_denominator, fill_rate_matured"
        " from marts.fill_rate_by_series",
        [("KXMVE", True, 1, 0, 0, 0, 1, 0.0), ("KXRAIN", False, 6, 1, 2, 1, 5, 0.2)],
    ),
    # An accepted quote is kept for good, so what follows an accept is of every capture.
    "latency_by_maker": (
        "select maker_id, visibility, is_combo, clock, capture, n, n_competing, n_censored"
        " from marts.latency_by_maker where maker_id <> 'B'",
        [
            ("A", "own", False, "confirm", "every", 2, 1, 0),
            ("A", "own", False, "execute", "every", 2, 0, 0),
            ("A", "own", False, "response", "backfill", 1, None, None),
            ("A", "own", False, "response", "late", 1, None, None),
            ("A", "own", False, "response", "live", 2, None, None),
            ("A", "own", True, "response", "late", 1, None, None),
            ("desk", "quoted", False, "confirm", "every", 2, 0, 1),
            ("desk", "quoted", False, "execute", "every", 2, 0, 0),
            ("desk", "quoted", False, "response", "backfill", 1, None, None),
            ("desk", "quoted", False, "response", "late", 1, None, None),
            ("desk", "quoted", False, "response", "live", 2, None, None),
            ("desk", "quoted", True, "response", "live", 1, None, None),
        ],
    ),
}


@pytest.fixture(scope="module")
def marts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The published file of that market."""
    database = published(tmp_path_factory.mktemp("one_market") / "both.duckdb", of_both())
    with database.reading() as connection:
        yield connection


@pytest.mark.parametrize("table", TABLES)
def test_each_value_of_a_table_is_the_one_worked_by_hand(
    marts: duckdb.DuckDBPyConnection, table: str
) -> None:
    query, expected = TABLES[table]

    found = marts.execute(query if "order by" in query else f"{query} order by all").fetchall()

    assert found == [tuple(map(_about, row)) for row in expected]


def _about(value: Any) -> Any:
    return pytest.approx(value) if isinstance(value, float) else value


# When what an event ends happened, in seconds.
EVENTS = [
    ("accept", "accepted", "backfill", 1, 10.0),
    ("accept", "accepted", "late", 1, 10.0),
    ("accept", "accepted", "late", 1, 320.0),
    ("accept", "accepted", "live", 1, 10.0),
    ("confirm", "confirmed", "backfill", 1, 2.0),
    ("confirm", "confirmed", "late", 1, 2.0),
    ("confirm", "confirmed", "live", 1, 2.0),
    ("confirm", "lapsed", "late", 1, 30.0),
    ("fill", "closed", "late", 1, 100.0),
    ("fill", "closed", "late", 2, 30.0),
    ("fill", "closed", "live", 1, 58.0),
    ("fill", "executed", "backfill", 1, 27.0),
    ("fill", "executed", "late", 1, 337.0),
    ("fill", "executed", "live", 1, 27.0),
    ("lifetime", "accepted", "backfill", 1, 9.0),
    ("lifetime", "accepted", "late", 1, 9.0),
    ("lifetime", "accepted", "late", 1, 317.0),
    ("lifetime", "accepted", "live", 1, 9.0),
    ("lifetime", "replaced", "late", 2, 9.5),
    ("lifetime", "rfq_end", "late", 2, 20.0),
    ("lifetime", "rfq_end", "live", 1, 24.0),
    ("lifetime", "rfq_end", "live", 1, 56.0),
    ("ttfq", "quote", "backfill", 1, 1.0),
    ("ttfq", "quote", "late", 1, 1.0),
    ("ttfq", "quote", "late", 1, 3.0),
    ("ttfq", "quote", "late", 2, 0.5),
    ("ttfq", "quote", "live", 1, 1.0),
    ("ttfq", "quote", "live", 1, 2.0),
]


def test_an_event_is_in_the_bin_of_its_time(marts: duckdb.DuckDBPyConnection) -> None:
    """A bin ends at its `time_s`, which is later than what is in it by 2 % at most."""
    found = marts.execute(
        "select clock, cause, capture, n_legs, time_s from marts.survival_curves"
        " where n_events > 0 and cause <> 'ended' order by all"
    ).fetchall()

    assert [row[:-1] for row in found] == [row[:-1] for row in EVENTS]
    late = [row[-1] / event[-1] for row, event in zip(found, EVENTS, strict=True)]
    assert all(1 - 1e-9 <= each <= 1.02 for each in late)


def test_every_mart_is_worked_by_hand() -> None:
    assert {mart.__name__ for mart in MARTS} <= TABLES.keys()
