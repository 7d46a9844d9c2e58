"""What a watch hands over to raw vouches for what raw has, whatever was done to raw meanwhile."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines import job, purge
from pipelines.kalshi.client.reader import RetryPolicy
from pipelines.kalshi.passes import passes_of
from pipelines.landing import Landing
from pipelines.operations.runs import read_record
from pipelines.sandbox import Account, ManualClock, Market, visibility
from pipelines.sandbox.faults import ErrorOrder
from pipelines.store.database import Database
from pipelines.watch import Watch
from tests.running import access_of, ignore
from tests.test_files import empty_raw
from tests.watch.deals import REACH, Deals, Watching, at, no_builds, told
from tests.watch.driven import Inline, Plan, raw, watched

pytestmark = pytest.mark.usefixtures("few_marts")

WENT_BACK = """
select pass, watermark_before_ts, watermark_after_ts from raw.extraction_runs
where watermark_after_ts < watermark_before_ts
"""
REACHED = "select max(watermark_after_ts) from raw.extraction_runs where pass = '{}'"


class Unbuilt(Inline):
    """A thread that is done with what it is given, and has done nothing."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(None)
        return future


@pytest.fixture
def without_builds() -> Callable[[], Executor]:
    """Loads are done at once, and no build is made, of a file that went back."""
    return iter([Inline(), Unbuilt()]).__next__


@pytest.fixture
def landings(monkeypatch: pytest.MonkeyPatch) -> list[Landing]:
    """The landings of the watches of a test."""
    found: list[Landing] = []
    begin = Landing.__init__

    def noted(self: Landing, *args: Any) -> None:
        begin(self, *args)
        found.append(self)

    monkeypatch.setattr(Landing, "__init__", noted)
    return found


def test_a_list_that_a_load_has_read_further_keeps_how_far(
    watching: Watching,
    deals: Deals,
    market: Market,
    database: Database,
    landings: list[Landing],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cycle at 60 s reads quotes itself, as the first one does; the looks at 60 s fail.

    What the look at 55 s has seen is stored right after it.
    """

    def of_a_run(_: Landing, extraction: Any) -> Any:
        return passes_of(extraction.reach.scope)

    fail = ErrorOrder(503, "unavailable", "GetQuotes")
    acts = [
        *deals.acts(1, at_s=51, lives_s=300),
        (59, lambda: monkeypatch.setattr(Landing, "_passes", of_a_run)),
        (59.5, lambda: market.faults.errors.extend([fail] * 2)),
        (61, lambda: landings[0].land()),
    ]

    watching(125, acts, every_s=60)

    assert raw(database, WENT_BACK) == []
    # What the look had seen the cycle has stored before it.
    assert raw(database, "select observed_ts from raw.quote_versions") == [(at(60),)]
    assert raw(database, REACHED.format("quotes_made")) >= [(at(60),)]


def test_unreadable_rows_that_a_look_has_passed_are_read_by_id(
    exchange: Any,
    clock: ManualClock,
    market: Market,
    desk: Account,
    deals: Deals,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """12 of 30 quotes cannot be read: less than half of a look, and nearly all that is new in it.

    Half may be unreadable by the settings, which the looks heed as runs do. The looks at 100 s
    fail, and those after them show the same rows again.
    """
    broken: set[str] = set()
    real = visibility.visible_quote

    def served(record: Any, *rest: Any) -> dict[str, Any]:
        row: dict[str, Any] = real(record, *rest)
        return row | {"contracts_fp": "many"} if record.id in broken else row

    monkeypatch.setattr("pipelines.sandbox.market.visible_quote", served)

    def break_last() -> None:
        broken.update(id_ for number, id_ in deals.quotes.items() if number > 18)

    early = [act for n in range(1, 19) for act in deals.acts(n, at_s=7, lives_s=900)]
    late = [act for n in range(19, 31) for act in deals.acts(n, at_s=82, lives_s=900)]
    fail = [ErrorOrder(503, "unavailable", "GetQuotes")] * 2
    fails = (99.5, lambda: market.faults.errors.extend(fail))
    acts = sorted([*early, *late, (83.5, break_last), fails], key=lambda act: act[0])
    access = replace(access_of(exchange, desk, REACH), rejected_share=0.5)

    watched(database, access, Plan(clock, 125, acts), threads=no_builds())

    found = raw(
        database,
        "select count(*), count(distinct id) from raw.rejected_rows"
        " where resource = 'quotes' and is_read_again",
    )
    assert found == [(12, 12)]
    counted = "select sum(rejected_rows)::int from raw.extraction_runs where pass like 'quotes_%'"
    assert raw(database, counted) == [(12,)]
    assert market.faults.errors == []
    reached = (
        "select max(watermark_after_ts) from raw.extraction_runs where pass = 'quotes_received'"
    )
    assert raw(database, reached) >= [(at(115),)]


def test_what_raw_has_lost_while_its_file_was_closed_is_looked_at_again(
    watching: Watching,
    deals: Deals,
    database: Database,
    without_builds: Callable[[], Executor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Closed at 60 s it is kept, and closed at 120 s what was kept is put in its place."""
    closed: list[bytes] = []
    close = Landing.close

    def closing(self: Landing) -> None:
        close(self)
        closed.append(database.private_path.read_bytes())
        if len(closed) == 2:
            database.private_path.write_bytes(closed[0])

    monkeypatch.setattr("pipelines.landing.LOADS_UNTIL_OPENED_ANEW", 1)
    monkeypatch.setattr(Landing, "close", closing)

    watching(190, deals.acts(1, at_s=11, lives_s=900), every_s=60, threads=without_builds)

    assert len(closed) > 2
    assert raw(database, "select id from raw.quote_versions") == [(deals.quotes[1],)]
    assert raw(database, WENT_BACK) == []


def test_what_was_purged_is_not_noted_as_seen_again(
    exchange: Any,
    clock: ManualClock,
    market: Market,
    desk: Account,
    deals: Deals,
    database: Database,
    watching: Watching,
) -> None:
    """An RFQ of ours and its quote are open on the exchange, and forgotten here.

    Lists that show nothing else are read as well.
    """
    for _, act in deals.acts(1, 0, 900)[:2]:
        act()
    clock.advance(30)
    job.run(database, access_of(exchange, desk, REACH), ignore)
    wanted = purge.Wanted(at(20), None)
    with purge.prepared(database, wanted, datetime.now(UTC)) as prepared:
        purge.carry_out(prepared)
    job.run(database, access_of(exchange, desk, REACH), ignore)

    watching(70, deals.acts(2, at_s=41, lives_s=900))

    ids = {
        id_
        for table in ("last_seen", "quote_versions", "rfq_versions")
        for (id_,) in raw(database, f"select id from raw.{table}")
    }
    assert ids == {deals.rfqs[2], deals.quotes[2]}
    assert deals.quotes[1].encode() not in database.private_path.read_bytes()


def test_an_outage_that_ended_a_cycle_ends_none_after_it(
    watching: Watching, market: Market, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One failed attempt is enough here for the client to ask for nothing more."""

    def impatient(self: Watch) -> dict[str, Any]:
        policy = RetryPolicy(attempts=1, breaker_faults=1, pause=lambda _: None)
        return {"budget": self._looking.budget, "retry_policy": policy}

    monkeypatch.setattr(Watch, "_client", impatient)
    down = [ErrorOrder(503, "unavailable", "GetRFQs")] * 30
    acts = [
        (59.5, lambda: market.faults.errors.extend(down)),
        (62, lambda: market.faults.errors.clear()),
    ]

    watching(130, acts, every_s=60)

    codes = [each.exit_code for each in read_record(database.path).runs]
    assert codes[:3] == [0, 69, 0]


def test_a_loss_that_is_refused_keeps_nothing_from_being_stored(
    exchange: Any,
    clock: ManualClock,
    desk: Account,
    deals: Deals,
    database: Database,
    watching: Watching,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The private file has lost a quote that the exchange has forgotten since it was published."""
    for _, act in deals.acts(1, 0, 20):
        act()
        clock.advance(1)
    job.run(database, access_of(exchange, desk, REACH), ignore)
    clock.advance(8 * 86_400)
    empty_raw(database)

    watching(125, deals.acts(2, at_s=41, lives_s=900), every_s=60)

    codes = [each.exit_code for each in read_record(database.path).runs]
    assert (set(codes[:-1]), len(codes) > 2) == ({65}, True)
    assert told(caplog, "not_stored") == []
    assert sum("reading again" in each.message for each in caplog.records) == 1
    assert raw(database, "select observed_ts from raw.quote_versions") == [
        (clock.now() - timedelta(seconds=80),)
    ]
