"""Lists that shift, loop, end early or come in another order; HAZARDS.md has them all."""

from dataclasses import replace
from typing import Any

import pytest

from pipelines.kalshi.client.errors import ExchangeUnavailable
from pipelines.kalshi.client.reader import Page
from pipelines.kalshi.entities import RFQ
from pipelines.kalshi.pages import BadPage
from pipelines.kalshi.paging import read_list
from pipelines.sandbox import ManualClock, Market
from pipelines.sandbox.accounts import Party
from tests.extraction.exchange_objects import BY_TWOS, MARKET, create_rfq, create_rfqs, status
from tests.extraction.loading import NOON, SMALL, Store, run
from tests.extraction.reading import InProcessReader


def test_a_row_skipped_because_another_left_its_page_is_found(
    store: Store, market: Market, clock: ManualClock, me: Party, reader: InProcessReader
) -> None:
    reader.listing = "oldest"
    first, second, third = create_rfqs(market, clock, me, 3)
    market.faults.before_page[2] = lambda: market.delete_rfq(me, first)

    run(store, reader, replace(SMALL, rfqs_per_page=1))

    assert store.current("rfqs").keys() == {first, second, third}


def test_an_expired_cursor_starts_the_list_again(
    store: Store, market: Market, clock: ManualClock, me: Party, reader: Any
) -> None:
    ids = create_rfqs(market, clock, me, 5)
    pages = market.faults.before_page
    market.faults.cursor_expires_after_page = 1
    reader.before_page["rfqs"] = {1: lambda: pages.update({1: market.faults.clear})}

    run(store, reader, BY_TWOS)

    assert store.current("rfqs").keys() == set(ids)


def test_a_cursor_that_leads_back_is_an_error(
    store: Store, market: Market, clock: ManualClock, me: Party, reader: Any
) -> None:
    create_rfqs(market, clock, me, 7)
    market.faults.cursor_loops_at_page = 2

    with pytest.raises(ExchangeUnavailable, match="cursor twice"):
        run(store, reader, BY_TWOS)

    assert len(reader.calls) < 30
    assert [resource for resource, _ in store.watermarks()] == ["quotes", "quotes"]


def test_a_page_served_twice_is_stored_once(
    store: Store, market: Market, clock: ManualClock, me: Party, reader: Any
) -> None:
    ids = create_rfqs(market, clock, me, 5)
    market.faults.repeated_page = 1

    run(store, reader, BY_TWOS)

    assert sorted(ids) == [i for (i,) in store.rows("select id from raw.rfq_versions order by id")]


def test_pages_that_bring_nothing_new_for_ever_are_an_error() -> None:
    def fetch(cursor: str | None) -> Page:
        number = int(cursor or 0) + 1
        body = b'{"rfqs": [], "cursor": "%s"}' % (b"%d" % number if number < 100 else b"")
        return Page(body, NOON, NOON, 200)

    with pytest.raises(ExchangeUnavailable, match="nothing new"):
        list(read_list(RFQ, fetch, 4))


def test_an_empty_page_with_a_cursor_is_not_the_end(
    store: Store, market: Market, clock: ManualClock, me: Party, reader: Any
) -> None:
    ids = create_rfqs(market, clock, me, 5)
    market.faults.empty_page = 2

    run(store, reader, BY_TWOS)

    assert store.current("rfqs").keys() == set(ids)


@pytest.mark.parametrize("body", [b'{"error": "busy"}', b'{"rfqs": null}', b'{"quotes": []}'])
def test_a_page_without_its_list_is_not_an_empty_one(body: bytes) -> None:
    with pytest.raises(BadPage):
        list(read_list(RFQ, lambda cursor: Page(body, NOON, NOON, 200), 4))


def test_a_list_in_another_order_is_read_to_its_end(
    store: Store, market: Market, clock: ManualClock, other: Party, reader: Any
) -> None:
    reader.listing = "oldest"
    for n in range(4):
        create_rfq(market, other, n)
        clock.advance(600)
    run(store, reader, MARKET)
    clock.advance(600)
    new = create_rfq(market, other, 9)

    run(store, reader, MARKET)

    assert (new,) in store.rows("select rfq_id from staging.rfqs")


def test_own_rfqs_hidden_by_another_order_are_found_within_a_day(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    """The open rows alone look as expected, so the list is left before the closed ones."""
    market.behavior = replace(market.behavior, rfq_lifetime_s=7 * 86_400)
    reader.listing = "open first"
    for n in range(4):
        create_rfq(market, other, n)
        clock.advance(600)
    run(store, reader, MARKET)
    unquoted = create_rfq(market, me, 9)
    market.delete_rfq(me, unquoted)
    clock.advance(600)
    run(store, reader, MARKET)
    assert status(store, "rfqs", unquoted) is None
    clock.advance(86_400)

    run(store, reader, MARKET)

    assert status(store, "rfqs", unquoted) == "closed"


def test_a_page_shorter_than_asked_for_is_not_the_last(
    store: Store, market: Market, clock: ManualClock, me: Party
) -> None:
    class Clamping(InProcessReader):
        def get_rfqs(
            self, *, cursor: str | None = None, limit: int = 100, **parameters: Any
        ) -> Page:
            return super().get_rfqs(cursor=cursor, limit=min(limit, 2), **parameters)

    ids = create_rfqs(market, clock, me, 5)

    run(store, Clamping(market, me))

    assert store.current("rfqs").keys() == set(ids)
