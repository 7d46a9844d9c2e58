"""Lists that shift, loop, end early or come in another order; HAZARDS.md has them all."""

import json
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from pipelines.kalshi.client.errors import ExchangeUnavailable
from pipelines.kalshi.client.reader import Page
from pipelines.kalshi.entities import QUOTE, RFQ, Entity
from pipelines.kalshi.pages import BadPage
from pipelines.kalshi.paging import Fetch, read_list
from pipelines.sandbox import ManualClock, Market
from pipelines.sandbox.accounts import Party
from tests.extraction.exchange_objects import BY_TWOS, MARKET, create_rfq, create_rfqs, status
from tests.extraction.loading import NOON, SMALL, Store, run
from tests.extraction.reading import InProcessReader, serve_changed


def test_a_row_skipped_because_another_left_its_page_is_found(
    store: Store, market: Market, clock: ManualClock, me: Party, reader: InProcessReader
) -> None:
    reader.listing = "oldest"
    first, second, third = create_rfqs(market, clock, me, 3)
    market.faults.before_page[2] = lambda: market.delete_rfq(me, first)

    run(store, reader, replace(SMALL, rfqs_per_page=1))

    assert store.current("rfqs").keys() == {first, second, third}


def test_a_second_sweep_reads_no_row_again_that_comes_in_the_same_bytes(
    store: Store, market: Market, clock: ManualClock, me: Party, reader: Any, parsed: list[str]
) -> None:
    """As the first ends, one RFQ is closed and one created: the third agrees with the second."""
    ids = create_rfqs(market, clock, me, 5)

    def change() -> None:
        clock.advance(10)
        market.delete_rfq(me, ids[1])
        ids.append(create_rfq(market, me, 5))
        clock.advance(1)

    reader.before_page["rfqs"] = {3: change}
    run(store, reader, BY_TWOS)

    assert sorted(parsed) == sorted([*ids, ids[1]])
    assert store.rows("select id, status from raw.rfq_versions order by 1, 2") == sorted(
        [*((id_, "open") for id_ in ids), (ids[1], "closed")]
    )
    seen = "select rows_seen, new_versions, sweeps, is_verified from raw.extraction_runs"
    assert store.rows(f"{seen} where pass = 'rfqs_self'") == [(5 + 6 + 6, 7, 3, True)]
    # What is open was seen ten seconds later than at first.
    again = "select id, last_seen_ts - timestamptz '2026-11-20 12:00:00+00' from raw.last_seen"
    assert {id_ for id_, after in store.rows(again) if after >= timedelta(seconds=10)} == {*ids} - {
        ids[1]
    }


def test_sweeps_agree_though_rows_come_in_other_bytes(
    store: Store, market: Market, clock: ManualClock, me: Party, reader: Any, parsed: list[str]
) -> None:
    """The exchange may name the fields of a row in any order, and in another one each time."""
    ids = create_rfqs(market, clock, me, 5)
    turn = count()

    def turned(row: dict[str, Any]) -> dict[str, Any]:
        fields = list(row.items())
        by = next(turn) % len(fields)
        return dict(fields[by:] + fields[:by])

    serve_changed(reader, turned, "rfqs")
    run(store, reader, BY_TWOS)

    assert sorted(parsed) == sorted(2 * ids)
    seen = "select rows_seen, new_versions, sweeps, is_verified from raw.extraction_runs"
    assert store.rows(f"{seen} where pass = 'rfqs_self'") == [(10, 5, 2, True)]


def test_rows_that_cannot_be_read_are_counted_in_every_sweep(
    store: Store, market: Market, clock: ManualClock, me: Party, reader: Any, parsed: list[str]
) -> None:
    """One of six is broken. What came in one batch with it is read again, and nothing else."""
    ids = create_rfqs(market, clock, me, 6)
    broken = ids[2]

    def break_it(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"contracts_fp": "many"} if row["id"] == broken else row

    serve_changed(reader, break_it, "rfqs")
    run(store, reader, BY_TWOS)

    seen = "select rows_seen, rejected_rows, new_versions from raw.extraction_runs"
    assert store.rows(f"{seen} where pass = 'rfqs_self'") == [(12, 2, 5)]
    # Newest first, in a batch of one page and one of two.
    assert sorted(parsed) == sorted([*ids[4:], *(2 * [ids[3], ids[1], ids[0]])])


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
    # The second and the third page are read at once.
    market.faults.repeated_page = 2

    run(store, reader, BY_TWOS)

    assert sorted(ids) == [i for (i,) in store.rows("select id from raw.rfq_versions order by id")]


def test_pages_that_bring_nothing_new_for_ever_are_an_error() -> None:
    def fetch(cursor: str | None) -> Page:
        number = int(cursor or 0) + 1
        body = b'{"rfqs": [], "cursor": "%s"}' % (b"%d" % number if number < 100 else b"")
        return Page(body, NOON, NOON, 200)

    with pytest.raises(ExchangeUnavailable, match="nothing new"):
        list(read_list(RFQ, fetch, 4))


def pages_of_one(entity: Entity, number: int, padding: bytes = b"") -> Fetch:
    """A list of that many pages, each with one row, and each as long as *padding* makes it."""

    def fetch(cursor: str | None) -> Page:
        page = int(cursor or 1)
        following = str(page + 1) if page < number else ""
        row = {"id": f"{page}", "created_ts": "2026-11-20T12:00:00Z", "status": "open"}
        body = json.dumps({entity.key: [row], "cursor": following}).encode()
        return Page(body + padding, NOON, NOON, 200)

    return fetch


@pytest.mark.parametrize(
    ("entity", "sizes"),
    [(RFQ, [1, 2, 4, 8, 16, 32, 64, 80, 80, 5]), (QUOTE, [1, 2, 4, 8, 16, 20, 20, 3])],
)
def test_batches_double_up_to_the_most_that_is_read_at_once(
    entity: Entity, sizes: list[int]
) -> None:
    """What a load holds in memory is bounded; every page is in one batch, the last one as well."""
    batches = list(read_list(entity, pages_of_one(entity, sum(sizes))))

    assert [each.pages for each in batches] == sizes
    assert [each.is_first for each in batches] == [True] + [False] * (len(sizes) - 1)
    assert batches[-1].next_cursor is None


def test_a_batch_ends_with_the_page_that_makes_it_16_mib() -> None:
    """Of pages of 9 MiB two make it; a batch that may have four pages ends after them."""
    fetch = pages_of_one(RFQ, 6, b" " * 9 * 1024 * 1024)

    assert [each.pages for each in read_list(RFQ, fetch)] == [1, 2, 2, 1]


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
