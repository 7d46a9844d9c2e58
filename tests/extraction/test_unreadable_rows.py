"""Rows that cannot be read: no watermark passes them unless they are asked for again by id."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipelines.kalshi.by_id import READS_OF_REJECTED
from pipelines.kalshi.client.errors import ExchangeUnavailable
from pipelines.sandbox import ManualClock, Market
from pipelines.sandbox.accounts import Party
from tests.extraction.exchange_objects import (
    MARKET,
    create_quote,
    create_quotes,
    create_rfq,
    create_rfqs,
    status,
)
from tests.extraction.loading import SMALL, Store, run
from tests.extraction.reading import InProcessReader, serve_changed

Change = Callable[[dict[str, Any]], Any]
UNTYPED = {"created_ts": "soon"}
IN_PAGES = replace(SMALL, quotes_per_page=500, rfqs_per_page=100)


def corrupted(*ids: str, **change: Any) -> Change:
    """Change the rows of these ids, in lists and answers by id."""
    return lambda row: row | change if row["id"] in ids else row


def reads(reader: InProcessReader, id_: str) -> int:
    """How often a record was asked for by its id."""
    return sum(parameters.get("id") == id_ for _, parameters in reader.calls)


def stored_ids(store: Store, entity: str) -> set[str]:
    """Whosever they are."""
    return {id_ for (id_,) in store.rows(f"select {entity[:-1]}_id from staging.{entity}")}


def marks(store: Store) -> dict[str, str]:
    return {key.split()[-1]: mark for (_, key), mark in store.watermarks().items()}


@pytest.mark.parametrize("row", [None, 5, "row", []], ids=repr)
@pytest.mark.parametrize("entity", ["rfqs", "quotes"])
def test_a_row_that_is_no_object_makes_its_page_bad(
    store: Store, market: Market, me: Party, other: Party, reader: Any, entity: str, row: object
) -> None:
    """Beside a readable row, and where the page has no other."""
    rfq = create_rfq(market, me)
    quote = create_quote(market, other, rfq)
    serve_changed(reader, lambda _: row, entity)

    with pytest.raises(ExchangeUnavailable, match=r"a row under .* was no object"):
        run(store, reader)

    assert {"rfqs": "rfqs_self", "quotes": "quotes_received"}[entity] not in marks(store)
    serve_changed(reader)
    run(store, reader)
    assert (status(store, "rfqs", rfq), status(store, "quotes", quote)) == ("open", "open")


@pytest.mark.parametrize("reach", [SMALL, MARKET], ids=lambda reach: reach.scope)
def test_a_row_without_an_id_holds_its_watermark_back(
    store: Store,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
    reader: Any,
    reach: Any,
) -> None:
    run(store, reader, reach)
    before = marks(store)
    clock.advance(600)
    rfq = create_rfq(market, me)
    quote = create_quote(market, other, rfq)
    serve_changed(reader, corrupted(rfq, quote, id=None))
    run(store, reader, reach)
    list_of_rfqs = "rfqs_market" if reach is MARKET else "rfqs_self"
    held_back = {"quotes_received", list_of_rfqs}
    assert {name for name, mark in marks(store).items() if mark == before[name]} >= held_back
    clock.advance(3_600)
    serve_changed(reader)

    run(store, reader, reach)

    assert (status(store, "rfqs", rfq), status(store, "quotes", quote)) == ("open", "open")
    assert all(marks(store)[name] > before[name] for name in held_back)


def test_the_next_slice_remembers_a_row_without_an_id(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    """A nameless row in a slice of the market's list is remembered by the next."""
    ids = create_rfqs(market, clock, other, 12)
    serve_changed(reader, corrupted(ids[-1], id=""))

    run(store, reader, replace(MARKET, rfqs_per_page=2, rows_per_load=2))

    assert "rfqs_market" not in marks(store)
    assert len(store.current("rfqs")) == 11


def test_more_unreadable_rows_than_allowed_hold_the_watermark_back(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    quotes = create_quotes(market, clock, me, other, 11)
    serve_changed(reader, corrupted(*quotes[:10], **UNTYPED))

    run(store, reader, IN_PAGES)

    assert "quotes_received" not in marks(store)
    counted = "select rejected_rows, is_verified from raw.extraction_runs"
    assert store.rows(f"{counted} where pass = 'quotes_received'") == [(10, False)]
    # The list is read again, so none of them needs to be asked for by id.
    assert not any(reads(reader, id_) for id_ in quotes)
    serve_changed(reader)
    run(store, reader, IN_PAGES)
    assert store.current("quotes").keys() == set(quotes)


def test_each_unreadable_row_counts_and_each_content_is_kept_once(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    """Rows that have lost all that made them differ, and served by every run."""
    quotes = create_quotes(market, clock, me, other, 3)
    alike = {"id": "x", "rfq_id": "y", "created_ts": "soon"}
    serve_changed(reader, lambda row: alike if row["id"] in quotes else row)

    run(store, reader, IN_PAGES)
    run(store, reader, IN_PAGES)

    counted = "select rejected_rows from raw.extraction_runs where pass = 'quotes_received'"
    assert store.rows(counted) == [(3,), (3,)]
    assert store.rows("select reason, id from raw.rejected_rows") == [
        ("created_ts is not an RFC 3339 timestamp", None)
    ]


def test_unreadable_ids_are_read_again_three_times_then_daily(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    """What cannot be read is asked for by id in three more runs then daily while it is kept."""
    market.behavior = replace(market.behavior, rfq_lifetime_s=30 * 86_400)
    quote = create_quote(market, other, create_rfq(market, me))
    serve_changed(reader, corrupted(quote, **UNTYPED))
    before = marks(store)
    weekly = replace(SMALL, retention=timedelta(days=3))
    counts = []
    for _ in range(READS_OF_REJECTED + 3):
        run(store, reader, weekly)
        counts.append(reads(reader, quote))
        clock.advance(600)

    assert counts == [1, 2, 3, 4, 4, 4, 4]
    assert marks(store)["quotes_received"] > before.get("quotes_received", "")
    for days in (1, 2, 3, 4):
        clock.advance(86_400)
        run(store, reader, weekly)
        run(store, reader, weekly)
        assert reads(reader, quote) == READS_OF_REJECTED + min(days, 2)
    # It was counted where a list showed it, and not again for each read.
    by_id = "select sum(rejected_rows) from raw.extraction_runs where pass = 'quotes_by_id'"
    assert store.rows(by_id) == [(0,)]


@pytest.mark.parametrize("entity", ["rfqs", "quotes"])
def test_what_can_be_read_again_by_id_is_read_and_leaves_the_list(
    store: Store,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
    reader: Any,
    entity: str,
) -> None:
    """Though no list shows it any more: it has not changed since the watermark passed it."""
    rfq = create_rfq(market, other)
    quote = create_quote(market, me, rfq)
    id_ = rfq if entity == "rfqs" else quote
    clock.advance(60)
    create_rfq(market, other, 1)
    clock.advance(600)
    serve_changed(reader, corrupted(id_, contracts_fp="many"))
    reach = replace(MARKET, rfqs_per_page=1)
    run(store, reader, reach)
    assert id_ not in stored_ids(store, entity)
    clock.advance(3_600)
    serve_changed(reader)

    run(store, reader, reach)

    assert id_ in stored_ids(store, entity)
    assert reads(reader, id_) == 2
    clock.advance(600)
    run(store, reader, reach)
    assert reads(reader, id_) == 2


def test_what_is_readable_again_as_it_was_known_leaves_the_list_too(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    quote = create_quote(market, other, create_rfq(market, me))
    run(store, reader)
    serve_changed(reader, corrupted(quote, **UNTYPED))
    run(store, reader)
    serve_changed(reader)
    run(store, reader)
    asked_for = reads(reader, quote)

    run(store, reader)

    assert reads(reader, quote) == asked_for == 2


def test_an_answer_by_id_without_its_id_is_asked_for_again(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    rfq = create_rfq(market, other)
    create_quote(market, me, rfq)
    serve_changed(reader, corrupted(rfq, id=None))
    run(store, reader)
    assert store.rows("select reason, id from raw.rejected_rows") == [("id is missing", rfq)]
    serve_changed(reader)

    run(store, reader)

    assert stored_ids(store, "rfqs") == {rfq}


def test_an_answer_by_id_with_another_record_is_none(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    wanted, wrong = create_rfq(market, other), create_rfq(market, other, 1)
    create_quote(market, me, wanted)
    usual = reader.get_rfq
    reader.get_rfq = lambda _: usual(wrong)
    run(store, reader)
    assert stored_ids(store, "rfqs") == set()
    reader.get_rfq = usual

    run(store, reader)

    assert stored_ids(store, "rfqs") == {wanted}


def test_rows_of_an_earlier_load_count_as_read(
    store: Store,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
    reader: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was read in an earlier load of a run is not remembered as unread."""
    monkeypatch.setattr("pipelines.kalshi.by_id.READS_PER_LOAD", 2)
    quotes = create_quotes(market, clock, me, other, 4)
    serve_changed(reader, corrupted(*quotes, **UNTYPED))

    run(store, reader)

    assert [reads(reader, id_) for id_ in quotes] == [1] * 4
    by_id = store.states["quotes_by_id"].values()
    assert [state["pending"] for state in by_id] == [[]]


def test_of_very_many_unreadable_rows_the_content_of_some_is_kept(
    store: Store,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
    reader: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.kalshi.report.MOST_KEPT_WHOLE", 2)
    quotes = create_quotes(market, clock, me, other, 4)
    serve_changed(reader, corrupted(*quotes, **UNTYPED))

    run(store, reader, IN_PAGES)

    kept = "select count(id), count(redacted_row) from raw.rejected_rows where resource = 'quotes'"
    assert store.rows(kept) == [(4, 2)]
