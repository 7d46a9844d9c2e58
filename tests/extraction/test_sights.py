"""What a load notes of itself: its number, when its passes were served, what it saw once more."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from pipelines.kalshi import coverage
from pipelines.kalshi.moments import Moments, last_moments
from pipelines.sandbox import ManualClock, Market
from pipelines.sandbox.accounts import Party
from tests.extraction.exchange_objects import (
    BY_TWOS,
    MARKET,
    create_quote,
    create_quotes,
    create_rfq,
    create_rfqs,
)
from tests.extraction.loading import NOON, Store, run
from tests.extraction.reading import InProcessReader, serve_changed
from transforms.raw import create_raw_tables

PASSES = "select side, served_ts from raw.passes order by rowid"
SIGHTS = "select id, last_seen_ts, last_seen_open_ts from raw.last_seen order by rowid"


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


# Served moments


def test_a_pass_of_one_page_was_served_when_the_exchange_says(
    store: Store, reader: InProcessReader, clock: ManualClock
) -> None:
    clock.advance(7.5)

    run(store, reader)

    assert store.rows(PASSES) == [("made", after(7)), ("received", after(7))]


def test_served_ts_is_the_start_of_the_verifying_sweep(
    store: Store,
    reader: InProcessReader,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
) -> None:
    """Whoever came and went between the first page of the first sweep and its last is in none."""
    create_quotes(market, clock, me, other, 3)
    run(store, reader, BY_TWOS)
    store.connection.execute("truncate raw.passes")
    clock.advance(60 - 6)
    later = {page: lambda: bool(clock.advance(10)) for page in (1, 2)}
    reader.before_page = {"quotes": {2: lambda: market.faults.before_page.update(later)}}

    run(store, reader, BY_TWOS)

    # Made: one page without rows. Received: both pages of a sweep, those of the next at 70 and 80.
    assert store.rows(PASSES) == [("made", after(60)), ("received", after(70))]


def a_list_that_does_not_rest(
    reader: InProcessReader, market: Market, clock: ManualClock, other: Party
) -> None:
    """Not before it is read in halves."""
    rfqs = [row["id"] for row in market.get_rfqs(other).rows][:2]

    def one_more() -> None:
        clock.advance(1)
        create_quote(market, other, rfqs.pop())
        market.faults.before_page.update({2: one_more} if rfqs else {})

    reader.before_page = {"quotes": {2: one_more}}


def no_clock(reader: InProcessReader, *_: Any) -> None:
    reader.tells_the_time = False


def nameless_rows(reader: InProcessReader, *_: Any) -> None:
    serve_changed(reader, lambda row: {k: v for k, v in row.items() if k != "id"}, only="quotes")


@pytest.mark.parametrize("trouble", [no_clock, nameless_rows, a_list_that_does_not_rest])
def test_a_pass_that_is_not_certain_of_a_moment_leaves_none(
    trouble: Callable[..., None],
    store: Store,
    reader: InProcessReader,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
) -> None:
    rfqs = create_rfqs(market, clock, me, 20)
    for rfq in rfqs[:3]:
        create_quote(market, other, rfq)
    trouble(reader, market, clock, other)

    run(store, reader, BY_TWOS)

    assert "received" not in dict(store.rows(PASSES))


def test_a_killed_load_does_not_say_that_all_was_read(
    store: Store, reader: InProcessReader
) -> None:
    """dlt stores a load's tables one by one, so its passes may be there before its quotes."""
    run(store, reader)
    store.connection.execute(
        "insert into raw.loads values (99, 'killed', false, null);"
        "insert into raw.passes values ('made', now(), 99);"
        "insert into raw.open_sweeps values (now(), 99)"
    )

    create_raw_tables(store.connection)

    assert store.rows(PASSES) == [("made", NOON), ("received", NOON)]
    assert store.rows("from raw.open_sweeps") == []


@pytest.mark.parametrize(("pages", "swept"), [(400, [(after(86_402),)]), (1, [])])
def test_only_a_sweep_of_all_open_rfqs_tells_which_are_over(
    pages: int,
    swept: list[Any],
    store: Store,
    reader: InProcessReader,
    market: Market,
    clock: ManualClock,
    other: Party,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create_rfqs(market, clock, other, 2)
    small = replace(MARKET, rfqs_per_page=1)
    run(store, reader, small)
    clock.advance(86_400)
    for n in (2, 3):
        create_rfq(market, other, n)
    monkeypatch.setattr(coverage, "PAGES", pages)

    run(store, reader, small)

    assert store.rows("select served_ts from raw.open_sweeps") == swept


def test_a_sweep_in_which_a_row_cannot_be_read_tells_nothing_of_what_is_over(
    store: Store, reader: InProcessReader, market: Market, clock: ManualClock, other: Party
) -> None:
    """That row is of an open RFQ, which would pass for one that is not listed any more."""
    run(store, reader, MARKET)
    clock.advance(86_400)
    broken, _ = create_rfqs(market, clock, other, 2)

    def break_it(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"contracts_fp": "many"} if row["id"] == broken else row

    serve_changed(reader, break_it, "rfqs")
    run(store, reader, MARKET)

    assert store.rows("select is_complete from raw.coverage") == [(True,)]
    assert store.rows("from raw.open_sweeps") == []


# Last sights


def test_a_second_sight_of_an_open_row_is_noted(
    store: Store,
    reader: InProcessReader,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
) -> None:
    """Of two RFQs one closes between the runs; of their quotes one was accepted before them."""
    stays, ends = create_rfqs(market, clock, me, 2)
    quote, accepted = create_quote(market, other, stays), create_quote(market, other, ends)
    market.accept_quote(me, accepted, accepted_side="no")
    run(store, reader)
    assert store.rows(SIGHTS) == []
    clock.advance(8)
    market.create_rfq(me, market_ticker="KX-9", contracts_fp="1.00")

    run(store, reader)

    seen = {id_: moments for id_, *moments in store.rows(SIGHTS)}
    assert seen.get(stays) == seen.get(quote) == [after(10), after(10)]
    assert seen.get(accepted) == [after(10), None]
    assert len(seen) == 4

    market.delete_rfq(me, stays)
    clock.advance(10)
    store.connection.execute("truncate raw.last_seen")
    for _ in range(2):
        run(store, reader)
        clock.advance(10)
    assert {stays, quote} & {id_ for id_, *_ in store.rows(SIGHTS)} == set()


@pytest.mark.parametrize("listed", ["rfqs", "quotes"])
def test_a_row_was_seen_when_its_page_was_served(
    store: Store,
    reader: InProcessReader,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
    listed: str,
) -> None:
    """Pages are read together, and minutes may lie between them: what was open may be over."""
    for n in range(8):
        create_quote(market, other, create_rfq(market, me, n))
        create_rfq(market, other, n)
    clock.advance(400)
    pages = {page: lambda: bool(clock.advance(30)) for page in (2, 3, 4)}
    reader.before_page = {listed: pages}

    run(store, reader, replace(BY_TWOS, scope="market"))

    (read,) = store.rows(
        f"select list(distinct observed_ts order by observed_ts) from raw.{listed[:-1]}_versions"
    )
    assert len(read[0]) > 2
    assert all(later - moment == timedelta(seconds=30) for moment, later in pairwise(read[0]))


def test_a_row_that_was_read_before_is_seen_again_when_its_page_was_served(
    store: Store,
    reader: InProcessReader,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
) -> None:
    """The sweep that verifies another reads no row anew."""
    create_quotes(market, clock, me, other, 6)
    clock.advance(400)
    slow = {page: lambda: bool(clock.advance(30)) for page in (1, 2, 3)}
    reader.before_page = {"quotes": {3: lambda: market.faults.before_page.update(slow)}}
    began = clock.now()

    run(store, reader, BY_TWOS)

    seen = {moment for (moment,) in store.rows("select last_seen_open_ts from raw.last_seen")}
    assert {began + timedelta(seconds=after_s) for after_s in (30, 60, 90)} <= seen


def test_a_sight_by_id_counts(
    store: Store,
    reader: InProcessReader,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
) -> None:
    """An RFQ that lives longer than RFQs do is on no page that a run reads."""
    market.behavior = replace(market.behavior, rfq_lifetime_s=20_000)
    rfq = create_rfq(market, other)
    create_quote(market, me, rfq)
    run(store, reader, MARKET)
    clock.advance(10_900)
    for n in range(6):
        create_rfq(market, other, n + 1)
    reader.calls.clear()

    run(store, reader, MARKET)

    assert ("rfq", {"id": rfq}) in reader.calls
    assert (rfq, after(10_900), after(10_900)) in store.rows(SIGHTS)


# Numbers of loads


def test_every_row_carries_the_number_of_its_load(
    store: Store, reader: InProcessReader, market: Market, me: Party, other: Party
) -> None:
    numbers = []
    for n in range(2):
        create_quote(market, other, create_rfq(market, me, n))
        run(store, reader)
        numbers.append(store.rows("select max(load) from raw.loads where is_whole")[0][0])

    for table in ("rfq_versions", "quote_versions", "extraction_runs", "passes"):
        loads = [load for (load,) in store.rows(f"select distinct load from raw.{table}")]
        assert all(0 < load <= numbers[1] for load in loads)
        assert any(load > numbers[0] for load in loads)
        assert any(load <= numbers[0] for load in loads)
    loads = store.rows("select load from raw.rfq_versions order by created_ts, load")
    assert loads[0] <= (numbers[0],) < loads[-1]
    whole = f"select bool_and(is_whole) from raw.loads where load > {numbers[0]}"
    assert store.rows(whole) == [(True,)]


# Up to when all was read


def test_what_is_shown_is_what_every_list_has_been_read_up_to(
    store: Store,
    reader: InProcessReader,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
) -> None:
    """A day apart, so that the daily lists are read; each list takes 20 s, reads by id 5 s."""
    create_quote(market, me, create_rfq(market, other))
    run(store, reader, MARKET)
    market.delete_rfq(other, market.get_rfqs(other).rows[0]["id"])
    clock.advance(86_400)
    serve_changed(reader, lambda row: [row, clock.advance(5)][0])
    for _ in range(2):
        create_quote(market, other, create_rfq(market, me, 1 + len(market.get_rfqs(me).rows)))
    began = clock.now()

    run(store, reader, MARKET)

    assert last_moments(store.connection) == Moments(began, clock.now(), is_market_complete=True)
    assert clock.now() > began + timedelta(seconds=20)


def test_a_list_that_nothing_vouches_for_holds_back_what_is_shown(
    store: Store, reader: InProcessReader, market: Market, clock: ManualClock, me: Party
) -> None:
    run(store, reader)
    clock.advance(600)
    create_rfq(market, me)
    nameless_rows(reader)
    serve_changed(reader, lambda row: {k: v for k, v in row.items() if k != "id"}, only="rfqs")

    run(store, reader)

    assert last_moments(store.connection) == Moments(NOON, after(600), is_market_complete=False)


def test_a_list_that_was_never_verified_is_shown_as_it_was_read(
    store: Store, reader: InProcessReader, market: Market, clock: ManualClock, me: Party
) -> None:
    """The list of RFQs shows a row that cannot be read from the first run on."""
    create_rfq(market, me)
    serve_changed(reader, lambda row: {k: v for k, v in row.items() if k != "id"}, only="rfqs")

    for _ in range(2):
        clock.advance(60)
        run(store, reader)

    shown = Moments(after(120), after(120), is_market_complete=False)
    assert last_moments(store.connection) == shown
