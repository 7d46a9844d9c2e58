"""Records that no list shows, and marks that belong to somebody else; HAZARDS.md has them all."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipelines.kalshi.client.errors import ExchangeUnavailable
from pipelines.kalshi.client.reader import Page
from pipelines.sandbox import ManualClock, Market
from pipelines.sandbox.accounts import Party
from tests.extraction.exchange_objects import create_quote, create_rfq, gone, status
from tests.extraction.loading import SMALL, Store, run
from tests.extraction.reading import InProcessReader


def test_an_rfq_in_no_list_is_read_by_id(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    """An RFQ that left no list behind is read by id when it must be over."""
    rfq = create_rfq(market, other)
    create_quote(market, me, rfq)
    run(store, reader)
    clock.advance(3 * 3600 + 1)

    run(store, reader)

    assert store.rows("select rfq_id, status from staging.rfqs") == [(rfq, "closed")]


def test_an_rfq_between_runs_is_found_through_its_quote(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    """An RFQ opened and closed between runs is found through its quote."""
    market.behavior = replace(market.behavior, quotes_of_deleted_rfq="cancel")
    rfq = create_rfq(market, other)
    create_quote(market, me, rfq)
    market.delete_rfq(other, rfq)

    run(store, reader)

    assert store.rows("select rfq_id, status from staging.rfqs") == [(rfq, "closed")]


def test_an_id_is_gone_after_two_misses_and_may_come_back(
    store: Store, market: Market, me: Party, reader: Any
) -> None:
    """An id is gone after two runs missed it and back once it is seen."""
    rfq = create_rfq(market, me)
    run(store, reader)
    market.faults.vanished.add(rfq)
    run(store, reader)
    assert gone(store, "rfqs") == set()

    run(store, reader)
    assert gone(store, "rfqs") == {rfq}

    market.faults.vanished.clear()
    run(store, reader)
    assert gone(store, "rfqs") == set()


def test_what_a_list_has_shown_between_two_misses_was_missed_once(
    store: Store, market: Market, clock: ManualClock, me: Party, reader: Any
) -> None:
    rfq = create_rfq(market, me)
    run(store, reader)
    for is_vanished in (True, False, True):
        clock.advance(60)
        market.faults.vanished.clear()
        market.faults.vanished.update([rfq] if is_vanished else [])
        run(store, reader)

    assert gone(store, "rfqs") == set()

    clock.advance(60)
    run(store, reader)
    assert gone(store, "rfqs") == {rfq}


def test_a_quote_that_vanished_with_its_rfq_is_gone(
    store: Store, market: Market, me: Party, other: Party, reader: Any
) -> None:
    rfq = create_rfq(market, me)
    quote = create_quote(market, other, rfq)
    run(store, reader)
    market.delete_rfq(me, rfq)

    run(store, reader)
    assert gone(store, "quotes") == set()

    run(store, reader)
    assert gone(store, "quotes") == {quote}


def test_who_asked_is_read_once_a_quote_executed(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    quote = create_quote(market, me, create_rfq(market, other))
    run(store, reader)
    market.accept_quote(other, quote, "no")
    market.confirm_quote(me, quote)
    clock.advance(60)

    run(store, reader)

    creators = store.rows("select creator_id from raw.rfq_versions where status = 'closed'")
    assert creators == [(other.communications_id,)]


@pytest.mark.parametrize("last", ["open", "confirmed", "accepted"])
def test_what_a_list_by_creation_does_not_show_is_read_by_id(
    store: Store,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
    reader: Any,
    last: str,
) -> None:
    """A quote of ours on somebody's RFQ, and somebody's on ours, older than the overlap."""
    market.behavior = replace(market.behavior, quote_window_of="created_ts")
    quotes = {create_quote(market, me, create_rfq(market, other)): (other, me)}
    quotes |= {create_quote(market, other, create_rfq(market, me)): (me, other)}
    clock.advance(3_600)
    trade(market, quotes, until=last)
    run(store, reader)
    trade(market, quotes, since=last)
    clock.advance(600)

    run(store, reader)
    clock.advance(2 * 3_600)
    run(store, reader)

    assert {id_: status for id_, (status, _) in store.current("quotes").items()} == dict.fromkeys(
        quotes, "executed"
    )
    seen = "select max(rows_created_before_window) from raw.extraction_runs"
    assert store.rows(seen) == [(0,)]


STEPS = ("open", "accepted", "confirmed")


def trade(market: Market, quotes: Any, since: str = "open", until: str = "confirmed") -> None:
    """Take quotes, each with its requester and maker, from one status to another."""
    steps = STEPS[STEPS.index(since) + 1 : STEPS.index(until) + 1]
    for quote, (requester, maker) in quotes.items():
        if "accepted" in steps:
            market.accept_quote(requester, quote, "no")
        if "confirmed" in steps:
            market.confirm_quote(maker, quote)


def test_an_accepted_quote_is_looked_at_twice_at_most(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    """Its accept has lapsed: it stays accepted for good. One seen so late needs no look at all."""
    market.behavior = replace(market.behavior, rfq_lifetime_s=30 * 86_400)
    late, quote = (create_quote(market, other, create_rfq(market, me, n)) for n in range(2))
    market.accept_quote(me, late, "no")
    clock.advance(86_400)
    market.accept_quote(me, quote, "no")
    reach = replace(SMALL, history=timedelta(days=9), retention=timedelta(days=9))
    looks = []
    for seconds in (0, 30, 90, 600, 86_400, 600, 86_400, 86_400):
        clock.advance(seconds)
        run(store, reader, reach)
        looks.append(sum(parameters.get("id") == quote for _, parameters in reader.calls))

    assert looks == [0, 0, 1, 1, 2, 2, 2, 2]
    assert not any(parameters.get("id") == late for _, parameters in reader.calls)


def test_a_list_that_shows_an_update_proves_its_filter_for_a_week(
    store: Store,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
    reader: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    market.behavior = replace(market.behavior, rfq_lifetime_s=30 * 86_400)
    quote = create_quote(market, other, create_rfq(market, me))
    said = []
    for seconds in (0, 3_600, 3_600, 6 * 86_400, 8 * 86_400):
        clock.advance(seconds)
        if seconds == 3_600 and len(said) == 2:
            market.delete_quote(other, quote)
        caplog.clear()
        run(store, reader)
        said.append("filters by update" in caplog.text)

    assert said == [False, True, False, False, True]


def test_each_pass_has_its_own_watermark(
    store: Store,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
    reader: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each pass has a watermark of its own and failure moves none."""
    quote = create_quote(market, other, create_rfq(market, me))
    clock.advance(3600)

    def refuse(**parameters: Any) -> Page:
        raise ExchangeUnavailable("down")

    with monkeypatch.context() as patched:
        patched.setattr(reader, "get_quotes", refuse)
        with pytest.raises(ExchangeUnavailable):
            run(store, reader)
    assert [resource for resource, _ in store.watermarks()] == ["rfqs"]

    run(store, reader)

    assert status(store, "quotes", quote) == "open"
    assert len(store.watermarks()) == 3


def test_another_account_or_scope_starts_at_nothing(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    theirs = create_rfq(market, other)
    clock.advance(3600)
    run(store, reader)

    run(store, InProcessReader(market, other), account="other")

    assert (theirs,) in store.rows("select rfq_id from staging.rfqs")
    accounts = {key.split()[1] for _, key in store.watermarks()}
    assert accounts == {"me", "other"}


def test_another_exchange_starts_at_nothing(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    run(store, InProcessReader(market, me, exchange="https://demo.test:443"))
    quote = create_quote(market, other, create_rfq(market, me))
    clock.advance(3600)
    run(store, InProcessReader(market, other, exchange="https://demo.test:443"))

    run(store, reader)

    assert status(store, "quotes", quote) == "open"
    assert {key.split()[0] for _, key in store.watermarks()} == {
        "https://demo.test:443",
        "https://exchange.test:443",
    }
