"""What a maker finds in the marts, worked by hand: its quotes, its day, where the RFQs died."""

from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

from tests.marts.roles import TABLES, Row, columns, seen
from tests.metrics.markets import MIDNIGHT, ExchangeObject, at, closed_rfq, followed, quote, rfq
from transforms.build import build
from transforms.metrics.objects import load_objects
from transforms.settings import Settings

AS_OF_S = 2000
AS_MAKER = Settings(as_of=MIDNIGHT + timedelta(seconds=AS_OF_S), viewer_id="A")
PASSES = (("made", 10), ("made", 1950))
DAY = date(2026, 5, 4)
SMALL, LARGE = "100-500 contracts", "500-1000 contracts"
LEGS = [{"market_ticker": f"KXLEG-{leg}", "side": "yes"} for leg in range(3)]


def market() -> tuple[list[ExchangeObject], list[ExchangeObject]]:
    """One RFQ of a stranger for each bucket of a maker, with A's quotes on it."""
    rfqs = [
        closed_rfq("executed", 0, 22),
        rfq("confirm_pending", 1900),
        rfq("stuck", 0),
        rfq("accept_pending", 1900),
        closed_rfq("failed", 0, 22),
        closed_rfq("lapsed", 0, 90, contracts_fp="500.00"),
        closed_rfq("withdrawn", 0, 60, mve_collection_ticker="KXMVE-R", mve_selected_legs=LEGS),
        rfq("open", 0),
        closed_rfq("closed_unknown", 0, 60, market_ticker="KXSNOW-26-NYC"),
        closed_rfq("quoted_after_end", 0, 20),
        closed_rfq("not_quoted", 0, 60),
        closed_rfq("unwatched", 1000, 1060),
    ]
    quotes = [
        followed(mine("executed", 1), accepted=5, confirmed=7, executed=22),
        followed(mine("confirm_pending", 1901), accepted=1985, confirmed=1990),
        followed(mine("stuck", 1), accepted=5, confirmed=7),
        followed(mine("accept_pending", 1901), accepted=1990),
        followed(mine("failed", 0.3), accepted=5, confirmed=7, cancelled=22),
        followed(mine("lapsed", 4), "yes", accepted=5),
        mine("withdrawn", 1) | {"id": "withdrawn 1"},
        followed(mine("withdrawn", 6, yes_bid_dollars="0.4200"), cancelled=8),
        mine("open", 1),
        followed(mine("closed_unknown", 40), cancelled=60),
        mine("quoted_after_end", 25),
    ]
    return [each | {"creator_id": "stranger"} for each in rfqs], quotes


def mine(name: str, created_s: float, **changes: Any) -> ExchangeObject:
    """A's quote of 0.40 for YES and 0.55 for NO on the RFQ of that name, under the same id."""
    return quote(name, name, created_s, rfq_creator_id="stranger", **changes)


@pytest.fixture(scope="module")
def marts() -> dict[str, list[Row]]:
    return seen(*market(), AS_MAKER, PASSES)


def test_every_rfq_of_others_is_in_the_bucket_it_is_named_for(marts: dict[str, list[Row]]) -> None:
    buckets = {row["rfq_id"]: row["outcome_bucket"] for row in marts["rfq_facts"]}

    assert len(buckets) == 12
    assert buckets == {name: name for name in buckets}
    assert columns(marts["outcomes"], "role", "cohort_date", "bucket", "n_rfq") == [
        ("maker", DAY, bucket, 1) for bucket in sorted(buckets)
    ]


def test_each_quote_has_its_latency_its_price_and_its_fate(marts: dict[str, list[Row]]) -> None:
    """Latency of first versions alone; the age of the RFQ and both bids of all."""
    names = ("quote_id", "response_latency_s", "rfq_age_s", "yes_bid_dollars", "no_bid_dollars")
    names += ("outcome", "end_cause")
    unknown, accepted = "not_done_unknown", "accepted"

    assert columns(marts["my_quotes"], *names) == [
        ("accept_pending", 1.0, 1.0, 0.4, 0.55, "pending", accepted),
        ("closed_unknown", 40.0, 40.0, 0.4, 0.55, unknown, "rfq_end"),
        ("confirm_pending", 1.0, 1.0, 0.4, 0.55, "pending", accepted),
        ("executed", 1.0, 1.0, 0.4, 0.55, "done", accepted),
        ("failed", 0.3, 0.3, 0.4, 0.55, "failed", accepted),
        ("lapsed", 4.0, 4.0, 0.4, 0.55, "lapsed", accepted),
        ("open", 1.0, 1.0, 0.4, 0.55, "live", None),
        ("quoted_after_end", None, 25.0, 0.4, 0.55, None, "rfq_end"),
        ("stuck", 1.0, 1.0, 0.4, 0.55, "pending", accepted),
        ("withdrawn 1", 1.0, 1.0, 0.4, 0.55, "replaced", "replaced"),
        ("withdrawn", None, 6.0, 0.42, 0.55, "withdrawn", "withdrawn"),
    ]


def test_first_versions_alone_have_a_bucket_of_latency(marts: dict[str, list[Row]]) -> None:
    buckets = dict(columns(marts["my_quotes"], "quote_id", "latency_bucket"))

    assert (buckets["executed"], buckets["failed"]) == ("1-2 s", "under 0.5 s")
    assert (buckets["closed_unknown"], buckets["lapsed"]) == ("30 s or more", "2-5 s")
    assert (buckets["withdrawn 1"], buckets["withdrawn"]) == ("1-2 s", None)


def test_a_quote_says_what_it_was_accepted_and_executed_at(marts: dict[str, list[Row]]) -> None:
    """The NO bid of 0.55 is hit for 100 contracts: A pays $55. The lapsed one was hit at YES."""
    names = ("quote_id", "accepted_side", "accepted_bid_dollars", "executed_contracts")
    accepted = [row for row in marts["my_quotes"] if row["accepted_ts"]]

    assert columns(accepted, *names, "executed_cost_dollars") == [
        ("accept_pending", "no", 0.55, None, None),
        ("confirm_pending", "no", 0.55, None, None),
        ("executed", "no", 0.55, 100.0, 55.0),
        ("failed", "no", 0.55, None, None),
        ("lapsed", "yes", 0.4, None, None),
        ("stuck", "no", 0.55, None, None),
    ]


def test_the_day_counts_what_was_seen_quoted_won_and_lost_on_the_way(
    marts: dict[str, list[Row]],
) -> None:
    """Of eleven watched RFQs nine were quoted; of these five are over, and one was won."""
    late, live = marts["my_day"]
    counts = ("n_rfq_seen", "n_rfq_quoted", "n_rfq_decided", "n_rfq_won", "n_rfq_withdrawn")
    last_look = ("n_accepts", "n_accepts_pending", "n_accepts_matured", "n_lapsed")

    assert columns([late, live], "cohort_date", "capture", *counts) == [
        (DAY, "late", 1, 0, 0, 0, 0),
        (DAY, "live", 11, 9, 5, 1, 1),
    ]
    assert columns([live], *last_look, "n_executions", "executed_contracts") == [
        (6, 1, 5, 1, 1, 100.0)
    ]
    assert columns([live], "quoted_rate", "hit_ratio", "lapse_rate") == [(9 / 11, 1 / 5, 1 / 5)]
    assert columns([late], "quoted_rate", "hit_ratio", "lapse_rate") == [(0.0, None, None)]
    assert columns([live], "response_latency_p50_s", "n_response_latency") == [(1.0, 9)]


def test_the_hit_ratio_is_cut_by_size_series_legs_and_latency(
    marts: dict[str, list[Row]],
) -> None:
    (live,) = (row for row in marts["my_day"] if row["capture"] == "live")

    def cut(by: str, column: str) -> list[tuple[Any, ...]]:
        return columns(live[f"hit_ratio_by_{by}"], column, "n_decided", "n_won", "hit_ratio")

    assert cut("size", "size_bucket") == [(SMALL, 4, 1, 0.25), (LARGE, 1, 0, 0.0)]
    assert cut("series", "series_ticker") == [("KXRAIN", 4, 1, 0.25), ("KXSNOW", 1, 0, 0.0)]
    assert cut("legs", "n_legs") == [(1, 4, 1, 0.25), (3, 1, 0, 0.0)]
    assert cut("latency", "latency_bucket") == [
        ("1-2 s", 2, 1, 0.5),
        ("2-5 s", 1, 0, 0.0),
        ("30 s or more", 1, 0, 0.0),
        ("under 0.5 s", 1, 0, 0.0),
    ]


def test_a_maker_finds_nothing_made_for_a_desk(marts: dict[str, list[Row]]) -> None:
    assert marts["lost_quotes"] == marts["maker_league"] == []


def test_where_only_own_rfqs_are_read_no_share_of_the_market_is_claimed() -> None:
    """Nor is one left over from a build in the other scope, on a day that nothing else touches."""
    over = closed_rfq("r1", 0, 60, creator_id="stranger")
    rates = "select n_rfq_seen, quoted_rate from marts.my_day"
    shown = []
    with duckdb.connect() as connection:
        load_objects(connection, [over], [mine("r1", 1)])
        for scope in ("market", "self"):
            settings = Settings(as_of=AS_MAKER.as_of, viewer_id="A", scope=scope)
            build(connection, TABLES, settings)
            shown += connection.execute(rates).fetchall()

    assert shown == [(1, 1.0), (1, None)]


@pytest.fixture(scope="module")
def odd() -> dict[str, list[Row]]:
    """RFQs with something odd about each, and quotes of which the RFQ is gone."""
    rfqs = [
        closed_rfq("target", 0, 22, creator_id="stranger", target_cost_dollars="25.000000"),
        closed_rfq("own", 0, 60, creator_id="A"),
        closed_rfq("blank", 0, 60, creator_id="stranger"),
        closed_rfq("sideless", 0, 22, creator_id="stranger"),
        rfq("again", 0, status="closed", updated_ts=at(80), creator_id="stranger"),
        rfq("read late", 0, creator_id="stranger", observed_ts=at(2)),
    ]
    executed = {"accepted": 5.0, "confirmed": 7.0, "executed": 22.0}
    sideless = followed(mine("sideless", 1), **executed)
    del sideless["accepted_side"]
    quotes = [
        followed(mine("target", 1, contracts_fp="0.00"), **executed),
        quote("own", "own", rfq_creator_id="A"),
        mine("blank", 1, yes_bid_dollars="0.0000", no_bid_dollars="0.0000"),
        sideless,
        followed(mine("again", 1) | {"id": "first"}, accepted=5),
        followed(mine("again", 40), accepted=60, confirmed=61, executed=80),
        followed(mine("read late", 1, observed_ts=at(AS_OF_S + 1)), **executed),
        followed(mine("gone", 1), **executed),
        followed(mine("gone too", 1), cancelled=9),
    ]
    return seen(rfqs, quotes, AS_MAKER, PASSES)


def of(rfq_id: str, rows: list[Row], *names: str) -> list[tuple[Any, ...]]:
    return columns([row for row in rows if row["rfq_id"] == rfq_id], *names)


def test_what_the_exchange_forgot_of_an_rfq_is_told_by_the_quote_itself(
    odd: dict[str, list[Row]],
) -> None:
    """Executed on an RFQ that is gone; of the cancelled one nobody knows when its RFQ ended."""
    names = ("is_orphan", "rfq_age_s", "outcome", "executed_cost_dollars", "capture")
    assert of("gone", odd["my_quotes"], *names) == [(True, None, "done", 55.0, "backfill")]
    assert of("gone too", odd["my_quotes"], *names) == [
        (True, None, "not_done_unknown", None, None)
    ]
    counts = ("capture", "n_rfq_seen", "n_rfq_won", "n_executions", "hit_ratio")
    assert columns(odd["my_day"], *counts) == [
        ("backfill", 0, 0, 1, None),
        # Read after the moment that is shown: executed, and not yet counted as decided or won.
        ("late", 1, 0, 1, None),
        ("live", 4, 3, 3, 1.0),
    ]


def test_a_target_cost_rfq_shows_its_dollars_and_what_they_bought(
    odd: dict[str, list[Row]],
) -> None:
    """$25 at 0.45 and its fee of 0.017325 buy floor(25 / 0.467325) = 53.49, paid 0.55 each."""
    names = ("contracts", "target_cost_dollars", "executed_contracts", "executed_cost_dollars")
    assert of("target", odd["my_quotes"], *names) == [(None, 25.0, 53.49, 29.4195)]


def test_a_quote_on_ones_own_rfq_is_no_makers_quote(odd: dict[str, list[Row]]) -> None:
    assert of("own", odd["my_quotes"], "quote_id") == []
    assert of("own", odd["rfq_facts"], "outcome_bucket") == [("abandoned",)]


def test_a_bid_for_neither_side_is_no_answer(odd: dict[str, list[Row]]) -> None:
    assert of("blank", odd["my_quotes"], "outcome", "quote_spread") == [(None, None)]
    assert of("blank", odd["rfq_facts"], "outcome_bucket") == [("not_quoted",)]


def test_an_accept_without_a_side_has_no_price(odd: dict[str, list[Row]]) -> None:
    names = ("outcome", "accepted_bid_dollars", "executed_contracts", "executed_cost_dollars")
    assert of("sideless", odd["my_quotes"], *names) == [("done", None, None, None)]


def test_a_lapse_that_was_followed_by_an_execution_is_an_execution(
    odd: dict[str, list[Row]],
) -> None:
    """A's first version lapsed; it quoted again, and that was executed."""
    assert of("again", odd["rfq_facts"], "outcome_bucket") == [("executed",)]
    assert of("again", odd["my_quotes"], "quote_id", "outcome") == [
        ("first", "lapsed"),
        ("again", "done"),
    ]
