"""A quote that came after its RFQ's end: whether it was accepted decides, in every table alike.

The golden cases of the same name say it for `evaluate`.
"""

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from tests.metrics.markets import at, closed_rfq, followed, moment, quote
from transforms.build import build
from transforms.catalogue import describe
from transforms.marts import MARTS
from transforms.metrics.objects import load_objects
from transforms.settings import Settings

LATE = quote("q", "r", 30)
HALVES = {
    "accepted": followed(LATE, accepted=35),
    "not accepted": followed(LATE, cancelled=40),
}
AS_OF = moment(at(600))
# What each table says where the late quote was accepted, and where it was not.
TABLES: list[tuple[str, list[Any], list[Any]]] = [
    (
        "select end_ts, is_end_moved, state, outcome_bucket, n_makers, time_to_first_quote_s,"
        " time_to_accept_s, has_accept, lifetime_bucket from marts.rfq_facts",
        [
            (moment(at(35)), True, "closed_unfilled", "lapsed", 1, 30.0, 35.0, True, "20-60 s"),
        ],
        [
            (
                *(moment(at(20)), False, "closed_unfilled", "quoted_after_end"),
                *(0, None, None, False, "20-60 s"),
            )
        ],
    ),
    (
        "select is_after_close, is_valid_response, version, outcome, is_lapsed"
        " from marts.quote_facts",
        [(False, True, 1, "lapsed", True)],
        [(True, False, None, None, False)],
    ),
    (
        "select n_rfq, n_quoted, n_accepted, n_confirmed, n_executed from marts.funnel",
        [(1, 1, 1, 0, 0)],
        [(1, 0, 0, 0, 0)],
    ),
    (
        "select cause, n_events, n_competing from marts.survival_curves"
        " where clock = 'ttfq' order by cause",
        [("closed_unquoted", 0, 1), ("quote", 1, 0)],
        [("closed_unquoted", 1, 0), ("quote", 0, 1)],
    ),
    (
        "select clock, n, n_competing from marts.response_latencies order by clock",
        [("accept", 1, 0), ("confirm", 0, 1), ("first_quote", 1, 0), ("response", 1, None)],
        [("accept", 0, 1), ("first_quote", 0, 1)],
    ),
    ("select bucket, n_rfq from marts.outcomes", [("lapsed", 1)], [("quoted_after_end", 1)]),
    (
        "select n_answered, n_answered_5s, n_answered_ended, n_abandoned from marts.watched_by_day",
        [(1, 0, 1, 0)],
        [(0, 0, 0, 0)],
    ),
    ("select n_rfq_quoted, n_accepts, n_lapsed from marts.makers", [(1, 1, 1)], []),
    (
        "select n_quotes, n_composite from marts.quote_spreads order by n_quotes",
        [(1, None), (None, 1)],
        [(None, 0)],
    ),
    (
        "select check_name, count from marts.data_quality"
        " where check_name in ('act_after_end', 'quote_after_close') order by check_name",
        [("act_after_end", 1), ("quote_after_close", 0)],
        [("act_after_end", 0), ("quote_after_close", 1)],
    ),
]


@pytest.fixture(scope="module")
def built() -> Iterator[dict[str, duckdb.DuckDBPyConnection]]:
    """The marts of either half: an RFQ that was cancelled at 20 s, its only quote of 30 s."""
    connections = {half: duckdb.connect() for half in HALVES}
    for half, connection in connections.items():
        load_objects(connection, [closed_rfq("r", 0, 20)], [HALVES[half]])
        build(connection, MARTS, Settings(AS_OF, "desk", is_watched=True))
        describe(connection)
    yield connections
    for connection in connections.values():
        connection.close()


@pytest.mark.parametrize(
    ("query", "accepted", "not_accepted"),
    TABLES,
    ids=[query.split("marts.")[1].split()[0] for query, *_ in TABLES],
)
def test_an_accept_proves_that_the_rfq_was_alive(
    built: dict[str, duckdb.DuckDBPyConnection],
    query: str,
    accepted: list[Any],
    not_accepted: list[Any],
) -> None:
    found = {half: connection.execute(query).fetchall() for half, connection in built.items()}

    assert found == {"accepted": accepted, "not accepted": not_accepted}
