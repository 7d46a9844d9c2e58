"""What the simulated parties do when somebody visits their market."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import polars as pl
import pytest

from pipelines.sandbox import Behavior, ManualClock, Market, Refused, Shape, simulate, unfold
from pipelines.sandbox.listing_pages import QuoteFilters, RfqFilters
from pipelines.sandbox.simulation.chance import Chance
from pipelines.sandbox.simulation.plan import MAKER_NUMBER, plan_rfqs
from pipelines.sandbox.simulation.quoting import QUOTE_SCHEMA, plan_quotes
from pipelines.sandbox.simulation.shapes import makers

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
COMBO = "KXMVECROSSCATEGORY-S2026ABCDEF0123-0123456789A"
EVERYBODY = Shape(desk_trade_share=1, stranger_trade_share=1, single_share=0)
# RFQs, quotes on the desk's, the maker's quotes, what follows, and what once somebody visits.
DIGESTS = ["16a1e8ec14b3", "6e97789c116c", "a97d91026a9e", "d65d82e7831d", "a80daf0e3271"]
NOBODY = Shape(desk_trade_share=0, stranger_trade_share=0, bargain_share=0, single_share=0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def visited(clock) -> Callable[..., Market]:
    """A market that goes on, with the accounts of some visitors."""

    def make(*names: str, shape: Shape | None = None, **how) -> Market:
        market = Market(clock=clock, behavior=Behavior(max_open_rfqs=1_000))
        for name in ("desk", "maker", *names):
            market.add_account(name, key="ed25519")
        unfold(market, seed=4, shape=shape, **({"rfqs_per_day": 20_000} | how))
        return market

    return make


def kinds_of(market: Market, *rfq_ids: str) -> Counter:
    return Counter(event.kind for event in market.events if event.rfq_id in rfq_ids)


def open_rfqs(market: Market, visitor) -> list[str]:
    return [row["id"] for row in market.get_rfqs(visitor, RfqFilters(status="open")).rows]


def quotes_of(market: Market, visitor) -> list[dict]:
    return market.get_quotes(visitor, QuoteFilters(maker=visitor.user_id)).rows


def stand_by(market: Market, visitor) -> None:
    """Confirm what was accepted."""
    for quote in quotes_of(market, visitor):
        if quote["status"] == "accepted":
            with suppress(Refused):  # the window is over
                market.confirm_quote(visitor, quote["id"])


def test_one_draw_equals_the_draw_of_the_plan():
    """One draw is the plan's draw and a plan has the columns that visitors' quotes get."""
    chance = Chance(5)
    drawn = pl.select(chance.uniform("side 0", pl.int_range(50))).to_series().to_list()
    rfqs = plan_rfqs(chance, Shape(), Behavior(), 20, NOON, NOON.replace(hour=13))

    quotes = plan_quotes(chance, Shape(), Behavior(), rfqs, makers(5, MAKER_NUMBER))

    assert [chance.draw("side 0", number) for number in range(50)] == drawn
    assert dict(quotes.schema) == QUOTE_SCHEMA


@pytest.mark.parametrize("ticker", [COMBO, "KXNBAGAME-26NOV21BOSMIA-BOS", "KXOTHER-1", "KXMVE-X"])
def test_makers_answer_a_visitors_rfq_each_after_its_own_time(visited, clock, ticker):
    market = visited("mybot", rfqs_per_day=0)
    bot = market.account("mybot")
    rfq_id = market.create_rfq(bot, market_ticker=ticker, contracts=10)

    clock.advance(60)
    quotes = market.get_quotes(bot, QuoteFilters(requester=bot.user_id, rfq_id=rfq_id)).rows

    assert len({quote["creator_id"] for quote in quotes}) >= 4
    assert len({quote["created_ts"] for quote in quotes}) == len(quotes)
    assert min(quote["created_ts"] for quote in quotes) > "2026-11-20T12:00:00.02"
    assert len({quote["no_bid_dollars"] for quote in quotes}) >= 2


def test_a_request_that_is_too_large_for_all_makers_gets_no_answer(visited, clock):
    market = visited("mybot", rfqs_per_day=0)
    bot = market.account("mybot")
    small, large = (
        market.create_rfq(bot, market_ticker=f"{COMBO}-{size}", contracts=size)
        for size in (300, 20_001)
    )

    clock.advance(60)
    market.open_rfq_count()

    assert kinds_of(market, small)["quote_created"] > 0
    assert kinds_of(market, large) == {"rfq_created": 1}


def test_makers_confirm_what_a_visitor_accepts_or_let_it_lapse(visited, clock):
    """Shares of 0.35 to 0.9 of the makers, and a few answers that come too late."""
    market = visited("mybot", rfqs_per_day=0)
    bot = market.account("mybot")
    for number in range(20):
        rfq_id = market.create_rfq(bot, market_ticker=f"{COMBO}{number}", contracts=10)
        clock.advance(4)
        mine = QuoteFilters(requester=bot.user_id, rfq_id=rfq_id, status="open")
        for quote in market.get_quotes(bot, mine).rows[:1]:
            side = "no" if quote["no_bid_dollars"] != "0.0000" else "yes"
            market.accept_quote(bot, quote["id"], side)
    clock.advance(60)
    market.open_rfq_count()

    happened = Counter(event.kind for event in market.events)
    assert 12 < happened["quote_accepted"] <= 20
    assert 0.3 < happened["quote_confirmed"] / happened["quote_accepted"] < 0.95
    assert happened["quote_confirmed"] >= happened["quote_executed"] > 3


def test_the_best_quote_wins_most(visited, clock):
    """The quick one quotes first, a little less: those who take the first quote take his."""
    market = visited("quick", "best", "worst", rfqs_per_day=40_000)
    bids = {"quick": ("0.0200", "0.9400"), "best": ("0.0200", "0.9700"), "worst": ("0", "0.3000")}
    answered: set[str] = set()
    for _ in range(160):
        clock.advance(0.5)
        fresh = set(open_rfqs(market, market.account("best"))) - answered
        for name, (yes_bid, no_bid) in bids.items():
            visitor = market.account(name)
            for rfq_id in sorted(fresh):
                with suppress(Refused):
                    market.create_quote(visitor, rfq_id=rfq_id, yes_bid=yes_bid, no_bid=no_bid)
            stand_by(market, visitor)
        answered |= fresh

    names = {market.account(name).communications_id: name for name in bids}
    accepted = [e for e in market.events if e.kind == "quote_accepted" and e.rfq_id in answered]
    won = Counter(names.get(event.party_id, "others") for event in accepted)
    executed = [e for e in market.events if e.kind == "quote_executed" and e.party_id in names]
    assert len(accepted) > 10
    assert won["best"] > len(accepted) / 2
    assert won["best"] > won["quick"] > 0
    assert won["worst"] == 0
    assert len(executed) > 5


def test_a_requester_takes_another_quote_after_a_withdrawal(visited, clock):
    """A requester who means to trade takes another quote when one is withdrawn."""
    market = visited("mymaker", "other", shape=EVERYBODY, rfqs_per_day=60_000)
    mine, other = market.account("mymaker"), market.account("other")
    taken_back, answered = set(), set()
    for _ in range(60):
        clock.advance(0.25)
        for rfq_id in set(open_rfqs(market, mine)) - answered:
            answered.add(rfq_id)
            bids = {"rfq_id": rfq_id, "no_bid": "0.9700"}
            taken_back.add(market.create_quote(mine, yes_bid="0.0200", **bids))
            market.create_quote(other, yes_bid="0.0100", **bids)
        for quote_id in list(taken_back):
            with suppress(Refused):
                market.delete_quote(mine, quote_id)
        stand_by(market, other)

    accepted = {e.quote_id for e in market.events if e.kind == "quote_accepted"}
    assert len(answered) > 3
    assert not accepted & taken_back
    assert any(quote["status"] == "executed" for quote in quotes_of(market, other))


def test_who_quotes_again_and_again_cannot_put_a_decision_off(visited, clock):
    market = visited("mymaker", shape=EVERYBODY)
    mine = market.account("mymaker")
    for _ in range(80):
        clock.advance(0.1)
        for rfq_id in open_rfqs(market, mine):
            with suppress(Refused):
                market.create_quote(mine, rfq_id=rfq_id, yes_bid="0.0200", no_bid="0.9700")

    accepted = [e for e in market.events if e.kind == "quote_accepted"]
    assert mine.communications_id in {event.party_id for event in accepted}


def test_requesters_who_want_nothing_end_as_planned(visited, clock):
    """Requesters who want nothing let a quote lie and end as planned."""
    market = visited("mymaker", shape=NOBODY)
    mine = market.account("mymaker")
    for _ in range(30):
        clock.advance(2)
        for rfq_id in open_rfqs(market, mine):
            with suppress(Refused):
                market.create_quote(mine, rfq_id=rfq_id, yes_bid="0.0200", no_bid="0.9700")

    happened = Counter(event.kind for event in market.events)
    assert happened["quote_created"] > 20
    assert happened["rfq_deleted"] > 3
    assert happened["quote_accepted"] == 0


def test_a_generous_quote_on_an_rfq_of_the_past_finds_a_taker(clock):
    market = Market(clock=clock)
    mine = market.add_account("mymaker", key="ed25519")
    simulate(market, seed=1, days=0.2, rfqs_per_day=3_000, shape=Shape(single_share=0))
    unfold(market, seed=1, rfqs_per_day=0)
    found = open_rfqs(market, mine)
    for rfq_id in found:
        market.create_quote(mine, rfq_id=rfq_id, yes_bid="0.0100", no_bid="0.9800")

    for _ in range(20):
        clock.advance(1)
        stand_by(market, mine)

    happened = kinds_of(market, *found)
    assert len(found) > 3
    assert happened["quote_accepted"] > len(found) / 3
    assert happened["quote_executed"] > 0


def test_the_same_seed_and_the_same_calls_give_the_same_market(clock):
    """Ids included; another call gives another market."""

    first = events_of("0.9500")

    assert len(first) > 60
    assert first == events_of("0.9500")
    assert first != events_of("0.2000")


def events_of(no_bid: str) -> list:
    """What happens in a market with a past once somebody visits it, asks and quotes."""
    clock = ManualClock(NOON)
    market = Market(clock=clock)
    for name in ("desk", "maker", "visitor"):
        market.add_account(name, key="ed25519")
    simulate(market, seed=2, days=0.05, rfqs_per_day=2_000)
    unfold(market, seed=2, rfqs_per_day=20_000)
    visitor = market.account("visitor")
    for number in range(5):
        clock.advance(3)
        market.create_rfq(visitor, market_ticker=f"{COMBO}{number}", contracts=10)
        for rfq_id in open_rfqs(market, visitor)[:5]:
            with suppress(Refused):
                market.create_quote(visitor, rfq_id=rfq_id, yes_bid="0", no_bid=no_bid)
        stand_by(market, visitor)
    return list(market.events)


def test_a_seed_makes_the_market_that_it_made_before(clock):
    """A sandbox goes on with the market of its file, so another market needs another name.

    Where a change of what is simulated is meant, these are the digests to change, and the market
    is to be named otherwise.
    """
    market = Market(clock=clock)
    desk, maker = (market.add_account(name, key="ed25519") for name in ("desk", "maker"))
    simulate(market, seed=5, days=1.0, rfqs_per_day=1_500)
    rfqs = market.get_rfqs(desk, limit=100).rows
    on_mine = QuoteFilters(requester=desk.user_id)
    quotes = market.get_quotes(desk, on_mine, limit=500).rows
    made = market.get_quotes(maker, QuoteFilters(maker=maker.user_id), limit=500).rows

    unfold(market, seed=5, rfqs_per_day=50_000)
    for _ in range(10):
        clock.advance(120)
        market.get_rfqs(desk)
    happened = (rfqs, quotes, made, list(market.events), events_of("0.9500"))

    digests = [digest(each) for each in happened]

    assert digests == DIGESTS


def digest(rows: list) -> str:
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:12]
