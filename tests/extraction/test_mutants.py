"""Each hazard owns a change of our code that would bring it back, and the test that notices."""

import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import md5
from typing import Any

import pyarrow as pa
import pytest

from pipelines.kalshi import by_id, market_list, pages, paging, passes, watermark
from pipelines.kalshi import lists as list_passes
from pipelines.kalshi.client import session
from pipelines.kalshi.client.errors import ExchangeError
from pipelines.kalshi.client.json_body import ListPage
from pipelines.kalshi.entities import Entity
from pipelines.kalshi.extraction import Extraction, Limits
from pipelines.kalshi.pages import Rows
from pipelines.kalshi.reading import NOT_DUE, SeenAgain
from pipelines.kalshi.report import PassReport
from pipelines.kalshi.versions import Tombstones, Versions
from pipelines.kalshi.watermark import Watermark, Window
from tests.extraction import test_hazards_of_lists as lists
from tests.extraction import test_hazards_of_records as records
from tests.extraction import test_hazards_of_time as time
from tests.extraction import test_sights as sights
from tests.extraction import test_trouble as trouble
from tests.extraction import test_unreadable_rows as unreadable
from tests.profile import nightly

Patch = pytest.MonkeyPatch
MUTANTS: list[tuple[int, Callable[..., None], Callable[[Patch], None]]] = []
Mutant = Callable[[Patch], None]


def kills(number: int, test: Callable[..., None]) -> Callable[[Mutant], Mutant]:
    """Say that *test* fails under the mutant of hazard *number*."""

    def note(mutant: Mutant) -> Mutant:
        MUTANTS.append((number, test, mutant))
        return mutant

    return note


@kills(1, lists.test_a_row_skipped_because_another_left_its_page_is_found)
def the_first_sweep_counts(patch: Patch) -> None:
    patch.setattr(list_passes, "SWEEPS", 1)


@kills(2, time.test_what_changes_behind_a_sweep_is_read_by_the_next_run)
def the_watermark_is_the_end_of_the_sweep(patch: Patch) -> None:
    advance = Watermark.advance
    patch.setattr(Watermark, "advance", lambda self, to: advance(self, self._local_clock()))


@kills(3, time.test_a_change_at_the_same_instant_is_a_change)
def a_version_is_an_id_and_an_update_time(patch: Patch) -> None:
    def hashes(self: Versions, rows: pa.Table) -> pa.Array:
        versions = rows.select(["id", "updated_ts"]).to_pylist()
        return pa.array(
            [md5(str(each).encode(), usedforsecurity=False).hexdigest() for each in versions]
        )

    patch.setattr(Versions, "hashes", hashes)


@kills(4, time.test_whole_seconds_leave_nothing_out)
def min_ts_is_not_a_second_early(patch: Patch) -> None:
    patch.setattr(Window, "min_ts", property(lambda self: int(self.start.timestamp())))


@kills(5, time.test_a_row_that_shows_up_late_is_found)
def nothing_is_read_twice(patch: Patch) -> None:
    usual = list_passes.windows

    def windows(*moments: Any, **spans: Any) -> Any:
        return usual(*moments, **spans | {"overlap": timedelta(0)})

    patch.setattr(list_passes, "windows", windows)


@kills(5, time.test_rows_after_a_clock_set_back_are_found)
def a_clock_set_back_is_not_noticed(patch: Patch) -> None:
    patch.setattr(watermark, "CLOCK_STEP", timedelta(days=1))


@kills(
    5,
    time.test_rows_dated_by_a_slow_clock_are_found_later,
)
def a_clock_put_right_is_as_if_it_had_never_been_wrong(patch: Patch) -> None:
    patch.setattr(
        Watermark, "read_from", property(lambda self: self.value and self.value - self.step_back)
    )


@kills(5, trouble.test_a_clock_set_back_between_slices_is_noticed)
def a_slice_forgets_its_clock(patch: Patch) -> None:
    finish = market_list.MarketSweep.finish
    patch.setattr(market_list.MarketSweep, "finish", lambda self: (finish(self)[0], None))


@kills(6, time.test_our_own_clock_decides_nothing)
def our_clock_dates_the_pages(patch: Patch) -> None:
    patch.setattr(paging, "earned_ts", lambda page, rows: page.received_ts)


@kills(6, time.test_without_a_date_rows_prove_the_watermark)
@kills(6, time.test_without_a_date_a_list_without_rows_proves_nothing)
def without_a_date_our_clock_earns_the_watermark(patch: Patch) -> None:
    patch.setattr(paging, "earned_ts", lambda page, rows: paging.served_ts(page))


@kills(7, lists.test_an_expired_cursor_starts_the_list_again)
def an_expired_cursor_is_fatal(patch: Patch) -> None:
    patch.setattr(paging, "RESTARTS", 0)


@kills(7, trouble.test_a_refused_cursor_starts_the_market_list_again)
def an_old_cursor_is_refused_in_one_way(patch: Patch) -> None:
    patch.setattr(market_list, "ERRORS_OF_ONE_LIST", ())


@kills(7, trouble.test_cursors_shorter_than_a_slice_end_the_run)
def a_pause_may_lead_back_to_the_top(patch: Patch) -> None:
    patch.setattr(market_list.MarketSweep, "ask", lambda self, cursor: None)


@kills(8, lists.test_a_cursor_that_leads_back_is_an_error)
def a_cursor_may_repeat(patch: Patch) -> None:
    patch.setattr(paging, "_refuse_repeated", lambda entity, cursor, used: None)


@kills(9, lists.test_a_page_served_twice_is_stored_once)
def a_load_may_hand_a_version_on_twice(patch: Patch) -> None:
    patch.setattr(Versions, "_is_first_here", lambda self, key: True)


@kills(9, lists.test_a_second_sweep_reads_no_row_again_that_comes_in_the_same_bytes)
def what_comes_again_was_not_seen(patch: Patch) -> None:
    patch.setattr(list_passes._Known, "versions", lambda self, again: iter(()))


@kills(9, lists.test_a_second_sweep_reads_no_row_again_that_comes_in_the_same_bytes)
def what_comes_again_is_not_open_any_more(patch: Patch) -> None:
    patch.setattr(list_passes._Known, "sights", lambda self, batch: SeenAgain({}))


@kills(9, lists.test_pages_that_bring_nothing_new_for_ever_are_an_error)
def fruitless_pages_go_on(patch: Patch) -> None:
    patch.setattr(paging, "FRUITLESS_PAGES", 5_000)


@kills(10, lists.test_an_empty_page_with_a_cursor_is_not_the_end)
def an_empty_page_ends_the_list(patch: Patch) -> None:
    usual = paging.cut

    def cut(entity: Entity, body: bytes) -> ListPage:
        page = usual(entity, body)
        return page if page.n_rows else replace(page, cursor=None)

    patch.setattr(paging, "cut", cut)


@kills(11, lists.test_a_page_without_its_list_is_not_an_empty_one)
def a_missing_list_is_an_empty_one(patch: Patch) -> None:
    patch.setattr(paging, "cut", lambda entity, body: ListPage(0, None, None))
    none = pa.table({"id": pa.array([], pa.string())})
    patch.setattr(paging, "read_pages", lambda entity, bodies: Rows(none))


@kills(12, records.test_an_rfq_in_no_list_is_read_by_id)
def what_is_held_open_is_not_read_again(patch: Patch) -> None:
    unknown = "select id from candidates.unknown_rfqs where $1 is not null"
    patch.setattr(by_id, "_WANTED_RFQS", unknown)


@kills(13, records.test_an_rfq_between_runs_is_found_through_its_quote)
def quotes_name_no_rfqs(patch: Patch) -> None:
    known = "select id from candidates.rfqs where is_own or created_ts < $1"
    patch.setattr(by_id, "_WANTED_RFQS", known)


@kills(14, records.test_an_id_is_gone_after_two_misses_and_may_come_back)
def one_miss_buries(patch: Patch) -> None:
    usual = Tombstones.missed

    def missed(self: Tombstones, state: Any, id_: str, run_id: str, now: Any) -> Any:
        return usual(self, state, id_, "", now) or usual(self, state, id_, run_id, now)

    patch.setattr(Tombstones, "missed", missed)


@kills(14, records.test_an_id_is_gone_after_two_misses_and_may_come_back)
def gone_is_gone(patch: Patch) -> None:
    patch.setattr(Tombstones, "_gone", lambda self, rows: [])


@kills(14, records.test_a_quote_that_vanished_with_its_rfq_is_gone)
def open_quotes_are_left_alone(patch: Patch) -> None:
    patch.setattr(by_id, "_OUTLIVED", "select '', '' where $1 is null and $2 is null")


@kills(15, records.test_who_asked_is_read_once_a_quote_executed)
def an_execution_changes_no_rfq(patch: Patch) -> None:
    patch.setattr(by_id, "_executed", lambda reading: set())


def _mark_named(patch: Patch, key: Callable[[Extraction, str], str]) -> None:
    patch.setattr(Extraction, "_keys", lambda self, name: [key(self, name)])


@kills(16, records.test_each_pass_has_its_own_watermark)
def the_passes_share_a_watermark(patch: Patch) -> None:
    _mark_named(patch, lambda run, name: f"{run.origin} {run.account} {run.reach.scope}")


@kills(16, trouble.test_the_daily_lists_do_not_hold_back_the_markets)
def trouble_with_one_list_undoes_another(patch: Patch) -> None:
    patch.setattr(passes, "ExchangeError", ())


@kills(17, lists.test_a_list_in_another_order_is_read_to_its_end)
def the_order_is_taken_on_trust(patch: Patch) -> None:
    usual = market_list.MarketSweep._check_order

    def check(self: market_list.MarketSweep, rows: pa.Table) -> None:
        usual(self, rows)
        self.is_order_held = True

    patch.setattr(market_list.MarketSweep, "_check_order", check)


@kills(17, lists.test_own_rfqs_hidden_by_another_order_are_found_within_a_day)
def our_own_list_is_never_read(patch: Patch) -> None:
    own = tuple(
        replace(each, read=_never) if each.name == "rfqs_self" else each for each in passes.PASSES
    )
    patch.setattr(passes, "PASSES", own)


def _never(reading: Any) -> Any:
    yield from ()
    return NOT_DUE


@kills(18, records.test_another_account_or_scope_starts_at_nothing)
def accounts_share_a_watermark(patch: Patch) -> None:
    _mark_named(patch, lambda run, name: f"{run.origin} anybody {run.reach.scope} {name}")


@kills(18, trouble.test_another_accounts_run_does_not_bury_our_quotes)
def anybodys_key_may_bury(patch: Patch) -> None:
    patch.setattr(
        by_id, "_OUTLIVED", by_id._OUTLIVED.replace("or not coalesce(", "or true or coalesce(")
    )


@kills(19, records.test_another_exchange_starts_at_nothing)
def exchanges_share_a_watermark(patch: Patch) -> None:
    _mark_named(patch, lambda run, name: f"anywhere {run.account} {run.reach.scope} {name}")


@kills(20, lists.test_a_page_shorter_than_asked_for_is_not_the_last)
def a_short_page_ends_the_list(patch: Patch) -> None:
    usual = paging.cut

    def cut(entity: Entity, body: bytes) -> ListPage:
        page = usual(entity, body)
        return replace(page, cursor=None) if page.n_rows < 3 else page

    patch.setattr(paging, "cut", cut)


@kills(21, time.test_a_clock_far_ahead_does_not_carry_the_watermark_away)
def the_future_is_believed(patch: Patch) -> None:
    patch.setattr(watermark, "FUTURE_TOLERANCE", timedelta(days=500))


@kills(21, time.test_one_date_far_ahead_moves_nothing)
def every_date_is_believed(patch: Patch) -> None:
    patch.setattr(session, "TOLERANCE", timedelta(days=500))


@kills(21, time.test_a_clock_that_leapt_ahead_is_refused)
def a_leap_ahead_is_followed(patch: Patch) -> None:
    patch.setattr(watermark, "LEAP_S", 1e9)


@kills(22, unreadable.test_a_row_without_an_id_holds_its_watermark_back)
def a_watermark_passes_what_nobody_can_find_again(patch: Patch) -> None:
    patch.setattr(PassReport, "may_vouch", True)


@kills(22, unreadable.test_the_next_slice_remembers_a_row_without_an_id)
def a_slice_forgets_what_it_could_not_read(patch: Patch) -> None:
    pause = market_list.MarketSweep.pause

    def forget(self: market_list.MarketSweep, failures: int = 0) -> None:
        pause(self, failures)
        self._state["paused"]["may_vouch"] = True

    patch.setattr(market_list.MarketSweep, "pause", forget)


@kills(22, unreadable.test_more_unreadable_rows_than_allowed_hold_the_watermark_back)
def any_number_of_rows_may_be_unreadable(patch: Patch) -> None:
    patch.setattr(Limits, "exceeded", lambda self, rows, seen: False)


@kills(22, unreadable.test_what_can_be_read_again_by_id_is_read_and_leaves_the_list)
def what_could_not_be_read_is_not_asked_for_again(patch: Patch) -> None:
    patch.setattr(by_id, "_is_due", lambda seen, before, now: False)


@kills(22, unreadable.test_a_row_that_is_no_object_makes_its_page_bad)
def a_row_that_is_no_object_is_left_out(patch: Patch) -> None:
    def read_pages(entity: Entity, bodies: list[bytes]) -> Rows:
        lists = [json.loads(body)[entity.key] for body in bodies]
        objects = [[row for row in rows if isinstance(row, dict)] for rows in lists]
        kept = [json.dumps({entity.key: rows}).encode() for rows in objects]
        return pages.read_pages(entity, kept)

    patch.setattr(paging, "cut", lambda entity, body: ListPage(0, None, None))
    patch.setattr(paging, "read_pages", read_pages)


@kills(23, records.test_what_a_list_by_creation_does_not_show_is_read_by_id)
def accepted_quotes_are_left_to_the_list(patch: Patch) -> None:
    patch.setattr(by_id, "_unsettled", lambda reading: {})


@kills(23, records.test_an_accepted_quote_is_looked_at_twice_at_most)
def what_stays_accepted_is_read_by_every_run(patch: Patch) -> None:
    patch.setattr(
        by_id, "UNSETTLED_READ_AFTER", tuple(timedelta(seconds=s) for s in (60, 600, 900))
    )


@kills(24, sights.test_served_ts_is_the_start_of_the_verifying_sweep)
@kills(24, sights.test_a_pass_that_is_not_certain_of_a_moment_leaves_none)
def a_pass_was_served_when_its_first_sweep_began(patch: Patch) -> None:
    swept = list_passes.Swept
    patch.setattr(
        list_passes,
        "Swept",
        lambda began, is_verified, served_ts=None, sweeps=0: swept(
            began, is_verified, began, sweeps
        ),
    )


@kills(24, sights.test_a_second_sight_of_an_open_row_is_noted)
def what_is_seen_again_is_not_noted(patch: Patch) -> None:
    patch.setattr(PassReport, "see_again", lambda self, entity, known: None)


def test_every_hazard_owns_a_mutant() -> None:
    assert {number for number, _, _ in MUTANTS} == set(range(1, 25))


@nightly("it tries the tests, and each once more")
@pytest.mark.parametrize(
    ("test", "mutant"), [(test, mutant) for _, test, mutant in MUTANTS], ids=lambda f: f.__name__
)
def test_a_mutant_is_killed(
    test: Callable[..., None], mutant: Mutant, request: pytest.FixtureRequest, monkeypatch: Patch
) -> None:
    case = _case(test, request)
    mutant(monkeypatch)

    with pytest.raises((AssertionError, ExchangeError, pytest.fail.Exception)):
        test(**case)


def _case(test: Callable[..., None], request: pytest.FixtureRequest) -> dict[str, Any]:
    """The arguments of *test*: its fixtures, and the last value of its parameter."""
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    varied = {mark.args[0]: mark.args[1][-1] for mark in marks}
    names = inspect.signature(test).parameters.keys() - varied.keys()
    return {name: request.getfixturevalue(name) for name in names} | varied
