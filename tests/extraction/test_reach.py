"""What is read beyond the usual window: a backfill, busy windows, ids one by one, the coverage."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from pipelines.kalshi import lists
from pipelines.kalshi.client.errors import ConfigurationError, ExchangeUnavailable
from pipelines.kalshi.extraction import LoadSettings
from pipelines.kalshi.watermark import Window, slices
from pipelines.sandbox import ManualClock, Market
from pipelines.sandbox.accounts import Party
from tests.extraction.exchange_objects import MARKET, create_quote, create_quotes, create_rfq
from tests.extraction.loading import NOON, SMALL, Store, run
from tests.extraction.reading import InProcessReader

DAY = timedelta(days=1)


def test_slices_follow_each_other_and_end_where_asked() -> None:
    found = list(slices(NOON, NOON + 2.5 * DAY))

    assert [later.start for _, later in pairwise(found)] == [w.end for w in found[:-1]]
    assert (found[0].start, found[-1].end) == (NOON, NOON + 2.5 * DAY)


@pytest.mark.parametrize(
    "span", [{"until": NOON}, {"since": NOON, "until": NOON}, {"since": NOON.replace(tzinfo=None)}]
)
def test_a_backfill_needs_a_span(span: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        LoadSettings(**span)


def backfill(**others: Any) -> LoadSettings:
    return replace(SMALL, since=NOON - 5 * DAY, until=NOON + 5 * DAY, **others)


def old_quotes(market: Market, clock: ManualClock, me: Party, other: Party) -> list[str]:
    clock.advance(-3 * 86_400)
    quotes = create_quotes(market, clock, me, other, 4)
    clock.advance(3 * 86_400)
    return quotes


def test_a_backfill_reads_what_lies_before_the_usual_window(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    market.behavior = replace(market.behavior, rfq_lifetime_s=7 * 86_400)
    quotes = old_quotes(market, clock, me, other)
    run(store, reader)
    assert store.current("quotes") == {}
    usual = store.watermarks()

    run(store, reader, backfill())

    assert store.current("quotes").keys() == set(quotes)
    assert all(store.watermarks()[key] >= mark for key, mark in usual.items())
    passed = store.rows("select count(*) from raw.extraction_runs where pass like 'backfill%'")
    assert passed == [(2,)]


def test_a_backfill_reads_the_markets_list_down_to_where_it_begins(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    """What the list had left out when it was read shows further down than a usual run looks."""
    market.behavior = replace(market.behavior, rfq_lifetime_s=7 * 86_400)
    left_out = create_rfq(market, other)
    market.faults.vanished.add(left_out)
    clock.advance(3_600)
    for n in range(1, 5):
        create_rfq(market, other, n)
        clock.advance(1_200)
    run(store, reader, MARKET)
    market.faults.clear()
    run(store, reader, MARKET)
    assert (left_out,) not in store.rows("select rfq_id from staging.rfqs")

    run(store, reader, replace(MARKET, since=NOON - timedelta(seconds=1)))

    assert (left_out,) in store.rows("select rfq_id from staging.rfqs")


def test_an_interrupted_backfill_resumes(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    """An interrupted backfill goes on where it stood and a finished one starts anew."""
    market.behavior = replace(market.behavior, rfq_lifetime_s=7 * 86_400)
    quotes = old_quotes(market, clock, me, other)
    usual = reader.get_quotes
    reach = backfill(rows_per_load=1)

    def break_off(**parameters: Any) -> Any:
        is_late = (parameters["max_ts"] or 0) > (NOON - DAY).timestamp()
        if parameters.get("rfq_user_filter") and is_late:
            raise ExchangeUnavailable("down")
        return usual(**parameters)

    reader.get_quotes = break_off
    with pytest.raises(ExchangeUnavailable):
        run(store, reader, reach)
    assert store.current("quotes").keys() == set(quotes)
    starts: list[int] = []

    def noted(**parameters: Any) -> Any:
        if parameters["max_ts"]:
            starts.append(parameters["min_ts"])
        return usual(**parameters)

    reader.get_quotes = noted
    run(store, reader, reach)
    assert starts.count(Window(NOON - 5 * DAY).min_ts) == 1  # of the side that was finished

    starts.clear()
    run(store, reader, reach)
    assert starts.count(Window(NOON - 5 * DAY).min_ts) == 2


def forgotten(store: Store) -> dict[str, Any]:
    """What the last run found gone, by pass."""
    last = "run_id = (select run_id from raw.extraction_runs order by rowid desc limit 1)"
    query = f"select pass, forgotten_before_ts from raw.extraction_runs where {last}"
    return dict(store.rows(query))


def test_a_first_load_says_what_the_exchange_no_longer_holds(
    store: Store, market: Market, clock: ManualClock, me: Party, reader: Any, caplog: Any
) -> None:
    market.behavior = replace(market.behavior, retention_s=SMALL.retention.total_seconds())
    market.delete_rfq(me, create_rfq(market, me))
    clock.advance(SMALL.retention.total_seconds() + 1)

    run(store, reader)

    kept_since = clock.now().replace(microsecond=0) - SMALL.retention
    assert store.rows("select rfq_id from staging.rfqs") == []
    passes_of_lists = ("rfqs_self", "quotes_made", "quotes_received")
    assert forgotten(store) == dict.fromkeys(passes_of_lists, kept_since)
    (said,) = caplog.messages
    assert f"those that ended before {kept_since:%Y-%m-%d %H:%M} UTC are gone there" in said

    clock.advance(600)
    run(store, reader)
    assert set(forgotten(store).values()) == {None}
    assert len(caplog.messages) == 1


def test_a_gap_longer_than_the_retention_is_told_from_where_to_where(
    store: Store, clock: ManualClock, reader: Any, caplog: Any
) -> None:
    run(store, reader)
    caplog.clear()
    clock.advance(3 * 86_400)

    run(store, reader)

    kept_since = clock.now() - SMALL.retention
    assert set(forgotten(store).values()) == {kept_since}
    (said,) = caplog.messages
    assert f"between 2026-11-20 12:00 and {kept_since:%Y-%m-%d %H:%M} UTC are gone" in said


def test_a_backfill_says_what_of_its_span_is_gone(
    store: Store, clock: ManualClock, reader: Any, caplog: Any
) -> None:
    run(store, reader)
    caplog.clear()

    run(store, reader, backfill())

    gone = {name: moment for name, moment in forgotten(store).items() if moment}
    assert gone == dict.fromkeys(("backfill_made", "backfill_received"), NOON - SMALL.retention)
    (said,) = caplog.messages
    assert "between 2026-11-15 12:00 and 2026-11-20 00:00 UTC are gone" in said


def test_a_window_too_busy_to_be_swept_twice_alike_is_cut_until_it_is(
    store: Store, market: Market, clock: ManualClock, me: Party, other: Party, reader: Any
) -> None:
    create_quotes(market, clock, me, other, 6)
    restless(market, clock, other, create_rfq(market, me, 99))

    run(store, reader)

    verified = store.rows(
        "select is_verified from raw.extraction_runs where pass = 'quotes_received'"
    )
    assert verified == [(True,)]


def test_a_sweep_that_never_agrees_keeps_its_rows_and_its_watermark(
    store: Store,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
    reader: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Window, "halves", lambda self, now: None)
    quotes = create_quotes(market, clock, me, other, 6)
    restless(market, clock, other, create_rfq(market, me, 99))

    run(store, reader)

    assert store.current("quotes").keys() >= set(quotes)
    row = "select is_verified, sweeps, watermark_after_ts from raw.extraction_runs"
    assert store.rows(f"{row} where pass = 'quotes_received'") == [(False, lists.SWEEPS, None)]
    assert not [key for _, key in store.watermarks() if key.endswith("quotes_received")]


def restless(market: Market, clock: ManualClock, maker: Party, rfq_id: str) -> None:
    """From now on, every second page finds a quote that was not there before."""
    pages = market.faults.before_page

    def stir() -> None:
        clock.advance(1)
        create_quote(market, maker, rfq_id)
        pages[2] = stir

    pages[2] = stir


def test_the_coverage_counts_open_rfqs_that_no_run_had_read_once_a_day(
    store: Store, market: Market, clock: ManualClock, other: Party, reader: Any
) -> None:
    market.behavior = replace(market.behavior, rfq_lifetime_s=7 * 86_400)
    known, missed = create_rfq(market, other, 1), create_rfq(market, other, 2)
    market.faults.vanished.add(missed)
    clock.advance(3600)
    run(store, reader, MARKET)
    run(store, reader, MARKET)
    assert store.rows("from raw.coverage") == []

    for new in (3, 4):
        clock.advance(86_400)
        create_rfq(market, other, new)
        run(store, reader, MARKET)
        market.faults.vanished.clear()

    counts = "select open_rfqs_listed, open_rfqs_missed, is_complete from raw.coverage"
    assert store.rows(counts) == [(1, 0, True), (2, 1, True)]
    assert {known, missed} <= {id_ for (id_,) in store.rows("select rfq_id from staging.rfqs")}


def test_a_paused_market_sweep_resumes(
    store: Store, market: Market, clock: ManualClock, other: Party
) -> None:
    """A paused market sweep goes on in the next run and then catches up."""

    class Interrupted(InProcessReader):
        def get_rfqs(self, **parameters: Any) -> Any:
            if len(self.calls) > 3:
                raise ExchangeUnavailable("down")
            return super().get_rfqs(**parameters)

    ids = []
    for n in range(12):
        ids.append(create_rfq(market, other, n))
        clock.advance(10)
    reach = replace(MARKET, rfqs_per_page=2, rows_per_load=2)
    with pytest.raises(ExchangeUnavailable):
        run(store, Interrupted(market, other), reach)
    begun = len(store.rows("select rfq_id from staging.rfqs"))
    clock.advance(600)
    ids.append(create_rfq(market, other, 99))

    run(store, InProcessReader(market, other), reach)

    assert 0 < begun < 12
    assert {id_ for (id_,) in store.rows("select rfq_id from staging.rfqs")} == set(ids)


@pytest.mark.parametrize(("waited_s", "is_read"), [(86_399, False), (86_400, True)])
def test_our_own_rfqs_are_read_again_after_a_day_to_the_second(
    store: Store, clock: ManualClock, reader: InProcessReader, waited_s: int, is_read: bool
) -> None:
    """Beside the list of the market, in which they are read by every run."""
    run(store, reader, MARKET)
    reader.calls.clear()
    clock.advance(waited_s)

    run(store, reader, MARKET)

    own = [parameters.get("user_filter") for name, parameters in reader.calls if name == "rfqs"]
    assert any(own) is is_read
