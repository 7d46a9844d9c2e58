"""Watched or not: `capture`, and which figures follow it."""

from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest

from tests.metrics.markets import MIDNIGHT, ExchangeObject, at, closed_rfq, followed, quote, rfq
from tests.metrics.warehouse import built
from transforms.build import build
from transforms.marts import MARTS
from transforms.metrics import evaluate
from transforms.metrics.objects import load_objects
from transforms.settings import Settings

AS_OF = MIDNIGHT + timedelta(hours=1)
LONG_AFTER = MIDNIGHT + timedelta(days=40)


def served(side: str, *seconds: float) -> list[dict[str, Any]]:
    return [{"side": side, "served_ts": at(second)} for second in seconds]


def capture_of(
    request: ExchangeObject, passes: list[dict[str, Any]], as_of: datetime = AS_OF
) -> str:
    metrics = evaluate([request], [], as_of, viewer_id="desk", passes=passes)
    captures: dict[str, str] = metrics["rfq_capture"]
    return captures["r1"]


@pytest.mark.parametrize(
    ("passes", "capture"),
    [
        (served("received", 5), "live"),
        (served("received", 4.999999), "late"),
        (served("received", 29), "live"),
        (served("received", 30), "late"),  # may have been served up to 31 s, and it ended at 30.5
        (served("made", 10), "late"),
        (served("received", 2, 40), "late"),
        ([], "late"),
    ],
)
def test_own_rfqs_are_live_by_a_pass_over_what_we_received(
    passes: list[dict[str, Any]], capture: str
) -> None:
    own = closed_rfq("r1", 0, 30.5, observed_ts=at(1800))

    assert capture_of(own, passes) == capture


@pytest.mark.parametrize(("days", "capture"), [(7, "late"), (8, "backfill")])
def test_what_nobody_watched_is_late_within_the_retention_of_its_end(
    days: int, capture: str
) -> None:
    """It lived for a day, and is kept for seven more."""
    own = closed_rfq("r1", 0, 86_400, observed_ts=at((days + 1) * 86_400))

    assert capture_of(own, [], LONG_AFTER) == capture


@pytest.mark.parametrize(
    ("seen_s", "end_s", "capture"),
    [
        (20, None, "live"),
        (19, None, "late"),
        (20, 21, "live"),
        (20, 20.9, "late"),
        (19, 60, "late"),  # we won it and know that it lived, yet it was not seen open
    ],
)
def test_rfqs_of_others_are_live_where_they_were_seen_open_after_the_pass(
    seen_s: float, end_s: float | None, capture: str
) -> None:
    stranger = rfq("r1", creator_id="stranger", observed_ts=at(seen_s))
    del stranger["updated_ts"]
    won = [] if end_s is None else [{"accepted": 6, "confirmed": 7, "executed": end_s}]
    quotes = [
        followed(quote("q1", "r1", rfq_creator_id="stranger", observed_ts=at(100)), **stages)
        for stages in won
    ]

    metrics = evaluate([stranger], quotes, AS_OF, viewer_id="A", passes=served("made", 20))

    assert metrics["rfq_capture"] == {"r1": capture}


def test_a_pass_after_the_moment_that_is_shown_counts_as_served_then() -> None:
    own = rfq("r1", 3590, observed_ts=at(3602))

    assert capture_of(own, served("received", 3601)) == "live"
    assert capture_of({**own, "created_ts": at(3596)}, served("received", 3601)) == "late"


def test_fill_rates_are_of_live_and_late_and_the_backfill_stands_beside() -> None:
    """r1 live and unfilled, r2 executed and first read 30 days later: 0 of 1."""
    r1 = closed_rfq("r1", 30 * 86_400, 30 * 86_400 + 60, observed_ts=at(30 * 86_400 + 70))
    r2 = rfq("r2", 0, status="closed", updated_ts=at(22), observed_ts=at(30 * 86_400 + 70))
    won = followed(quote("q2", "r2", 1), accepted=5, confirmed=7, executed=22)
    passes = served("received", 30 * 86_400 + 30)

    metrics = evaluate([r1, r2], [won], LONG_AFTER, passes=passes)
    with duckdb.connect() as connection:
        load_objects(connection, [r1, r2], [won], passes)
        build(connection, MARTS, Settings(as_of=LONG_AFTER))
        rates = connection.execute(
            "select capture, sum(fill_rate_matured_numerator), sum(fill_rate_matured_denominator)"
            " from marts.fill_rates group by 1 order by 1"
        ).fetchall()
        fills = connection.execute(
            "select capture, cause, n_events from marts.survival_curves"
            " where clock = 'fill' and n_events > 0 order by 1"
        ).fetchall()

    assert metrics["rfq_capture"] == {"r1": "live", "r2": "backfill"}
    assert (metrics["fill_rate_matured"], metrics["cif_fill"]) == (0.0, 0.0)
    assert (metrics["n_executions"], metrics["confirm_rate"]) == (1, 1.0)
    assert rates == [("backfill", 1, 1), ("live", 0, 1)]
    assert fills == [("backfill", "executed", 1), ("live", "closed", 1)]


def test_quote_figures_are_of_what_was_watched() -> None:
    """The answer on r2 vanished with it: nobody watched, so it is no RFQ without an answer."""
    rfqs = [closed_rfq(f"r{n}", 100 * n, 100 * n + 60, observed_ts=at(900)) for n in (1, 2)]
    answer = quote("q1", "r1", 103, observed_ts=at(120))

    metrics = evaluate(rfqs, [answer], AS_OF, passes=served("received", 120))

    assert metrics["rfq_capture"] == {"r1": "live", "r2": "late"}
    assert (metrics["response_rate_all"], metrics["response_rate_5s"]) == (1.0, 1.0)
    assert metrics["fill_rate_all"] == 0.0
    assert metrics["hit_ratio_by_maker"] == {"A": 0.0}


def test_a_response_dated_before_its_rfq_is_within_5_s() -> None:
    early = quote("q1", "r1", -3)
    late = quote("q2", "r1", 20, creator_id="B")

    metrics = evaluate([rfq("r1")], [early, late], AS_OF)

    assert metrics["response_rate_5s"] == 1.0
    assert metrics["response_rate_matured"] == 1.0


def test_a_pass_that_is_served_later_moves_what_it_watched() -> None:
    """Two builds, the second with one more pass, equal one build of both."""
    own = closed_rfq("r1", 0, 3700, observed_ts=at(3590))
    open_own = own | {"status": "open", "updated_ts": at(0)}
    del open_own["cancelled_ts"]
    with duckdb.connect() as connection:
        load_objects(connection, [open_own], [])
        connection.execute("insert into raw.passes values ('received', $1, 1)", [at(3)])
        early, _ = built(connection, Settings(as_of=AS_OF))
        connection.execute("insert into raw.passes values ('received', $1, 2)", [at(3595)])

        later, _ = built(connection, Settings(as_of=AS_OF))

    assert [rows["r1"]["capture"] for rows in (early, later)] == ["late", "live"]


@pytest.mark.parametrize(
    ("argument", "objects", "named"),
    [
        ("passes", [{"side": "both", "served_ts": at(1)}], r"passes\[0\]: side was 'both'"),
        ("passes", [{"served_ts": at(1)}], r"passes\[0\]: side was None"),
        ("passes", [{"side": "made", "served_ts": "soon"}], r"passes\[0\]: served_ts was 'soon'"),
        ("passes", [{"side": "made"}], r"passes\[0\]: served_ts was None"),
        ("rfqs", [rfq("r1"), rfq("r2", observed_ts="x")], r"rfqs\[1\]: observed_ts was 'x'"),
        ("quotes", [quote("q1", "r1", observed_ts=5)], r"quotes\[0\]: observed_ts was 5"),
    ],
)
def test_what_cannot_be_a_pass_or_a_sight_is_refused_by_name(
    argument: str, objects: list[dict[str, Any]], named: str
) -> None:
    given: dict[str, Any] = {"rfqs": [], "quotes": [], "as_of": AS_OF, argument: objects}

    with pytest.raises(ValueError, match=named):
        evaluate(**given)
