"""Accepted quotes whose RFQ the exchange no longer knows: they count by their own fields."""

from datetime import timedelta

import duckdb

from tests.metrics.markets import MIDNIGHT, closed_rfq, followed, quote
from transforms.build import build
from transforms.marts import MARTS
from transforms.metrics import evaluate
from transforms.metrics.objects import load_objects
from transforms.settings import Settings

AS_OF = MIDNIGHT + timedelta(hours=1)
HELD = closed_rfq("held", 0, 30)
QUOTES = [
    quote("open", "held", 1),
    followed(quote("filled", "gone 1", 1, creator_id="B"), accepted=5, confirmed=7, executed=22.5),
    followed(quote("lapsed", "gone 2", 1, creator_id="B"), "yes", accepted=5),
    followed(quote("unaccepted", "gone 3", 1, creator_id="C"), cancelled=9),
]


def test_they_are_in_accepts_and_money_and_in_no_rate_over_rfqs() -> None:
    metrics = evaluate([HELD], QUOTES, AS_OF, viewer_id="desk")

    assert (metrics["n_rfq"], metrics["n_quotes_raw"], metrics["n_quote_rows"]) == (1, 1, 4)
    assert (metrics["n_accepts"], metrics["n_executions"], metrics["n_lapsed"]) == (2, 1, 1)
    assert metrics["lapse_rate_by_maker"] == {"B": 0.5}
    assert metrics["confirm_latency_s"] == {"filled": 2.0}
    assert metrics["exec_excess_s"] == {"filled": 0.5}
    assert metrics["executed_premium_requester_dollars"] == 45.0
    assert metrics["hhi_executed_contracts"] == 1.0
    assert (metrics["fill_rate_all"], metrics["response_rate_all"]) == (0.0, 1.0)
    assert metrics["hit_ratio_by_maker"] == {"A": 0.0}
    assert metrics["executed_contracts"] == {}


def test_those_of_other_requesters_are_no_execution_of_ours() -> None:
    metrics = evaluate([], QUOTES, AS_OF, viewer_id="B")

    assert (metrics["n_accepts"], metrics["n_executions"], metrics["my_hit_ratio"]) == (0, 0, None)


def test_the_summaries_hold_them_as_backfill_under_the_day_of_the_quote() -> None:
    with duckdb.connect() as connection:
        load_objects(connection, [HELD], QUOTES)
        build(connection, MARTS, Settings(as_of=AS_OF, viewer_id="desk"))

        makers = connection.execute(
            "select cohort_date, capture, n_accepts, n_lapsed, n_executions, executed_contracts,"
            " n_rfq_quoted from marts.makers where maker_id = 'B'"
        ).fetchall()
        clocks = connection.execute(
            "select clock, capture, n_legs, n, n_competing from marts.response_latencies"
            " where maker_id = 'B' order by 1"
        ).fetchall()
        lapses = connection.execute(
            "select sum(n_events) from marts.survival_curves where cause = 'lapsed'"
        ).fetchall()

    assert makers == [(MIDNIGHT.date(), "backfill", 2, 1, 1, 100, None)]
    assert clocks == [("confirm", "backfill", None, 1, 1), ("execute", "backfill", None, 1, 0)]
    assert lapses == [(1,)]
