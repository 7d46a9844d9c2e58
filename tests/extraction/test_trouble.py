"""Trouble with one list or record stays its own: it holds nothing else back, and no later run."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipelines.kalshi.by_id import FAILURES
from pipelines.kalshi.client.errors import (
    CredentialsRefused,
    CursorRefused,
    ExchangeError,
    ExchangeUnavailable,
    NotFound,
    RequestRefused,
    TryLater,
)
from pipelines.kalshi.client.reader import Page
from pipelines.kalshi.extraction import LoadSettings
from pipelines.kalshi.paging import RESTARTS
from pipelines.kalshi.passes import MOST_FAILURES
from pipelines.sandbox import ManualClock, Market
from pipelines.sandbox.accounts import Party
from tests.extraction.exchange_objects import (
    MARKET,
    create_quote,
    create_quotes,
    create_rfq,
    create_rfqs,
    gone,
    status,
)
from tests.extraction.loading import SMALL, Store, run
from tests.extraction.reading import InProcessReader

DOWN = ExchangeUnavailable("HTTP 500")
IN_SLICES = replace(MARKET, rfqs_per_page=2, rows_per_load=2)


class Troubled(InProcessReader):
    """Raises what `trouble` says to the arguments of a list call."""

    trouble: Callable[[dict[str, Any]], ExchangeError | None] = staticmethod(
        lambda parameters: None
    )

    def get_rfqs(self, **parameters: Any) -> Page:
        if failure := self.trouble(parameters):
            raise failure
        return super().get_rfqs(**parameters)


def rfqs_quoted(market: Market, requester: Party, maker: Party, count: int) -> list[str]:
    """Let *maker* quote so many RFQs of *requester*; return their ids in order."""
    rfqs = sorted(create_rfq(market, requester, n) for n in range(count))
    for rfq in rfqs:
        create_quote(market, maker, rfq)
    return rfqs


def stored_ids(store: Store) -> set[str]:
    return {id_ for (id_,) in store.rows("select rfq_id from staging.rfqs")}


# Records


def test_an_unreadable_id_holds_nothing_else_back(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    """An id that cannot be read holds back neither the others nor later runs."""
    rfqs = [create_rfq(market, other, n) for n in range(3)]
    for rfq in rfqs:
        create_quote(market, me, rfq)
    reader.fails[min(rfqs)] = ExchangeUnavailable("HTTP 500")

    run(store, reader)

    stored = {id_ for (id_,) in store.rows("select rfq_id from staging.rfqs")}
    assert stored == set(rfqs) - {min(rfqs)}
    reasons = store.rows("select reason from raw.rejected_rows")
    assert reasons == [("it could not be read by id: ExchangeUnavailable",)]

    reader.fails.clear()
    run(store, reader)
    assert len(store.rows("select rfq_id from staging.rfqs")) == 3


@pytest.mark.parametrize("failure", [DOWN, CredentialsRefused("HTTP 403")])
def test_where_many_reads_fail_the_rest_waits_and_the_lists_do_not(
    store: Store,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
    reader: Any,
    failure: Any,
) -> None:
    rfqs = [create_rfq(market, other, n) for n in range(5)]
    for rfq in rfqs:
        create_quote(market, me, rfq)
        reader.fails[rfq] = failure

    run(store, reader)

    assert sum(name == "rfq" for name, _ in reader.calls) == FAILURES + 1
    assert len(store.current("quotes")) == 5
    assert len(store.watermarks()) == 3
    reader.fails.clear()
    run(store, reader)
    assert stored_ids(store) == set(rfqs)


def test_what_is_due_once_is_still_due_after_a_run_that_was_ended(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    """An execution is looked at once: a run that was told to wait in between has forgotten none."""
    rfqs = sorted(create_rfq(market, other, n) for n in range(3))
    quotes = [create_quote(market, me, rfq) for rfq in rfqs]
    run(store, reader)
    for quote in quotes:
        market.accept_quote(other, quote, "no")
        market.confirm_quote(me, quote)
    clock.advance(60)
    reader.fails[rfqs[1]] = TryLater("HTTP 429")

    with pytest.raises(TryLater):
        run(store, reader)
    named = "select distinct id from raw.rfq_versions where creator_id = '{}' order by id"
    assert store.rows(named.format(other.communications_id)) == [(rfqs[0],)]

    reader.fails.clear()
    run(store, reader)
    assert store.rows(named.format(other.communications_id)) == [(rfq,) for rfq in rfqs]


def test_failing_records_do_not_block_the_others(
    store: Store, market: Market, me: Party, other: Party, reader: Any
) -> None:
    """Records that always fail do not keep the others waiting for ever."""
    rfqs = rfqs_quoted(market, other, me, 6)
    reader.fails |= dict.fromkeys(rfqs[: FAILURES + 1], DOWN)

    run(store, reader)
    assert stored_ids(store) == set()
    run(store, reader)

    assert stored_ids(store) == set(rfqs[FAILURES + 1 :])


def test_a_record_that_vanishes_is_gone_though_others_fail(
    store: Store, market: Market, me: Party, other: Party, reader: Any
) -> None:
    """It was missed once, and those that fail come before it by their ids."""
    rfqs = rfqs_quoted(market, other, me, 5)
    reader.fails |= dict.fromkeys(rfqs[:4], DOWN) | {rfqs[4]: NotFound("HTTP 404", status=404)}

    for _ in range(4):
        run(store, reader)

    assert store.rows("select id from raw.tombstones") == [(rfqs[4],)]
    assert {call["id"] for name, call in reader.calls if name == "rfq"} == set(rfqs)


def test_an_rfq_that_is_gone_is_not_asked_for_again_a_day_after_its_execution(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    rfq = create_rfq(market, other)
    quote = create_quote(market, me, rfq)
    market.accept_quote(other, quote, accepted_side="yes")
    market.confirm_quote(me, quote)
    clock.advance(60)
    reader.fails[rfq] = NotFound("HTTP 404", status=404)
    for _ in range(2):
        run(store, reader)
    reader.calls.clear()
    clock.advance(86_400)

    run(store, reader)

    assert store.rows("select id from raw.tombstones") == [(rfq,)]
    assert [call for name, call in reader.calls if name == "rfq"] == []


def test_refused_records_do_not_block_the_others(
    store: Store, market: Market, me: Party, other: Party, reader: Any
) -> None:
    """Records that are refused for good keep no other from being read."""
    rfqs = rfqs_quoted(market, other, me, 6)
    reader.fails |= dict.fromkeys(rfqs[:5], RequestRefused("HTTP 400", status=400))

    run(store, reader)

    assert stored_ids(store) == {rfqs[5]}
    assert store.rows("select count(*) from raw.rejected_rows") == [(5,)]
    # They are no broken rows, of which a few stop publishing.
    assert store.rows("select sum(rejected_rows) from raw.extraction_runs") == [(0,)]


def test_unreadable_quotes_do_not_stop_the_lists(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    """Quotes that cannot be read one by one do not stop the lists."""
    market.behavior = replace(market.behavior, rfq_lifetime_s=7 * 86_400)
    old = create_quotes(market, clock, me, other, 4)
    run(store, reader)
    reader.fails |= dict.fromkeys(old, DOWN)
    clock.advance(4 * 3600)
    new = create_quote(market, other, create_rfq(market, me, 9))

    run(store, reader)

    assert status(store, "quotes", new) == "open"


def test_another_accounts_run_does_not_bury_our_quotes(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party
) -> None:
    """They are not found with its key."""
    market.behavior = replace(market.behavior, rfq_lifetime_s=7 * 86_400)
    third = market.add_account("third", key="ed25519")
    quote = create_quote(market, other, create_rfq(market, me))
    ours, theirs = InProcessReader(market, me), InProcessReader(market, third)
    run(store, ours, account=me.communications_id)
    clock.advance(4 * 3600)

    for _ in range(3):
        run(store, theirs, account=third.communications_id)
    assert gone(store, "quotes") == set()

    market.faults.vanished.add(quote)
    for _ in range(2):
        run(store, ours, account=me.communications_id)
    assert gone(store, "quotes") == {quote}


def test_unread_ids_are_noted_once(
    store: Store, market: Market, me: Party, other: Party, reader: Any, monkeypatch: Any
) -> None:
    """A busy maker's quotes name hundreds of thousands of RFQs, and each load stores the state."""
    monkeypatch.setattr("pipelines.kalshi.by_id.READS_PER_LOAD", 2)
    for n in range(7):
        create_quote(market, me, create_rfq(market, other, n))
    sizes = []
    usual = store.load

    def load(*arguments: Any) -> None:
        usual(*arguments)
        sizes.extend(len(s.get("pending", [])) for s in store.states.get("rfqs_by_id", {}).values())

    monkeypatch.setattr(store, "load", load)

    run(store, reader)

    assert len(stored_ids(store)) == 7
    assert sizes == [0]


# Lists


@pytest.mark.parametrize("filtered", [{"status": "open"}, {"user_filter": "self"}])
def test_the_daily_lists_do_not_hold_back_the_markets(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, filtered: Any
) -> None:
    reader = Troubled(market, me)
    run(store, reader, MARKET)
    clock.advance(86_500)
    new, own = create_rfq(market, other, 1), create_rfq(market, me, 2)
    reader.trouble = lambda parameters: DOWN if filtered.items() <= parameters.items() else None

    with pytest.raises(ExchangeUnavailable):
        run(store, reader, MARKET)

    assert {new, own} <= stored_ids(store)
    marks = {key.split()[-1]: mark for (_, key), mark in store.watermarks().items()}
    assert marks["rfqs_market"] == clock.now().isoformat()


def test_the_markets_list_does_not_hold_back_our_quotes(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party
) -> None:
    """Not even where the exchange wants us to wait, which ends the run."""
    quote = create_quote(market, other, create_rfq(market, me))
    reader = Troubled(market, me)
    reader.trouble = lambda parameters: TryLater("HTTP 429")

    with pytest.raises(TryLater):
        run(store, reader, MARKET)

    assert status(store, "quotes", quote) == "open"


def test_a_list_of_nothing_but_broken_rows_is_read_to_its_end(
    store: Store, market: Market, clock: ManualClock, me: Party
) -> None:
    class Broken(InProcessReader):
        def get_rfqs(self, **parameters: Any) -> Page:
            page = super().get_rfqs(**parameters)
            return replace(
                page, body=page.body.replace(b'"contracts_fp": "1.00"', b'"contracts_fp": {}')
            )

    create_rfqs(market, clock, me, 20)

    run(store, Broken(market, me), replace(SMALL, rfqs_per_page=1))

    assert store.rows("select count(*) from raw.rejected_rows") == [(20,)]


@pytest.mark.parametrize(
    "refusal", [CursorRefused("HTTP 400", status=400), RequestRefused("HTTP 404", status=404), DOWN]
)
def test_a_refused_cursor_starts_the_market_list_again(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, refusal: Any
) -> None:
    """An old cursor that is refused in any way starts the market's list again."""
    ids = create_rfqs(market, clock, other, 12)
    reader = Troubled(market, me)
    reader.trouble = lambda parameters: DOWN if len(reader.calls) > 6 else None
    with pytest.raises(ExchangeUnavailable):
        run(store, reader, IN_SLICES)
    assert 0 < len(stored_ids(store)) < 12
    (state,) = (s for key, s in store.states["rfqs"].items() if key.endswith("rfqs_market"))
    old = state["paused"]["cursor"]
    reader.calls.clear()

    def refuse(parameters: dict[str, Any]) -> ExchangeError | None:
        is_first = not any(name == "rfqs" for name, _ in reader.calls)
        return refusal if is_first and parameters.get("cursor") == old else None

    reader.trouble = refuse
    loads = store.rows("select count(*) from raw.loads")

    run(store, reader, IN_SLICES)

    assert stored_ids(store) == set(ids)
    # What is ours is still read between slices of the list: one old cursor says nothing of others.
    assert store.rows("select count(*) from raw.loads")[0][0] > loads[0][0] + 4


def test_a_list_of_ours_that_failed_is_read_between_slices_of_the_market(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party
) -> None:
    """Trouble that is over ends no run, and nothing vanishes unread until the next one."""

    class Recovering(InProcessReader):
        """Serves quotes only once the market's list was asked for."""

        def get_quotes(self, **parameters: Any) -> Page:
            if not any(name == "rfqs" and "user_filter" not in asked for name, asked in self.calls):
                raise DOWN
            return super().get_quotes(**parameters)

    create_rfqs(market, clock, other, 12)
    quote = create_quote(market, me, market.get_rfqs(other).rows[0]["id"])

    run(store, Recovering(market, me), IN_SLICES)

    assert store.rows("select id from raw.quote_versions") == [(quote,)]


def test_a_list_of_ours_that_keeps_failing_is_left_to_the_next_run(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party
) -> None:
    """Each attempt may take minutes, while the market's list is not read."""
    asked: list[dict[str, Any]] = []

    class WithoutQuotes(InProcessReader):
        def get_quotes(self, **parameters: Any) -> Page:
            asked.append(parameters)
            raise DOWN

    ids = create_rfqs(market, clock, other, 24)

    with pytest.raises(ExchangeUnavailable):
        run(store, WithoutQuotes(market, me), IN_SLICES)

    assert stored_ids(store) == set(ids)
    assert sum("rfq_user_filter" in each for each in asked) == MOST_FAILURES


def test_an_outage_leaves_where_the_market_was_read_to(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party
) -> None:
    ids = create_rfqs(market, clock, other, 12)
    reader = Troubled(market, me)
    reader.trouble = lambda parameters: DOWN if len(reader.calls) > 6 else None
    for _ in range(5):
        with pytest.raises(ExchangeUnavailable):
            run(store, reader, IN_SLICES)
        reader.trouble = lambda parameters: DOWN

    assert_goes_on(store, reader, IN_SLICES, ids)


def test_a_slice_that_was_read_is_no_failure(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party
) -> None:
    """After three runs that each fail on their second page, the list still goes on there."""
    ids = create_rfqs(market, clock, other, 24)
    of_two_pages = replace(IN_SLICES, rows_per_load=4)
    reader = Troubled(market, me)
    reader.trouble = lambda parameters: DOWN if len(reader.calls) > 6 else None
    with pytest.raises(ExchangeUnavailable):
        run(store, reader, of_two_pages)

    def fail_after_a_page(parameters: dict[str, Any]) -> ExchangeError | None:
        pages = [call for name, call in reader.calls if name == "rfqs" and call["cursor"]]
        return DOWN if pages and parameters.get("cursor") else None

    reader.trouble = fail_after_a_page
    for _ in range(RESTARTS):
        reader.calls.clear()
        with pytest.raises(ExchangeUnavailable):
            run(store, reader, of_two_pages)

    assert_goes_on(store, reader, of_two_pages, ids)


def test_nothing_comes_late_while_a_list_has_never_been_read_to_its_end(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party
) -> None:
    """What an interrupted first run has left is read for the first time by the second."""
    ((last,),) = store.rows("select coalesce(max(load), 0) from raw.loads")
    create_rfqs(market, clock, other, 12)
    reader = Troubled(market, me)
    reader.trouble = lambda parameters: DOWN if len(reader.calls) > 6 else None
    with pytest.raises(ExchangeUnavailable):
        run(store, reader, IN_SLICES)
    reader.trouble = lambda parameters: None

    run(store, reader, IN_SLICES)
    late = f"select count(as_of_before) from raw.loads where load > {last}"
    before = store.rows(late)
    run(store, reader, IN_SLICES)

    assert before == [(0,)]
    assert store.rows(late) > [(0,)]


def assert_goes_on(store: Store, reader: Troubled, reach: LoadSettings, ids: list[str]) -> None:
    """Once the exchange answers again, the list is read to its end from where it was left."""
    reader.trouble = lambda parameters: None
    reader.calls.clear()

    run(store, reader, reach)

    assert stored_ids(store) == set(ids)
    first = next(call for name, call in reader.calls if name == "rfqs")
    assert first["cursor"] is not None


def test_cursors_shorter_than_a_slice_end_the_run(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party
) -> None:
    """Cursors that do not outlive a slice do not keep a run going for ever."""

    class Forgetful(InProcessReader):
        """Forgets its cursors whenever a load is stored."""

        loads = 0

        def get_rfqs(self, *, cursor: str | None = None, **parameters: Any) -> Page:
            stored = store.rows("select count(*) from raw.extraction_runs")[0][0]
            if cursor and stored != self.loads:
                raise CursorRefused("HTTP 400", status=400)
            self.loads = stored
            return super().get_rfqs(cursor=cursor, **parameters)

    ids = create_rfqs(market, clock, other, 12)

    run(store, Forgetful(market, me), IN_SLICES)

    assert stored_ids(store) == set(ids)


def test_a_window_that_is_too_long_to_be_answered_is_cut(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    quotes = create_quotes(market, clock, me, other, 3)
    usual = reader.get_quotes
    longest_s = 14 * 86_400

    def within(**parameters: Any) -> Page:
        if (parameters["max_ts"] or clock.now().timestamp()) - parameters["min_ts"] > longest_s:
            raise ExchangeUnavailable("HTTP 504")
        return usual(**parameters)

    reader.get_quotes = within

    run(store, reader, replace(SMALL, history=timedelta(days=100)))

    assert store.current("quotes").keys() == set(quotes)


def test_a_clock_set_back_between_slices_is_noticed(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party
) -> None:
    """A clock set back while the market is read in slices is noticed."""
    market.behavior = replace(market.behavior, rfq_lifetime_s=7 * 86_400)
    create_rfqs(market, clock, other, 12)
    reader = Troubled(market, me)
    run(store, reader, MARKET)
    clock.advance(3000)
    for n in range(50, 70):
        create_rfq(market, other, n)
    clock.advance(600)
    create_rfqs(market, clock, me, 12)
    reader.trouble = lambda parameters: DOWN if parameters.get("cursor") else None
    with pytest.raises(ExchangeUnavailable):
        run(store, reader, IN_SLICES)
    clock.advance(-1800)
    reader.local_ahead_s += 1800
    reader.trouble = lambda parameters: None
    run(store, reader, IN_SLICES)
    closed = create_rfq(market, other, 99)
    market.delete_rfq(other, closed)
    clock.advance(1900)

    run(store, reader, IN_SLICES)

    assert closed in stored_ids(store)


def test_an_interrupted_market_backfill_reads_the_rest(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party
) -> None:
    """A backfill of the market that was broken off at its last page reads the rest once.

    That page, and the span's six once more, as what the run before began with is old.
    """
    create_rfqs(market, clock, other, 12)
    reader = Troubled(market, me)
    run(store, reader, IN_SLICES)
    again = replace(IN_SLICES, since=clock.now() - timedelta(hours=1))
    clock.advance(900)
    reader.calls.clear()

    def market_pages() -> int:
        lists = [call for name, call in reader.calls if name == "rfqs"]
        return sum("user_filter" not in call for call in lists)

    reader.trouble = lambda parameters: DOWN if market_pages() > 4 else None
    with pytest.raises(ExchangeUnavailable):
        run(store, reader, again)
    reader.calls.clear()
    reader.trouble = lambda parameters: None

    run(store, reader, again)

    assert market_pages() == 1 + 6
