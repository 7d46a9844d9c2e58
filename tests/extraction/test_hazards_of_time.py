"""Clocks, bounds and moments that mislead; HAZARDS.md has them all."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from pipelines.kalshi.client.errors import ExchangeUnavailable
from pipelines.kalshi.client.reader import open_reader
from pipelines.sandbox import Account, ManualClock, Market, routes
from pipelines.sandbox.accounts import Party
from tests.extraction.exchange_objects import (
    BY_TWOS,
    MARKET,
    create_quote,
    create_quotes,
    create_rfq,
    status,
)
from tests.extraction.loading import SMALL, Store, run
from tests.running import access_of


def test_what_changes_behind_a_sweep_is_read_by_the_next_run(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    *_, newest = create_quotes(market, clock, me, other, 3)

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
    quote = create_quote(market, other, create_rfq(market, me))
    run(store, reader)
    market.accept_quote(me, quote, "no")

    run(store, reader)

    assert status(store, "quotes", quote) == "accepted"


@pytest.mark.parametrize("is_inclusive", [True, False])
def test_whole_seconds_leave_nothing_out(
    store: Store, market: Market, me: Party, other: Party, reader: Any, is_inclusive: bool
) -> None:
    """Whole seconds leave nothing out whether bounds count or not."""
    market.behavior = replace(
        market.behavior, min_ts_inclusive=is_inclusive, max_ts_inclusive=is_inclusive
    )
    no_overlap = replace(SMALL, overlap=timedelta(0))
    run(store, reader, no_overlap)
    quote = create_quote(market, other, create_rfq(market, me))

    run(store, reader, no_overlap)

    assert status(store, "quotes", quote) == "open"


def test_a_row_that_shows_up_late_is_found(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    market.faults.late_visibility_s = 200
    quote = create_quote(market, other, create_rfq(market, me))
    clock.advance(199)
    run(store, reader)
    assert store.current("quotes") == {}
    clock.advance(2)

    run(store, reader)

    assert status(store, "quotes", quote) == "open"


def test_rows_after_a_clock_set_back_are_found(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    """What happens after the exchange's clock was set back is found."""
    run(store, reader)
    before = store.watermarks()
    clock.advance(-3600)
    reader.local_ahead_s += 3600
    quote = create_quote(market, other, create_rfq(market, me))
    clock.advance(1800)

    run(store, reader)

    assert status(store, "quotes", quote) == "open"
    assert store.watermarks() == before


def test_rows_dated_by_a_slow_clock_are_found_later(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    """What was dated too early is found though it shows up once the clock is right again."""
    run(store, reader)
    clock.advance(-3600)
    reader.local_ahead_s += 3600
    market.fall_behind(100)
    quote = create_quote(market, other, create_rfq(market, me))
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
    quote = create_quote(market, other, create_rfq(market, me))
    clock.advance(1000)

    run(store, reader)

    assert status(store, "quotes", quote) == "open"
    assert all(datetime.fromisoformat(mark) <= clock.now() for mark in store.watermarks().values())


def test_without_a_date_rows_prove_the_watermark(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    """Ours is a day ahead, and no answer says so."""
    reader.tells_the_time = False
    reader.local_ahead_s = 86_400
    week = replace(MARKET, history=timedelta(days=7))
    first = create_quote(market, other, create_rfq(market, me))
    run(store, reader, week)
    for minutes in range(3):
        clock.advance(600)
        late = create_rfq(market, other, minutes)
        market.delete_rfq(other, late)
        quote = create_quote(market, other, create_rfq(market, me, minutes + 10))

        run(store, reader, week)

        assert status(store, "quotes", quote) == "open"
        assert late in {id_ for (id_,) in store.rows("select id from raw.rfq_versions")}
    assert status(store, "quotes", first) == "open"
    marks = {key.split()[-1]: mark for (_, key), mark in store.watermarks().items()}
    lists = ("quotes_received", "rfqs_market", "rfqs_self")
    assert all(marks[name] <= clock.now().isoformat() for name in lists)


def test_without_a_date_a_list_without_rows_proves_nothing(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    reader.tells_the_time = False
    reader.local_ahead_s = 86_400

    run(store, reader)

    assert store.watermarks() == {}


def test_one_date_far_ahead_moves_nothing(
    store: Store,
    market: Market,
    clock: ManualClock,
    desk: Account,
    maker: Account,
    exchange: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over HTTP. Every third answer is dated two days ahead, and our clock is further ahead.

    The exchange does not say that it is a sandbox, of which every date would be believed.
    """
    market.name = ""
    signer = access_of(exchange, desk, SMALL).signer
    ticking, usual = count(), routes.format_datetime

    def dated(now: datetime, *, usegmt: bool) -> str:
        ahead_s = 2 * 86_400 if next(ticking) % 3 == 2 else 0
        return usual(now + timedelta(seconds=ahead_s), usegmt=usegmt)

    monkeypatch.setattr(routes, "format_datetime", dated)
    for n in range(2):
        quote = create_quote(market, maker, create_rfq(market, desk, n))
        with open_reader(exchange.base_url, signer) as reader:
            reader.get_communications_id()
            reader.learn_budget()

            run(store, reader)

        assert status(store, "quotes", quote) == "open"
        soon = (clock.now() + timedelta(seconds=60)).isoformat()
        assert all(mark <= soon for mark in store.watermarks().values())
        clock.advance(3600)


def test_a_clock_that_leapt_ahead_is_refused(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    """A clock that leapt ahead since the last run is refused with the figures."""
    run(store, reader)
    before = store.watermarks()
    market.faults.clock_step_s = 86_400

    with pytest.raises(ExchangeUnavailable) as caught:
        run(store, reader)

    assert "dated 86,400 s ahead of this machine's clock" in str(caught.value)
    assert ", and were +0 s when last believed" in str(caught.value)
    assert store.watermarks() == before
    market.faults.clock_step_s = -4 * 86_400
    with pytest.raises(ExchangeUnavailable, match="dated 345,600 s behind this machine's clock"):
        run(store, reader)
    market.faults.clear()
    run(store, reader)


def test_a_clock_far_ahead_does_not_carry_the_watermark_away(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    market.faults.clock_step_s = 2 * 86_400
    run(store, reader)
    market.faults.clear()
    clock.advance(3600)
    quote = create_quote(market, other, create_rfq(market, me))
    clock.advance(3600)

    run(store, reader)

    assert status(store, "quotes", quote) == "open"
    soon = (clock.now() + timedelta(seconds=61)).astimezone(UTC).isoformat()
    assert all(mark <= soon for mark in store.watermarks().values())
