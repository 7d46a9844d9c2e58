"""A market that nobody but its own parties acts on is the same as ever, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256

from pipelines.sandbox import ManualClock, Market, simulate, unfold
from pipelines.sandbox.listing_pages import QuoteFilters, RfqFilters
from pipelines.sandbox.market import Page

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
STEPS, STEP_S = 8, 450.0
# Taken before the market could answer visitors.
PAST = "3fd4d13fb1237f58c642cc27bffbb62b13b056fe7667dd1b58fab0a8c3044a67"
GOING_ON = "5beae5b39aed55945658e3a55bad160094d8d2d0a26af7dd9906fa144b0af4f7"


def _market(clock: ManualClock) -> Market:
    market = Market(clock=clock)
    for name in ("desk", "maker"):
        market.add_account(name, key="ed25519")
    return market


def _listed(market: Market) -> Iterator[list[dict]]:
    """Every page of what the two accounts can read."""
    for name in ("desk", "maker"):
        me = market.account(name)
        for rfqs in (RfqFilters(), RfqFilters(requester=me.user_id)):
            yield from _pages(partial(market.get_rfqs, me, rfqs))
        for quotes in (QuoteFilters(maker=me.user_id), QuoteFilters(requester=me.user_id)):
            yield from _pages(partial(market.get_quotes, me, quotes))


def _pages(read: Callable[..., Page]) -> Iterator[list[dict]]:
    page = read()
    yield page.rows
    while page.cursor is not None:
        page = read(cursor=page.cursor)
        yield page.rows


def test_a_simulated_past_is_as_before():
    market = _market(ManualClock(NOON))
    simulate(market, seed=7, days=0.5, rfqs_per_day=3_000)

    assert _digest(list(_listed(market))) == PAST


def test_a_market_that_goes_on_without_visitors_is_as_before():
    """Ids that the rules make are left out: rows count in the order in which they came about."""
    clock = ManualClock(NOON)
    market = _market(clock)
    simulate(market, seed=7, days=0.05, rfqs_per_day=3_000)
    unfold(market, seed=7, rfqs_per_day=6_000)
    lists = []
    for _ in range(STEPS):
        clock.advance(STEP_S)
        lists.append(list(_listed(market)))
    places: dict[str, int] = {}
    events = [
        (event.at_us, event.kind, _place(places, event.rfq_id), _place(places, event.quote_id))
        for event in market.events
    ]
    plain = [
        sorted(json.dumps(_plain(row, places), sort_keys=True) for page in each for row in page)
        for each in lists
    ]

    assert len(events) > 3_000
    assert _digest([events, plain]) == GOING_ON


def _place(places: dict[str, int], row_id: str | None) -> int | None:
    return None if row_id is None else places.setdefault(row_id, len(places))


def _plain(row: dict, places: dict[str, int]) -> dict:
    named = {name: _place(places, row[name]) for name in ("id", "rfq_id") if name in row}
    return {k: v for k, v in row.items() if "order_id" not in k} | named


def _digest(value: object) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
