"""One test per hazard of this API; HAZARDS.md lists them, `test_mutants` proves that they bite."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.kalshi.client import Page
from pipelines.kalshi.errors import ExchangeUnavailable
from pipelines.kalshi.pages import BadPage
from pipelines.kalshi.schema import RFQ
from pipelines.kalshi.sweep import read_list
from pipelines.kalshi.tombstones import GONE
from pipelines.sandbox import ManualClock, Market
from pipelines.sandbox.parties import Party
from tests.extraction.loading import NOON, SMALL, InProcessReader, Store, run

MARKET = replace(SMALL, scope="market")
BY_TWOS = replace(SMALL, rfqs_per_page=2, quotes_per_page=2)


def ask(market: Market, who: Party, n: int = 0) -> str:
    return market.create_rfq(who, market_ticker=f"KX-{n}", contracts_fp="1.00")


def offer(market: Market, maker: Party, rfq_id: str) -> str:
    return market.create_quote(maker, rfq_id=rfq_id, yes_bid="0.4000", no_bid="0.5500")


def asked(market: Market, clock: ManualClock, who: Party, times: int) -> list[str]:
    ids = []
    for n in range(times):
        ids.append(ask(market, who, n))
        clock.advance(1)
    return ids


def received(market: Market, clock: ManualClock, me: Party, other: Party, times: int) -> list[str]:
    quotes = []
    for rfq_id in asked(market, clock, me, times):
        quotes.append(offer(market, other, rfq_id))
        clock.advance(1)
    return quotes


def status(store: Store, entity: str, id_: str) -> str | None:
    row = store.current(entity).get(id_)
    return row[0] if row else None


def test_a_row_skipped_because_another_left_its_page_is_found(
    store: Store, market: Market, clock: ManualClock, me: Party, reader: InProcessReader
) -> None:
    reader.listing = "oldest"
    first, second, third = asked(market, clock, me, 3)
    market.faults.before_page[2] = lambda: market.delete_rfq(me, first)

    run(store, reader, replace(SMALL, rfqs_per_page=1))

    assert store.current("rfqs").keys() == {first, second, third}


def test_what_changes_behind_a_sweep_is_read_by_the_next_run(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    *_, newest = received(market, clock, me, other, 3)

    pages = market.faults.before_page

    def change_behind_the_second_sweep() -> None:
        if sum(name == "quotes" and bool(call["cursor"]) for name, call in reader.calls) < 2:
            pages[2] = change_behind_the_second_sweep
            return
        market.accept_quote(me, newest, "no")
        clock.advance(400)

    pages[2] = change_behind_the_second_sweep
    run(store, reader, BY_TWOS)
    assert status(store, "quotes", newest) == "open"

    run(store, reader, BY_TWOS)

    assert status(store, "quotes", newest) == "accepted"


def test_a_change_at_the_same_instant_is_a_change(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    quote = offer(market, other, ask(market, me))
    run(store, reader)
    market.accept_quote(me, quote, "no")

    run(store, reader)

    assert status(store, "quotes", quote) == "accepted"


@pytest.mark.parametrize("is_inclusive", [True, False])
def test_whole_seconds_leave_nothing_out_whether_bounds_count_or_not(
    store: Store, market: Market, me: Party, other: Party, reader: Any, is_inclusive: bool
) -> None:
    market.behavior = replace(
        market.behavior, min_ts_inclusive=is_inclusive, max_ts_inclusive=is_inclusive
    )
    no_overlap = replace(SMALL, overlap=timedelta(0))
    run(store, reader, no_overlap)
    quote = offer(market, other, ask(market, me))

    run(store, reader, no_overlap)

    assert status(store, "quotes", quote) == "open"


def test_a_row_that_shows_up_late_is_found(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    market.faults.late_visibility_s = 200
    quote = offer(market, other, ask(market, me))
    clock.advance(199)
    run(store, reader)
    assert store.current("quotes") == {}
    clock.advance(2)

    run(store, reader)

    assert status(store, "quotes", quote) == "open"


def test_what_happens_after_the_exchanges_clock_was_set_back_is_found(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    run(store, reader)
    before = store.watermarks()
    clock.advance(-3600)
    reader.local_ahead_s += 3600
    quote = offer(market, other, ask(market, me))
    clock.advance(1800)

    run(store, reader)

    assert status(store, "quotes", quote) == "open"
    assert store.watermarks() == before


def test_what_was_dated_too_early_is_found_though_it_shows_up_once_the_clock_is_right_again(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    run(store, reader)
    clock.advance(-3600)
    reader.local_ahead_s += 3600
    market.fall_behind(100)
    quote = offer(market, other, ask(market, me))
    run(store, reader)
    assert store.current("quotes") == {}
    market.faults.clear()
    clock.advance(3660)
    reader.local_ahead_s -= 3600

    run(store, reader)

    assert status(store, "quotes", quote) == "open"


@pytest.mark.parametrize("ahead_s", [-3600, 3600])
def test_our_own_clock_decides_nothing(
    store: Store,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
    reader: Any,
    ahead_s: float,
) -> None:
    reader.local_ahead_s = ahead_s
    run(store, reader)
    clock.advance(1000)
    quote = offer(market, other, ask(market, me))
    clock.advance(1000)

    run(store, reader)

    assert status(store, "quotes", quote) == "open"
    assert all(datetime.fromisoformat(mark) <= clock.now() for mark in store.watermarks().values())


def test_an_expired_cursor_starts_the_list_again(
    store: Store, market: Market, clock: ManualClock, me: Party, reader: Any
) -> None:
    ids = asked(market, clock, me, 5)
    pages = market.faults.before_page
    market.faults.cursor_expires_after_page = 1
    pages[1] = lambda: pages.update({1: market.faults.clear})

    run(store, reader, BY_TWOS)

    assert store.current("rfqs").keys() == set(ids)


def test_a_cursor_that_leads_back_is_an_error(
    store: Store, market: Market, clock: ManualClock, me: Party, reader: Any
) -> None:
    asked(market, clock, me, 7)
    market.faults.cursor_loops_at_page = 2

    with pytest.raises(ExchangeUnavailable, match="cursor twice"):
        run(store, reader, BY_TWOS)

    assert len(reader.calls) < 20
    assert store.watermarks() == {}


def test_a_page_served_twice_is_stored_once(
    store: Store, market: Market, clock: ManualClock, me: Party, reader: Any
) -> None:
    ids = asked(market, clock, me, 5)
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
    ids = asked(market, clock, me, 5)
    market.faults.empty_page = 2

    run(store, reader, BY_TWOS)

    assert store.current("rfqs").keys() == set(ids)


@pytest.mark.parametrize("body", [b'{"error": "busy"}', b'{"rfqs": null}', b'{"quotes": []}'])
def test_a_page_without_its_list_is_not_an_empty_one(body: bytes) -> None:
    with pytest.raises(BadPage):
        list(read_list(RFQ, lambda cursor: Page(body, NOON, NOON, 200), 4))


def test_an_rfq_that_left_no_list_behind_is_read_by_id_when_it_must_be_over(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    rfq = ask(market, other)
    offer(market, me, rfq)
    run(store, reader)
    clock.advance(3 * 3600 + 1)

    run(store, reader)

    assert store.rows("select rfq_id, status from staging.rfqs") == [(rfq, "closed")]


def test_an_rfq_opened_and_closed_between_runs_is_found_through_its_quote(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    market.behavior = replace(market.behavior, quotes_of_deleted_rfq="cancel")
    rfq = ask(market, other)
    offer(market, me, rfq)
    market.delete_rfq(other, rfq)

    run(store, reader)

    assert store.rows("select rfq_id, status from staging.rfqs") == [(rfq, "closed")]


def test_an_id_is_gone_after_two_runs_missed_it_and_back_once_it_is_seen(
    store: Store, market: Market, me: Party, reader: Any
) -> None:
    rfq = ask(market, me)
    run(store, reader)
    market.faults.vanished.add(rfq)
    run(store, reader)
    assert gone(store, "rfqs") == set()

    run(store, reader)
    assert gone(store, "rfqs") == {rfq}

    market.faults.vanished.clear()
    run(store, reader)
    assert gone(store, "rfqs") == set()


def test_a_quote_that_vanished_with_its_rfq_is_gone(
    store: Store, market: Market, me: Party, other: Party, reader: Any
) -> None:
    rfq = ask(market, me)
    quote = offer(market, other, rfq)
    run(store, reader)
    market.delete_rfq(me, rfq)

    run(store, reader)
    assert gone(store, "quotes") == set()

    run(store, reader)
    assert gone(store, "quotes") == {quote}


def gone(store: Store, resource: str) -> set[str]:
    return {row[0] for row in store.rows(GONE.format(resource=resource))}


def test_who_asked_is_read_once_a_quote_executed(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    quote = offer(market, me, ask(market, other))
    run(store, reader)
    market.accept_quote(other, quote, "no")
    market.confirm_quote(me, quote)
    clock.advance(60)

    run(store, reader)

    creators = store.rows("select creator_id from raw.rfq_versions where status = 'closed'")
    assert creators == [(other.communications_id,)]


def test_each_pass_has_a_watermark_of_its_own_and_failure_moves_none(
    store: Store,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
    reader: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quote = offer(market, other, ask(market, me))
    clock.advance(3600)

    def refuse(**asked: Any) -> Page:
        raise ExchangeUnavailable("down")

    with monkeypatch.context() as patched:
        patched.setattr(reader, "get_quotes", refuse)
        with pytest.raises(ExchangeUnavailable):
            run(store, reader)
    assert [resource for resource, _ in store.watermarks()] == ["rfqs"]

    run(store, reader)

    assert status(store, "quotes", quote) == "open"
    assert len(store.watermarks()) == 3


def test_a_list_in_another_order_is_read_to_its_end(
    store: Store, market: Market, clock: ManualClock, other: Party, reader: Any
) -> None:
    reader.listing = "oldest"
    for n in range(4):
        ask(market, other, n)
        clock.advance(600)
    run(store, reader, MARKET)
    clock.advance(600)
    new = ask(market, other, 9)

    run(store, reader, MARKET)

    assert (new,) in store.rows("select rfq_id from staging.rfqs")


def test_an_order_that_hides_what_closed_hides_nothing_of_ours_for_more_than_a_day(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    """The open rows alone look as expected, so the list is left before the closed ones."""
    market.behavior = replace(market.behavior, rfq_lifetime_s=7 * 86_400)
    reader.listing = "open first"
    for n in range(4):
        ask(market, other, n)
        clock.advance(600)
    run(store, reader, MARKET)
    unquoted = ask(market, me, 9)
    market.delete_rfq(me, unquoted)
    clock.advance(600)
    run(store, reader, MARKET)
    assert status(store, "rfqs", unquoted) is None
    clock.advance(86_400)

    run(store, reader, MARKET)

    assert status(store, "rfqs", unquoted) == "closed"


def test_another_account_or_scope_starts_at_nothing(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    theirs = ask(market, other)
    clock.advance(3600)
    run(store, reader)

    run(store, InProcessReader(market, other), account="other")

    assert (theirs,) in store.rows("select rfq_id from staging.rfqs")
    accounts = {key.split()[1] for _, key in store.watermarks()}
    assert accounts == {"me", "other"}


def test_another_exchange_starts_at_nothing(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    run(store, InProcessReader(market, me, origin="https://demo.test:443"))
    quote = offer(market, other, ask(market, me))
    clock.advance(3600)
    run(store, InProcessReader(market, other, origin="https://demo.test:443"))

    run(store, reader)

    assert status(store, "quotes", quote) == "open"
    assert {key.split()[0] for _, key in store.watermarks()} == {
        "https://demo.test:443",
        "https://exchange.test:443",
    }


def test_a_page_shorter_than_asked_for_is_not_the_last(
    store: Store, market: Market, clock: ManualClock, me: Party
) -> None:
    class Clamping(InProcessReader):
        def get_rfqs(self, *, cursor: str | None = None, limit: int = 100, **asked: Any) -> Page:
            return super().get_rfqs(cursor=cursor, limit=min(limit, 2), **asked)

    ids = asked(market, clock, me, 5)

    run(store, Clamping(market, me))

    assert store.current("rfqs").keys() == set(ids)


def test_a_clock_far_ahead_does_not_carry_the_watermark_away(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    market.faults.clock_step_s = 2 * 86_400
    run(store, reader)
    market.faults.clear()
    clock.advance(3600)
    quote = offer(market, other, ask(market, me))
    clock.advance(3600)

    run(store, reader)

    assert status(store, "quotes", quote) == "open"
    soon = (clock.now() + timedelta(seconds=61)).astimezone(UTC).isoformat()
    assert all(mark <= soon for mark in store.watermarks().values())
