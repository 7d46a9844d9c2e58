"""Quotes that come too late or that nobody could pay for."""

from __future__ import annotations

import pytest

from pipelines.sandbox import Behavior, Refused

COMBO = "KXMVECROSSCATEGORY-S2026ABCDEF0123-0123456789A"
SINGLE = "KXNBAGAME-26NOV21BOSMIA-BOS"


@pytest.fixture
def desk(market):
    return market.account("desk")


@pytest.fixture
def maker(market):
    return market.account("maker")


def quote(market, rfq_id: str, yes_bid: str = "0.4", no_bid: str = "0.5") -> str:
    maker = market.account("maker")
    return market.create_quote(maker, rfq_id=rfq_id, yes_bid=yes_bid, no_bid=no_bid)


@pytest.mark.parametrize(
    ("waited_s", "code"), [(0.7, None), (0.71, "quote_timed_out"), (1.0, "rfq_closed")]
)
def test_a_late_quote_times_out_first_and_then_meets_a_closed_window(
    market, clock, desk, waited_s, code
):
    market.behavior = Behavior(quote_window_s=0.7, quote_timeout_s=0.2)
    rfq_id = market.create_rfq(desk, market_ticker=COMBO, contracts=1)
    clock.advance(waited_s)

    refused = None
    try:
        quote(market, rfq_id)
    except Refused as error:
        refused = error

    assert (refused and refused.code) == code
    assert refused is None or refused.status == 409
    assert market.get_rfq(desk, rfq_id)["status"] == "open"


def test_single_markets_have_no_quote_window(market, clock, desk):
    market.behavior = Behavior(quote_window_s=0.7)
    rfq_id = market.create_rfq(desk, market_ticker=SINGLE, contracts=1)
    clock.advance(60)

    assert quote(market, rfq_id)


def test_a_maker_quotes_up_to_its_balance_and_not_a_tick_beyond(market, desk):
    """Ten contracts at the dearer bid of 0.50 are 5 dollars."""
    rfq_id = market.create_rfq(desk, market_ticker=SINGLE, contracts=10)
    market.behavior = Behavior(balance_dollars=4.9999)

    with pytest.raises(Refused, match="400 insufficient_balance"):
        quote(market, rfq_id)

    market.behavior = Behavior(balance_dollars=5)
    assert quote(market, rfq_id)


def test_a_refused_requote_leaves_the_older_quote_open(market, desk, maker):
    rfq_id = market.create_rfq(desk, market_ticker=SINGLE, contracts=10)
    market.behavior = Behavior(balance_dollars=5)
    older = quote(market, rfq_id)

    with pytest.raises(Refused, match="insufficient_balance"):
        quote(market, rfq_id, no_bid="0.51")

    assert market.get_quote(maker, older)["status"] == "open"


def test_a_requester_pays_one_minus_the_bid(market, desk):
    """Ten contracts of NO at 1 - 0.40 are 6 dollars; the maker only needs 5."""
    rfq_id = market.create_rfq(desk, market_ticker=SINGLE, contracts=10)
    market.behavior = Behavior(balance_dollars=5.9999)
    quote_id = quote(market, rfq_id)

    with pytest.raises(Refused, match="400 insufficient_balance"):
        market.accept_quote(desk, quote_id, "yes")

    market.accept_quote(desk, quote_id, "no")


def test_money_in_trades_is_spent_and_money_of_lapsed_ones_is_not(market, clock, desk):
    market.behavior = Behavior(balance_dollars=11)
    tickers = [f"KXTEST-26NOV21-{number}" for number in range(3)]
    rfqs = [market.create_rfq(desk, market_ticker=ticker, contracts=10) for ticker in tickers]
    quotes = [quote(market, rfq_id) for rfq_id in rfqs]
    market.accept_quote(desk, quotes[0], "yes")
    market.confirm_quote(market.account("maker"), quotes[0])
    clock.advance(60)

    market.accept_quote(desk, quotes[1], "no")
    with pytest.raises(Refused, match="insufficient_balance"):
        market.accept_quote(desk, quotes[2], "no")
    clock.advance(31)
    market.accept_quote(desk, quotes[2], "no")

    assert market.get_quote(desk, quotes[0])["status"] == "executed"


@pytest.mark.parametrize(
    ("ticker", "yes_bid", "is_taken"),
    [
        # Cents on singles, to either end of the dollar.
        (SINGLE, "0.0100", True),
        (SINGLE, "0.0099", False),
        (SINGLE, "0.0101", False),
        (SINGLE, "0.9900", True),
        (SINGLE, "0.9999", False),
        # Tenths of a cent on combos, and hundredths within a cent of 0 and 1.
        (COMBO, "0.0001", True),
        (COMBO, "0.0099", True),
        (COMBO, "0.0100", True),
        (COMBO, "0.0101", False),
        (COMBO, "0.0110", True),
        (COMBO, "0.9890", True),
        (COMBO, "0.9899", False),
        (COMBO, "0.9900", True),
        (COMBO, "0.9901", True),
        (COMBO, "0.9999", True),
    ],
)
@pytest.mark.parametrize("side", ["yes_bid", "no_bid"])
def test_a_bid_is_taken_on_the_grid_up_to_its_edges(market, desk, ticker, yes_bid, is_taken, side):
    market.behavior = Behavior(enforce_price_grid=True)
    rfq_id = market.create_rfq(desk, market_ticker=ticker, contracts=1)
    bids = {"yes_bid": "0", "no_bid": "0", side: yes_bid}

    if is_taken:
        assert quote(market, rfq_id, **bids)
    else:
        with pytest.raises(Refused, match="grid"):
            quote(market, rfq_id, **bids)


@pytest.mark.parametrize(
    ("bids", "is_taken"),
    [
        (("0.4", "0.6"), True),  # locked: the two add up to a dollar
        (("0.4", "0.6001"), False),
        (("0.9999", "0.0001"), True),
        (("0.9999", "0"), True),
        (("0", "0.9999"), True),
        (("0", "0.0001"), True),
        (("1.0000", "0"), False),
        (("0", "1.0000"), False),
        (("0", "0"), False),
    ],
)
def test_bids_are_below_a_dollar_and_add_up_to_one_at_most(market, desk, bids, is_taken):
    rfq_id = market.create_rfq(desk, market_ticker=SINGLE, contracts=1)

    if is_taken:
        assert quote(market, rfq_id, *bids)
    else:
        with pytest.raises(Refused, match="400"):
            quote(market, rfq_id, *bids)


@pytest.mark.parametrize(
    ("subaccount", "is_taken"), [(-1, False), (0, True), (63, True), (64, False)]
)
def test_subaccounts_go_from_0_to_63(market, desk, subaccount, is_taken):
    requested = {"market_ticker": SINGLE, "contracts": 1, "subaccount": subaccount}

    if is_taken:
        assert market.create_rfq(desk, **requested)
    else:
        with pytest.raises(Refused, match="between 0 and 63"):
            market.create_rfq(desk, **requested)
