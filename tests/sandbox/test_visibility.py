"""Who sees which fields. Key sets are those of recorded production rows."""

from __future__ import annotations

import hashlib

import pytest

from pipelines.sandbox import Behavior

COMBO = "KXMVECROSSCATEGORY-S2026ABCDEF0123-0123456789A"
HIDDEN = hashlib.sha256(b"").hexdigest()

STRANGER_RFQ = {"id", "creator_id", "market_ticker", "contracts_fp", "status", "created_ts"}
COMBO_RFQ = STRANGER_RFQ | {"mve_collection_ticker", "mve_selected_legs"}
OWN_RFQ = {"creator_user_id", "rest_remainder", "updated_ts"}
QUOTE = {
    *("id", "rfq_id", "creator_id", "rfq_creator_id", "market_ticker", "contracts_fp"),
    *("yes_bid_dollars", "no_bid_dollars", "status", "created_ts", "updated_ts"),
}
BOTH_SIZES = {"yes_contracts_fp", "no_contracts_fp"}
MAKER = {"creator_user_id", "rest_remainder", "post_only"}


def rfq(caller, rfq_id):
    return caller.get(f"/communications/rfqs/{rfq_id}")["rfq"]


def quote(caller, quote_id):
    return caller.get(f"/communications/quotes/{quote_id}")["quote"]


def trade(parties, clock, rfq_id, quote_id, seconds=20):
    path = f"/communications/quotes/{quote_id}"
    parties.desk("PUT", path + "/accept", json={"accepted_side": "no"})
    parties.maker("PUT", path + "/confirm", json={})
    clock.advance(seconds)


def test_a_stranger_sees_the_recorded_keys_and_a_blank_creator(parties):
    rfq_id = parties.desk.create_rfq(market_ticker=COMBO, target_cost_dollars="10")

    seen = rfq(parties.stranger, rfq_id)

    assert seen.keys() == COMBO_RFQ | {"target_cost_dollars"}
    assert seen["creator_id"] == ""
    assert (seen["contracts_fp"], seen["target_cost_dollars"]) == ("0.00", "10.0000")
    assert seen["mve_selected_legs"][0].keys() == {"event_ticker", "market_ticker", "side"}


def test_a_single_market_rfq_in_contracts_has_no_combo_or_cost_keys(parties):
    rfq_id = parties.desk.create_rfq(contracts_fp="14.42")

    assert rfq(parties.stranger, rfq_id).keys() == STRANGER_RFQ
    assert rfq(parties.desk, rfq_id).keys() == STRANGER_RFQ | OWN_RFQ
    assert rfq(parties.desk, rfq_id)["contracts_fp"] == "14.42"


def test_the_creator_sees_its_names_and_how_the_rfq_ended(parties):
    rfq_id = parties.desk.create_rfq(subaccount=3)
    parties.desk("DELETE", f"/communications/rfqs/{rfq_id}")

    seen = rfq(parties.desk, rfq_id)

    ended = {"creator_subaccount", "cancelled_ts", "cancellation_reason"}
    assert seen.keys() == STRANGER_RFQ | OWN_RFQ | ended
    assert seen["creator_id"] == parties.desk.account.communications_id
    assert seen["creator_user_id"] == parties.desk.account.user_id
    assert rfq(parties.stranger, rfq_id).keys() == STRANGER_RFQ


def test_the_list_shows_the_same_as_the_single_row(parties):
    rfq_id = parties.desk.create_rfq()

    for caller in (parties.desk, parties.stranger):
        assert caller.rows("/communications/rfqs", "rfqs") == [rfq(caller, rfq_id)]


def test_an_obscured_creator_is_a_placeholder_until_execution(parties, clock):
    rfq_id = parties.desk.create_rfq(obscure_creator_id=True)
    quote_id = parties.maker.create_quote(rfq_id)
    name = parties.desk.account.communications_id

    before = rfq(parties.stranger, rfq_id)["creator_id"], rfq(parties.desk, rfq_id)["creator_id"]
    quoted = [quote(caller, quote_id)["rfq_creator_id"] for caller in (parties.maker, parties.desk)]
    path = f"/communications/quotes/{quote_id}"
    parties.desk("PUT", path + "/accept", json={"accepted_side": "no"})
    parties.maker("PUT", path + "/confirm", json={})
    confirmed = quote(parties.maker, quote_id)["rfq_creator_id"]
    clock.advance(15)

    assert before == (HIDDEN, name)
    assert quoted == [HIDDEN, name]
    assert confirmed == HIDDEN
    assert rfq(parties.stranger, rfq_id)["creator_id"] == name
    assert quote(parties.maker, quote_id)["rfq_creator_id"] == name


def test_creators_can_be_shown_as_documented(market, parties):
    market.behavior = Behavior(rate_limits=False, stranger_creator_id="communications_id")
    rfq_id = parties.desk.create_rfq()

    assert rfq(parties.stranger, rfq_id)["creator_id"] == parties.desk.account.communications_id


def test_an_open_quote_has_the_private_fields_of_whoever_looks(parties):
    rfq_id = parties.desk.create_rfq()
    quote_id = parties.maker.create_quote(rfq_id)

    assert quote(parties.maker, quote_id).keys() == QUOTE | BOTH_SIZES | MAKER
    assert quote(parties.desk, quote_id).keys() == QUOTE | BOTH_SIZES | {"rfq_creator_user_id"}


def test_an_executed_quote_adds_the_transitions_and_the_own_order(parties, clock):
    rfq_id = parties.desk.create_rfq()
    quote_id = parties.maker.create_quote(rfq_id)
    trade(parties, clock, rfq_id, quote_id)

    maker, desk = quote(parties.maker, quote_id), quote(parties.desk, quote_id)

    times = {"accepted_side", "accepted_ts", "confirmed_ts", "executed_ts"}
    assert maker.keys() == QUOTE | BOTH_SIZES | MAKER | times | {"creator_order_id"}
    requester = {"rfq_creator_user_id", "rfq_creator_order_id"}
    assert desk.keys() == QUOTE | BOTH_SIZES | times | requester
    assert maker["creator_order_id"] != desk["rfq_creator_order_id"]


def test_a_target_cost_quote_has_the_size_of_each_side_it_offers(parties):
    """The four sizes recorded in production: 5 at .4070, .3690 and .3900, 10 at .7450."""
    recorded = {".4070": ("5", "8.19"), ".3690": ("5", "7.72"), ".3900": ("5", "7.97")}
    recorded |= {".7450": ("10", "37.27")}
    for place, (bid, (cost, size)) in enumerate(recorded.items()):
        rfq_id = parties.desk.create_rfq(
            market_ticker=f"KXTEST-26NOV21-{place}", target_cost_dollars=cost
        )
        quote_id = parties.maker.create_quote(rfq_id, yes_bid="0", no_bid="0" + bid)

        seen = quote(parties.desk, quote_id)

        private = {"rfq_creator_user_id", "rfq_target_cost_dollars"}
        assert seen.keys() == QUOTE | {"no_contracts_fp"} | private
        assert seen["no_contracts_fp"] == size
        assert (seen["contracts_fp"], seen["yes_bid_dollars"]) == ("0.00", "0.0000")


def test_a_target_cost_without_fees_buys_more(parties):
    """5 dollars at 1 - 0.39 = 0.61 each: 8.1967, rounded down."""
    rfq_id = parties.desk.create_rfq(target_cost_dollars="5", target_cost_excludes_fees=True)
    quote_id = parties.maker.create_quote(rfq_id, yes_bid="0", no_bid="0.39")

    seen = quote(parties.maker, quote_id)

    assert seen["no_contracts_fp"] == "8.19"
    assert seen["target_cost_excludes_fees"] is True
    assert rfq(parties.stranger, rfq_id)["target_cost_excludes_fees"] is True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "12:00:00Z"), (0.5, "12:00:00.5Z"), (0.37425, "12:00:00.37425Z"), (1.00001, "01.00001Z")],
)
def test_fractions_of_seconds_lose_their_trailing_zeros(parties, clock, seconds, text):
    clock.advance(seconds)

    rfq_id = parties.desk.create_rfq()

    assert rfq(parties.desk, rfq_id)["created_ts"].endswith(text)
