"""Timers: last look, execution, expiry, retention. They run when somebody looks, at their time."""

from __future__ import annotations

import pytest

from pipelines.sandbox import Behavior, Refused
from pipelines.sandbox.listing_pages import QuoteFilters

COMBO = "KXMVECROSSCATEGORY-S2026ABCDEF0123-0123456789A"
SINGLE = "KXNBAGAME-26NOV21BOSMIA-BOS"
DAY_S = 86_400


@pytest.fixture(params=[SINGLE, COMBO], ids=["single", "combo"])
def ticker(request):
    return request.param


@pytest.fixture
def desk(market):
    return market.account("desk")


@pytest.fixture
def maker(market):
    return market.account("maker")


def window_s(ticker: str) -> float:
    return 3 if ticker == COMBO else 30


def delay_s(ticker: str) -> float:
    return 1 if ticker == COMBO else 15


def quoted(market, ticker=SINGLE, **bids):
    rfq_id = market.create_rfq(market.account("desk"), market_ticker=ticker, contracts=1)
    bids = {"yes_bid": "0.48", "no_bid": "0.48"} | bids
    return rfq_id, market.create_quote(market.account("maker"), rfq_id=rfq_id, **bids)


def test_a_confirm_at_the_end_of_the_window_executes(market, clock, desk, maker, ticker):
    rfq_id, quote_id = quoted(market, ticker)
    market.accept_quote(desk, quote_id, "yes")
    clock.advance(window_s(ticker))

    market.confirm_quote(maker, quote_id)
    clock.advance(delay_s(ticker) - 0.000001)
    before = market.get_quote(maker, quote_id)["status"]
    clock.advance(0.000001)

    assert before == "confirmed"
    assert market.get_quote(maker, quote_id)["status"] == "executed"
    assert market.get_rfq(desk, rfq_id)["status"] == "closed"


def test_a_lapsed_accept_stays_accepted_and_its_confirm_is_expired(market, clock, desk, ticker):
    _, quote_id = quoted(market, ticker)
    market.accept_quote(desk, quote_id, "yes")
    accepted = market.get_quote(desk, quote_id)
    clock.advance(window_s(ticker) + 0.000001)

    with pytest.raises(Refused) as refused:
        market.confirm_quote(market.account("maker"), quote_id)

    assert (refused.value.status, refused.value.code) == (400, "expired")
    clock.advance(30 * DAY_S)
    assert market.get_quote(desk, quote_id) == accepted


def test_a_quote_cannot_be_deleted_once_accepted(market, desk, maker):
    _, quote_id = quoted(market)
    market.accept_quote(desk, quote_id, "yes")

    with pytest.raises(Refused, match="404 not_found"):
        market.delete_quote(maker, quote_id)


def test_what_is_over_cannot_be_accepted(market, clock, desk, maker):
    """A quote that its maker took back, and one that lapsed, on an RFQ that is open."""
    _, taken_back = quoted(market)
    market.delete_quote(maker, taken_back)
    _, lapsed = quoted(market, COMBO)
    market.accept_quote(desk, lapsed, "yes")
    clock.advance(60)
    for quote_id in (taken_back, lapsed):
        with pytest.raises(Refused, match="404 not_found"):
            market.accept_quote(desk, quote_id, "yes")


def test_a_side_that_is_not_offered_cannot_be_accepted(market, desk):
    _, quote_id = quoted(market, yes_bid="0")

    with pytest.raises(Refused, match="400 invalid_parameters"):
        market.accept_quote(desk, quote_id, "yes")


def test_one_accept_at_a_time_and_another_after_the_lapse(market, clock, desk):
    rfq_id, first = quoted(market)
    second = market.create_quote(
        market.account("stranger"), rfq_id=rfq_id, yes_bid="0.1", no_bid="0.1"
    )
    market.accept_quote(desk, first, "yes")

    with pytest.raises(Refused, match="409"):
        market.accept_quote(desk, second, "yes")
    clock.advance(31)
    market.accept_quote(desk, second, "yes")

    statuses = [market.get_quote(desk, quote)["status"] for quote in (first, second)]
    assert statuses == ["accepted", "accepted"]


def test_a_requote_cancels_the_makers_older_quote_on_the_rfq(market, clock, maker):
    rfq_id, older = quoted(market)
    clock.advance(2)

    newer = market.create_quote(maker, rfq_id=rfq_id, yes_bid="0.49", no_bid="0.49")

    old_row, new_row = market.get_quote(maker, older), market.get_quote(maker, newer)
    assert (old_row["status"], new_row["status"]) == ("cancelled", "open")
    assert old_row["cancelled_ts"] == new_row["created_ts"]


def test_a_requote_on_the_market_cancels_quotes_on_its_other_rfqs(market, maker):
    market.behavior = Behavior(requote_replaces="market")
    _, older = quoted(market)
    rival = market.create_rfq(market.account("stranger"), market_ticker=SINGLE, contracts=1)

    market.create_quote(maker, rfq_id=rival, yes_bid="0.49", no_bid="0.49")

    assert market.get_quote(maker, older)["status"] == "cancelled"


def test_a_failed_execution_is_cancelled_and_the_rfq_stays_open(market, clock, desk, maker):
    market.faults.failing_executions = 1
    rfq_id, quote_id = quoted(market)
    market.accept_quote(desk, quote_id, "no")
    market.confirm_quote(maker, quote_id)

    clock.advance(15)

    row = market.get_quote(desk, quote_id)
    assert (row["status"], row["cancellation_reason"]) == ("cancelled", "execution failed")
    assert row["cancelled_ts"] == row["updated_ts"] > row["confirmed_ts"]
    assert "executed_ts" not in row
    assert market.get_rfq(desk, rfq_id)["status"] == "open"


def test_an_rfq_expires_at_three_hours_sharp_however_late_we_look(market, clock, desk):
    rfq_id, quote_id = quoted(market)
    clock.advance(3 * 3600 - 1)
    still = market.get_rfq(desk, rfq_id)["status"]

    clock.advance(DAY_S)

    row = market.get_rfq(desk, rfq_id)
    assert still == "open"
    assert (row["status"], row["updated_ts"]) == ("closed", "2026-11-20T15:00:00Z")
    assert "cancelled_ts" not in row
    quote = market.get_quote(desk, quote_id)
    assert (quote["status"], quote["cancelled_ts"]) == ("cancelled", "2026-11-20T15:00:00Z")


def test_closed_rfqs_and_cancelled_quotes_are_purged_after_seven_days(market, clock, desk, maker):
    rfq_id, quote_id = quoted(market)
    market.delete_quote(maker, quote_id)
    market.delete_rfq(desk, rfq_id)
    clock.advance(7 * DAY_S - 1)
    kept = market.get_rfq(desk, rfq_id), market.get_quote(desk, quote_id)

    clock.advance(1)

    assert [row["status"] for row in kept] == ["closed", "cancelled"]
    for purged in (lambda: market.get_rfq(desk, rfq_id), lambda: market.get_quote(desk, quote_id)):
        with pytest.raises(Refused, match="404"):
            purged()
    assert market.get_rfqs(desk).rows == []
    assert market.get_quotes(desk, QuoteFilters(requester=desk.user_id)).rows == []


def test_executed_quotes_outlive_the_retention(market, clock, desk, maker):
    _, quote_id = quoted(market)
    market.accept_quote(desk, quote_id, "yes")
    market.confirm_quote(maker, quote_id)

    clock.advance(60 * DAY_S)

    listed = market.get_quotes(desk, QuoteFilters(requester=desk.user_id)).rows
    assert [(row["id"], row["status"]) for row in listed] == [(quote_id, "executed")]
    assert market.get_rfqs(desk).rows == []


def test_a_confirmed_quote_executes_although_its_rfq_cannot_be_deleted(market, desk, maker):
    rfq_id, quote_id = quoted(market)
    market.accept_quote(desk, quote_id, "yes")
    market.confirm_quote(maker, quote_id)

    with pytest.raises(Refused, match="400"):
        market.delete_rfq(desk, rfq_id)


def test_quotes_come_too_late_where_the_quote_window_is_on(market, clock, maker, desk):
    market.behavior = Behavior(quote_window_s=0.7)
    rfq_id = market.create_rfq(desk, market_ticker=COMBO, contracts=1)
    clock.advance(0.8)

    with pytest.raises(Refused, match="409 rfq_closed"):
        market.create_quote(maker, rfq_id=rfq_id, yes_bid="0.1", no_bid="0.1")

    assert market.get_rfq(desk, rfq_id)["status"] == "open"


def test_every_transition_is_an_event_at_its_own_time(market, clock, desk, maker):
    rfq_id, quote_id = quoted(market)
    market.accept_quote(desk, quote_id, "yes")
    market.confirm_quote(maker, quote_id)
    clock.advance(99)
    market.get_rfq(desk, rfq_id)

    start_us = market.events[0].at_us
    events = [(event.kind, (event.at_us - start_us) / 1e6) for event in market.events]

    assert events == [
        ("rfq_created", 0),
        ("quote_created", 0),
        ("quote_accepted", 0),
        ("quote_confirmed", 0),
        ("quote_executed", 15),
        ("rfq_executed", 15),
    ]
