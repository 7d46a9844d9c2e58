"""What a desk finds in the marts, worked by hand: why quotes lost, who answers, where RFQs died."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from tests.marts.roles import Row, columns, seen
from tests.metrics.markets import MIDNIGHT, ExchangeObject, closed_rfq, followed, quote, rfq
from transforms.settings import Settings

AS_DESK = Settings(as_of=MIDNIGHT + timedelta(seconds=2000), viewer_id="desk")
PASSES = (("received", 10), ("received", 1950))
DAY = date(2026, 5, 4)


def market() -> tuple[list[ExchangeObject], list[ExchangeObject]]:
    """One RFQ of ours for each bucket of a requester, with every way of losing on the first."""
    rfqs = [
        closed_rfq("executed_in_time", 0, 27),
        closed_rfq("executed_later", 0, 400),
        rfq("confirm_pending", 1900),
        rfq("stuck", 0),
        rfq("accept_pending", 1900),
        rfq("open", 0),
        rfq("vanished", 0),
        closed_rfq("failed", 0, 22),
        closed_rfq("lapsed", 0, 90),
        closed_rfq("abandoned", 0, 60),
        closed_rfq("quoted_after_end", 0, 20),
        closed_rfq("unquoted", 0, 60),
        closed_rfq("unwatched", 1000, 1060),
    ]
    quotes = [
        *losers("executed_in_time"),
        followed(quote("won", "executed_in_time", 1), accepted=10, confirmed=12, executed=27),
        followed(quote("e", "executed_later"), accepted=380, confirmed=385, executed=400),
        followed(quote("c", "confirm_pending", 1901), accepted=1985, confirmed=1990),
        followed(quote("s", "stuck"), accepted=5, confirmed=7),
        followed(quote("p", "accept_pending", 1901), accepted=1990),
        followed(quote("f", "failed"), accepted=5, confirmed=7, cancelled=22),
        followed(quote("l", "lapsed"), accepted=5),
        followed(quote("b", "abandoned"), cancelled=60),
        quote("q", "quoted_after_end", 25),
    ]
    return rfqs, quotes


def losers(rfq_id: str) -> list[ExchangeObject]:
    """One quote for each reason, against A's NO bid of 0.55 from 1 s on, accepted at 10 s."""
    return [
        no_bid("after_accept", rfq_id, "0.5600", 11),
        followed(no_bid("withdrawn", rfq_id, "0.5700", 2), cancelled=5),
        no_bid("replaced", rfq_id, "0.5400", 0.5, creator_id="A"),
        followed(no_bid("lapsed_first", rfq_id, "0.5800", 2), accepted=3),
        followed(no_bid("failed_first", rfq_id, "0.5300", 2), accepted=4, confirmed=5, cancelled=6),
        no_bid("unknown", rfq_id, "0.5900", 2),
        no_bid("crossed", rfq_id, "0.5500", 2, yes_bid_dollars="0.6000"),
        no_bid("no_bid_on_side", rfq_id, "0.0000", 2),
        no_bid("worse_price", rfq_id, "0.5000", 2),
        no_bid("tied", rfq_id, "0.5500", 2),
        no_bid("better_price", rfq_id, "0.5600", 2),
    ]


def no_bid(name: str, rfq_id: str, bid: str, created_s: float, **changes: Any) -> ExchangeObject:
    """A quote under that name, of the maker of that name, with a YES bid of 0.40."""
    return quote(name, rfq_id, created_s, **{"creator_id": name, "no_bid_dollars": bid} | changes)


@pytest.fixture(scope="module")
def marts() -> dict[str, list[Row]]:
    gone = [("rfqs", "vanished", 100.0), ("quotes", "unknown", 100.0)]
    return seen(*market(), AS_DESK, PASSES, gone)


def test_every_own_rfq_is_in_the_bucket_it_is_named_for(marts: dict[str, list[Row]]) -> None:
    buckets = {row["rfq_id"]: row["outcome_bucket"] for row in marts["rfq_facts"]}

    assert len(buckets) == 13
    assert buckets == {name: name for name in buckets}
    assert columns(marts["outcomes"], "role", "cohort_date", "bucket", "n_rfq") == [
        ("requester", DAY, bucket, 1) for bucket in sorted(buckets)
    ]


def test_every_quote_that_lost_has_the_reason_it_is_named_for(
    marts: dict[str, list[Row]],
) -> None:
    """By how many cents the winner's 0.55 beat its NO bid, whatever the reason."""
    lost = [row for row in marts["lost_quotes"] if row["rfq_id"] == "executed_in_time"]
    names = ("quote_id", "reason", "bid_dollars", "lost_by_cents")

    assert sorted(columns(lost, *names)) == [
        ("after_accept", "after_accept", 0.56, -1.0),
        ("better_price", "better_price", 0.56, -1.0),
        ("crossed", "crossed", 0.55, 0.0),
        ("failed_first", "failed_first", 0.53, 2.0),
        ("lapsed_first", "lapsed_first", 0.58, -3.0),
        ("no_bid_on_side", "no_bid_on_side", None, None),
        ("replaced", "replaced", 0.54, 1.0),
        ("tied", "tied", 0.55, 0.0),
        ("unknown", "unknown", 0.59, -4.0),
        ("withdrawn", "withdrawn", 0.57, -2.0),
        ("worse_price", "worse_price", 0.5, 5.0),
    ]
    assert {row["rfq_id"] for row in marts["lost_quotes"]} == {"executed_in_time"}


def test_a_lost_quote_names_the_winner_and_the_moment(marts: dict[str, list[Row]]) -> None:
    (tied,) = (row for row in marts["lost_quotes"] if row["quote_id"] == "tied")

    names = ("maker_id", "maker_id_won", "accepted_side", "winning_bid_dollars")
    assert columns([tied], *names) == [("tied", "A", "no", 0.55)]
    assert tied["winner_accepted_ts"] == MIDNIGHT + timedelta(seconds=10)


def test_a_desk_finds_nothing_made_for_a_maker(marts: dict[str, list[Row]]) -> None:
    assert marts["my_quotes"] == marts["my_day"] == []


@pytest.fixture(scope="module")
def odd() -> dict[str, list[Row]]:
    """Executed RFQs with something odd about the winner."""
    executed = {"accepted": 5.0, "confirmed": 7.0, "executed": 22.0}
    sideless = followed(quote("s1", "sideless"), **executed)
    del sideless["accepted_side"]
    undated = followed(quote("u1", "undated"), **executed)
    del undated["accepted_ts"], undated["confirmed_ts"]
    quotes = [
        # Two executions: B was accepted first, so A's lost to nobody and C's to B.
        followed(quote("t1", "twice"), **executed),
        followed(no_bid("B", "twice", "0.5600", 1), accepted=4, confirmed=6, executed=24),
        no_bid("C", "twice", "0.5000", 1),
        sideless,
        no_bid("s2", "sideless", "0.5000", 1),
        # An accept after the winner's: lapsed later, it had lost by its price before.
        followed(quote("l1", "lapsed after"), **executed),
        followed(no_bid("l2", "lapsed after", "0.5000", 1), accepted=9),
        # An accept that is still pending at 2000 s has not lost yet.
        followed(quote("p1", "pending", 1960), accepted=1970, confirmed=1972, executed=1987),
        followed(no_bid("p2", "pending", "0.5000", 1961), accepted=1980),
        # Only the execution is dated, so that no side is believed.
        undated,
        followed(no_bid("u2", "undated", "0.5000", 1), cancelled=22),
        # At the moment of the accept one quote came, and could be taken, and one was withdrawn.
        followed(quote("m1", "moment"), **executed),
        no_bid("m2", "moment", "0.5000", 5),
        followed(no_bid("m3", "moment", "0.5600", 1), cancelled=5),
        # The YES bid of 0.40 was hit.
        followed(quote("y1", "yes"), "yes", **executed),
        quote("y2", "yes", creator_id="B", yes_bid_dollars="0.3875"),
        # Without an execution nobody lost.
        followed(quote("n1", "nobody"), accepted=5),
        no_bid("n2", "nobody", "0.5000", 1),
    ]
    names = ("twice", "sideless", "lapsed after", "undated", "moment", "yes", "nobody")
    rfqs = [rfq(name) for name in names] + [rfq("pending", 1950)]
    return seen(rfqs, quotes, replace(AS_DESK, is_watched=True))


def test_odd_winners_leave_reasons_that_can_be_known(odd: dict[str, list[Row]]) -> None:
    names = ("rfq_id", "quote_id", "maker_id_won", "reason", "lost_by_cents")

    assert sorted(columns(odd["lost_quotes"], *names)) == [
        ("lapsed after", "l2", "A", "worse_price", 5.0),
        ("moment", "m2", "A", "worse_price", 5.0),
        ("moment", "m3", "A", "withdrawn", -1.0),
        ("sideless", "s2", "A", "unknown", None),
        ("twice", "C", "B", "worse_price", 6.0),
        ("undated", "u2", "A", "unknown", None),
        ("yes", "y2", "A", "worse_price", 1.25),
    ]


@pytest.fixture(scope="module")
def league() -> list[Row]:
    """Three RFQs of 100 contracts on rain, one of 500 on snow, and an accept whose RFQ is gone."""
    snow = {"market_ticker": "KXSNOW-26-NYC", "contracts_fp": "500.00"}
    rfqs = [*(closed_rfq(f"r{n}", 0, 60) for n in range(3)), closed_rfq("s", 0, 60, **snow)]
    executed = {"accepted": 5.0, "confirmed": 7.0, "executed": 22.0}
    quotes = [
        followed(quote("a0", "r0"), **executed),
        followed(quote("a1", "r1"), accepted=4),
        no_bid("B", "r0", "0.5300", 3),
        followed(
            no_bid("B", "r1", "0.5300", 3) | {"id": "b1"}, accepted=6, confirmed=7, executed=22
        ),
        no_bid("B", "r2", "0.5300", 3) | {"id": "b2"},
        no_bid("B", "s", "0.5300", 3) | {"id": "bs"},
        followed(no_bid("C", "gone", "0.5000", 3), accepted=9),
        quote("self", "r2", creator_id="desk"),
    ]
    return seen(rfqs, quotes, replace(AS_DESK, is_watched=True))["maker_league"]


def test_the_league_has_a_row_for_every_kind_of_the_day(league: list[Row]) -> None:
    """A answered two of three on rain and none on snow; C only shows an accept; desk itself."""
    rain, snow, gone = ("KXRAIN", 1), ("KXSNOW", 1), (None, None)
    names = ("maker_id", "series_ticker", "n_legs", "n_rfq", "n_rfq_quoted", "quoted_rate")

    assert columns(league, *names) == [
        ("A", *rain, 3, 2, 2 / 3),
        ("A", *snow, 1, 0, 0.0),
        ("B", *rain, 3, 3, 1.0),
        ("B", *snow, 1, 1, 1.0),
        ("C", *gone, 0, 0, None),
        ("desk", *rain, 0, 0, None),
    ]
    assert [row["n_rfq_self_quoted"] for row in league] == [0, 0, 0, 0, 0, 1]
    assert {row["size_bucket"] for row in league if row["series_ticker"] == "KXSNOW"} == {
        "500-1000 contracts"
    }


def test_the_league_compares_wins_prices_and_lapses(league: list[Row]) -> None:
    """A won r0 by 2 cents over B and lapsed on r1, which B won with no bid against it."""
    names = ("maker_id", "n_rfq_decided", "n_rfq_traded", "n_rfq_won", "hit_ratio_traded")
    more = ("n_rfq_won_at_best", "n_covered", "cover_distance_p50_dollars", "n_accepts")
    rain = [row for row in league if row["series_ticker"] == "KXRAIN"][:2]

    assert columns(rain, *names, *more, "lapse_rate", "executed_contracts") == [
        ("A", 2, 2, 1, 0.5, 1, 1, pytest.approx(0.02), 2, 0.5, 100.0),
        ("B", 3, 2, 1, 0.5, 1, 0, None, 1, 0.0, 100.0),
    ]
    assert columns(rain, "response_latency_p50_s", "quote_spread_p50_dollars") == [
        (1.0, pytest.approx(0.05)),
        (3.0, pytest.approx(0.07)),
    ]
    (c,) = (row for row in league if row["maker_id"] == "C")
    assert (c["capture"], c["n_accepts"], c["n_lapsed"]) == ("backfill", 1, 1)
