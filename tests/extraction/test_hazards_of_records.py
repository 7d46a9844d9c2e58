"""Records that no list shows, and marks that belong to somebody else; HAZARDS.md has them all."""

from dataclasses import replace
from typing import Any

import pytest

from pipelines.kalshi.client import Page
from pipelines.kalshi.errors import ExchangeUnavailable
from pipelines.sandbox import ManualClock, Market
from pipelines.sandbox.parties import Party
from tests.extraction.dealings import ask, gone, offer, status
from tests.extraction.loading import Store, run
from tests.extraction.reading import InProcessReader


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
    run(store, InProcessReader(market, me, exchange="https://demo.test:443"))
    quote = offer(market, other, ask(market, me))
    clock.advance(3600)
    run(store, InProcessReader(market, other, exchange="https://demo.test:443"))

    run(store, reader)

    assert status(store, "quotes", quote) == "open"
    assert {key.split()[0] for _, key in store.watermarks()} == {
        "https://demo.test:443",
        "https://exchange.test:443",
    }
