"""Two quotes of one RFQ executed: the one accepted first counts, whatever came first besides."""

from datetime import timedelta

import duckdb

from tests.metrics.markets import MIDNIGHT, at, followed, moment, quote, rfq
from tests.metrics.warehouse import Row, built
from transforms.metrics import evaluate
from transforms.metrics.objects import load_objects
from transforms.settings import Settings

AS_OF = MIDNIGHT + timedelta(hours=1)
THEIRS = {"rfq_creator_id": "stranger"}
# Accepted second and executed first.
FIRST = followed(quote("first", "r", 1, **THEIRS), accepted=10, confirmed=11, executed=40)
SECOND = followed(quote("second", "r", 2, **THEIRS), accepted=12, confirmed=13, executed=30)


def facts_of(first_read_s: float, second_read_s: float) -> Row:
    """The facts of somebody else's RFQ on which both of our quotes were executed."""
    quotes = [
        FIRST | {"observed_ts": at(first_read_s)},
        SECOND | {"observed_ts": at(second_read_s)},
    ]
    request = rfq("r", creator_id="stranger", observed_ts=at(20))
    with duckdb.connect() as connection:
        load_objects(connection, [request], quotes)
        rfqs, _ = built(connection, Settings(as_of=AS_OF, viewer_id="A"))
    return rfqs["r"]


def test_the_quote_accepted_first_is_the_winner() -> None:
    """The RFQ was over at the first execution, and the later one shows that it was not: 40 s."""
    row = facts_of(100, 100)

    assert (row["state"], row["n_executed_quotes"]) == ("executed", 2)
    assert (row["executed_ts"], row["time_to_fill_s"]) == (moment(at(40)), 40.0)
    assert (row["end_ts"], row["is_end_moved"]) == (moment(at(40)), True)


def test_an_rfq_is_decided_once_one_of_its_executions_was_read() -> None:
    late_s = timedelta(hours=2).total_seconds()

    assert facts_of(100, late_s)["is_decided"]
    assert facts_of(late_s, 100)["is_decided"]
    assert not facts_of(late_s, late_s)["is_decided"]


def test_fills_are_complete_by_the_execution_that_counts() -> None:
    """Both were filled whole: 100 of the 100 contracts of the first, and 200 in all."""
    quotes = [each | {"rfq_creator_id": "desk"} for each in (FIRST, SECOND)]
    fills = [{"quote_id": each["id"], "filled_contracts_fp": "100.00"} for each in quotes]

    found = evaluate([rfq("r")], quotes, AS_OF.isoformat(), fills=fills)

    assert (found["fill_completeness"], found["filled_contracts_from_fills"]) == (1.0, 200.0)
