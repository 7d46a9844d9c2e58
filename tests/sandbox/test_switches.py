"""Switches: each says what it does and what that rests on, and the guide's tables are these."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.sandbox import Behavior, Bucket, Faults, Refused, Shape
from pipelines.sandbox.clock import to_us
from pipelines.sandbox.listing_pages import ALWAYS_US, QuoteFilters
from pipelines.sandbox.switches import markdown, switch_rows

GUIDE = Path(__file__).parents[2] / "pipelines" / "sandbox" / "README.md"
SINGLE = "KXNBAGAME-26NOV21BOSMIA-BOS"


@pytest.mark.parametrize(
    "settings", [Behavior(), Faults(), Shape()], ids=lambda s: type(s).__name__
)
def test_the_guide_shows_the_switches_as_they_are(settings):
    table = markdown(settings)

    assert table in GUIDE.read_text(), f"put this table into {GUIDE.name}:\n{table}"


@pytest.mark.parametrize(
    "settings", [Behavior(), Faults(), Shape()], ids=lambda s: type(s).__name__
)
def test_every_switch_says_what_it_does_and_why(settings):
    for name, what, _, evidence in switch_rows(settings):
        assert what.endswith("."), name
        assert evidence, name


def test_values_are_shown_as_people_say_them():
    shown = {name: value for name, _, value, _ in switch_rows(Behavior())}

    assert shown["enforce_price_grid"] == shown["quote_window_s"] == "off"
    assert shown["rate_limits"] == "on"
    assert shown["read_bucket"] == str(Bucket(200, 400)) == "200 a second up to 400"
    assert shown["endpoint_costs"].startswith("CreateQuote 2, ")


def trade(market, clock, **rfq):
    desk, maker = market.account("desk"), market.account("maker")
    rfq_id = market.create_rfq(desk, market_ticker=SINGLE, contracts=1, **rfq)
    quote_id = market.create_quote(maker, rfq_id=rfq_id, yes_bid="0.4", no_bid="0.5")
    market.accept_quote(desk, quote_id, "yes")
    market.confirm_quote(maker, quote_id)
    clock.advance(15)
    return rfq_id


def test_quotes_of_a_closed_rfq_can_vanish(market, clock):
    market.behavior = Behavior(quotes_of_closed_rfq="vanish", rfq_lifetime_s=60)
    desk, maker = market.account("desk"), market.account("maker")
    rfq_id = market.create_rfq(desk, market_ticker=SINGLE, contracts=1)
    quote_id = market.create_quote(maker, rfq_id=rfq_id, yes_bid="0.4", no_bid="0.5")
    clock.advance(60)

    with pytest.raises(Refused, match="404"):
        market.get_quote(maker, quote_id)

    assert market.get_rfq(desk, rfq_id)["status"] == "closed"


def test_a_requester_can_stay_unknown_after_execution(market, clock):
    market.behavior = Behavior(reveal_creator_after_execution=False)

    rfq_id = trade(market, clock)

    assert market.get_rfq(market.account("stranger"), rfq_id)["creator_id"] == ""


@pytest.mark.parametrize("reason", ["gone", None])
def test_the_reason_of_a_deletion_is_a_switch(market, reason):
    market.behavior = Behavior(rfq_cancellation_reason=reason)
    desk = market.account("desk")
    rfq_id = market.create_rfq(desk, market_ticker=SINGLE, contracts=1)

    market.delete_rfq(desk, rfq_id)

    assert market.get_rfq(desk, rfq_id).get("cancellation_reason") == reason


def test_two_quotes_can_be_accepted_at_once_if_allowed(market):
    market.behavior = Behavior(one_accept_at_a_time=False)
    desk = market.account("desk")
    rfq_id = market.create_rfq(desk, market_ticker=SINGLE, contracts=1)
    for name in ("maker", "stranger"):
        bids = {"yes_bid": "0.4", "no_bid": "0.5"}
        quote_id = market.create_quote(market.account(name), rfq_id=rfq_id, **bids)
        market.accept_quote(desk, quote_id, "yes")
        assert market.get_quote(desk, quote_id)["status"] == "accepted"


def test_bodies_can_come_without_a_content_type_if_allowed(market, parties):
    market.behavior = Behavior(rate_limits=False, require_json_content_type=False)
    rfq_id = parties.desk.create_rfq()
    path = f"/communications/quotes/{parties.maker.create_quote(rfq_id)}"
    parties.desk("PUT", path + "/accept", json={"accepted_side": "yes"})

    assert parties.maker("PUT", path + "/confirm").status_code == 204


def test_the_number_of_open_rfqs_is_a_switch(market):
    market.behavior = Behavior(max_open_rfqs=1)
    desk = market.account("desk")
    market.create_rfq(desk, market_ticker=SINGLE, contracts=1)

    with pytest.raises(Refused, match="409"):
        market.create_rfq(desk, market_ticker=SINGLE + "X", contracts=1)


def test_quotes_can_be_listed_by_creation(market, clock):
    market.behavior = Behavior(quote_window_of="created_ts")
    desk, maker = market.account("desk"), market.account("maker")
    rfq_id = market.create_rfq(desk, market_ticker=SINGLE, contracts=1)
    quote_id = market.create_quote(maker, rfq_id=rfq_id, yes_bid="0.4", no_bid="0.5")
    created_us = to_us(clock.now())
    clock.advance(60)
    market.delete_quote(maker, quote_id)

    windows = [(created_us, created_us), (created_us + 1, ALWAYS_US)]
    pages = [
        market.get_quotes(
            desk, QuoteFilters(requester=desk.user_id, low_us=low, high_us=high, by_creation=True)
        )
        for low, high in windows
    ]

    assert [[row["id"] for row in page.rows] for page in pages] == [[quote_id], []]
