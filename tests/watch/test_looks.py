"""What a watch sees on a market whose clock is driven, and when it is stored."""

import logging
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from pipelines import building, job, landing
from pipelines.landing import Landing
from pipelines.operations.runs import read_record
from pipelines.sandbox import Account, ManualClock, Market, Shape, serve, unfold
from pipelines.sandbox.faults import ErrorOrder
from pipelines.store.database import Database
from tests.benches.watch import asked_of, figures, kill_again_and_again, market_of
from tests.profile import nightly
from tests.running import access_of, ignore, read
from tests.watch.deals import REACH, Deals, Watching, at, no_builds, told
from tests.watch.driven import raw

pytestmark = pytest.mark.usefixtures("few_marts")


def test_a_quote_that_vanishes_with_its_rfq_is_held_though_the_market_list_fails(
    every_mart: None, watching: Watching, deals: Deals, market: Market, database: Database
) -> None:
    """It lived for twelve seconds between two cycles, of which a run would find the RFQ alone.

    Another RFQ lived from right after the look at 30 s to right before that at 35 s. The market's
    list is refused in the cycle at the beginning, and answered in that at 60 s.
    """
    # The first refusal is met by the look at our open RFQs.
    market.faults.errors += [ErrorOrder(400, "invalid", "GetRFQs")] * 2
    acts = [*deals.acts(1, at_s=7, lives_s=13), *deals.acts(2, at_s=30.5, lives_s=4)]

    watching(62, acts, every_s=60)

    # The last cycle is under way; the test ends it with 0.
    assert [each.exit_code for each in read_record(database.path).runs] == [78, 0, 0]
    held = raw(database, "select id, observed_ts from raw.quote_versions")
    assert held == [(deals.quotes[1], at(10))]
    assert raw(database, "select id, observed_ts from raw.rfq_versions where status = 'open'") == [
        (deals.rfqs[1], at(10))
    ]
    # The look at 15 s came 5 s or more after the creation, and 1 s or more before the end.
    assert dict(read(database, "select rfq_id, capture from marts.rfq_facts")) == {
        deals.rfqs[1]: "live",
        deals.rfqs[2]: "late",
    }
    ((looked_s, by_hour),) = read(
        database, "select hours_looked * 3600, looked_s_by_hour from marts.trust"
    )
    assert looked_s == pytest.approx(by_hour[12])
    assert 50 <= looked_s <= 60


def test_what_was_seen_lands_within_a_minute_and_nothing_new_lands_nothing(
    watching: Watching, deals: Deals, database: Database
) -> None:
    """Every look is noted all the same."""
    watching(190, deals.acts(1, at_s=62, lives_s=20), threads=no_builds())

    # The load at the start and, at 120 s, of what came at 63 s; nothing at 60 s and at 180 s.
    assert raw(database, "select load, is_whole from raw.loads") == [(1, True), (2, True)]
    assert raw(database, "select load, observed_ts from raw.quote_versions") == [(2, at(65))]
    found = raw(
        database,
        "select side, first_served_ts, last_served_ts, n_looks, longest_pause_s, len(after_ms)"
        " from raw.look_stretches order by side, first_served_ts",
    )
    made = [row[1:] for row in found if row[0] == "made"]
    assert [row[1:] for row in found if row[0] == "received"] == made
    assert [last for _, last, *_ in made] == [at(60), at(120), at(180), at(185)]
    assert made[0][0] <= at(5)
    assert [n_looks for _, _, n_looks, *_ in made[1:]] == [12, 12, 1]
    assert {pause for *_, pause, _ in made[1:]} == {5.0}
    assert [row[2] for row in made] == [row[4] for row in made]


def test_what_landed_between_two_cycles_counts_for_the_next_one(
    watching: Watching, deals: Deals, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Two RFQs are stored before the cycle at 300 s, a third by its load, a fourth after it."""
    caplog.set_level(logging.INFO)
    asked = ((10, 30), (130, 30), (290, 5), (320, 30))
    acts = [act for number, each in enumerate(asked) for act in deals.acts(number, *each)]

    watching(395, acts)

    at_start, in_cycle, at_end = (each.figures for each in told(caplog, "run_ended"))
    ((held,),) = raw(
        database,
        "select count(*) from (select id from raw.rfq_versions union all by name"
        " select id from raw.quote_versions)",
    )
    by_cycle = [each["new_versions"] for each in (at_start, in_cycle, at_end)]
    assert (by_cycle[0], sum(by_cycle)) == (0, held)
    noted = raw(database, "select n_new_versions from raw.run_phases order by ended_ts")
    assert noted == [(0,), (by_cycle[1],)]
    # Nothing was loaded after the second cycle but what landed.
    assert by_cycle[2] > 0
    assert at_end["load_s"] > 0


def test_looks_that_were_missed_are_not_made_up_for(
    watching: Watching, clock: ManualClock, database: Database
) -> None:
    """Seventeen seconds pass at once, over three looks: one comes at their end, then each 5 s."""
    watching(46, [(12, lambda: clock.advance(17))], threads=no_builds())

    (looks,) = raw(
        database,
        "select sum(n_looks)::int, max(last_served_ts) from raw.look_stretches where side = 'made'",
    )
    # At 0, 5 and 10 s, at 29 s, and from 30 s on.
    assert looks == (8, at(45))


def test_the_file_is_opened_anew_after_a_load_though_nobody_says_whose_account_it_is(
    watching: Watching,
    deals: Deals,
    market: Market,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was seen right before waits, and is stored once. What dlt has left is gone."""
    opened: list[Database] = []
    writing = Database.writing

    def counted(self: Database, *args: Any, **named: Any) -> Any:
        opened.append(self)
        return writing(self, *args, **named)

    monkeypatch.setattr(Database, "writing", counted)
    monkeypatch.setattr(landing, "LOADS_UNTIL_OPENED_ANEW", 1)
    silence = [ErrorOrder(500, "internal", "GetCommunicationsID")] * 99
    acts = [(1, lambda: market.faults.errors.extend(silence))]
    acts += [act for n in (1, 2, 3) for act in deals.acts(n, at_s=57 * n, lives_s=12)]
    left: list[Path] = []
    acts += [(185, lambda: left.extend(database.path.parent.rglob("dlt-*")))]

    watching(190, sorted(acts, key=lambda act: act[0]), every_s=60)

    assert len(opened) == 4
    assert len(left) == 1
    assert len(market.faults.errors) == 99
    assert [run.exit_code for run in read_record(database.path).runs] == [0] * 5
    held = raw(database, "select id from raw.quote_versions where status = 'open' order by id")
    assert held == sorted((quote,) for quote in deals.quotes.values())


def test_memory_is_given_back_after_each_cycle_while_nothing_is_stored(
    watching: Watching, market: Market, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the market's list fails. A landing finds less room than it needs meanwhile."""
    landings: list[Landing] = []
    given_back: list[int] = []
    held_by_a_landing: list[bool] = []
    release, renewed = landing.release_memory, Landing._renewed

    def counted(connection: Any) -> None:
        release(connection)
        assert landings[0]._work.raw.locked()
        given_back.append(len(read_record(database.path).runs))

    def noted(self: Landing) -> Any:
        landings.append(self)
        held_by_a_landing.append(self._work.raw.locked())
        return renewed(self)

    monkeypatch.setattr(landing, "release_memory", counted)
    monkeypatch.setattr(Landing, "_renewed", noted)
    market.faults.errors += [ErrorOrder(400, "invalid", "GetRFQs")] * 3

    watching(135, every_s=70)

    runs = read_record(database.path).runs
    assert given_back == [2, 3]
    assert [run.exit_code == 0 for run in runs] == [False, True, True]
    # The cycles at 0 and 70 s, of which no build is at work, and landings at 60, 130 and 135 s.
    assert held_by_a_landing == [False, True, False, True, True]


def test_a_cycle_that_is_late_is_skipped_and_counted_and_the_looks_go_on(
    watching: Watching, deals: Deals, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The build of the first lasts for ever, so those at 60 and at 120 s are left out."""
    watching(125, deals.acts(1, 62, 20), every_s=60, threads=no_builds())

    assert [each.figures["n_skipped"] for each in told(caplog, "cycle_skipped")] == [1, 2]
    # What came while the build was at work was stored within a minute of it.
    loads = "select load, observed_ts from raw.quote_versions"
    assert raw(database, loads) == [(2, at(65))]


def test_what_is_stored_while_a_build_is_at_work_is_for_the_next(
    exchange: Any,
    desk: Account,
    deals: Deals,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A quote of before the moment that the build shows is stored right after it has begun."""
    for _, act in deals.acts(1, 0, 20)[:2]:
        act()
    job.load(database, access_of(exchange, desk, REACH), ignore)
    build, begun = building.build, []

    def building_on(connection: Any, *args: Any, on_begun: Any, **more: Any) -> Any:
        def store() -> None:
            on_begun()
            if not begun:
                begun.append(True)
                connection.cursor().execute(_ANOTHER)

        return build(connection, *args, on_begun=store, **more)

    monkeypatch.setattr(building, "build", building_on)
    count = "select count(*) from staging.quotes"
    job.rebuild(database)
    before = read(database, count)
    job.rebuild(database)

    assert (before, read(database, count)) == ([(1,)], [(2,)])


_ANOTHER = """
use private;
insert into raw.loads select max(load) + 1, 'test', true, null from raw.loads;
insert into raw.quote_versions select * replace (
    '7b4b2c5e-4b0c-4d6f-9b1a-0c2d3e4f5a6b' as id, (select max(load) from raw.loads) as load
) from raw.quote_versions
"""


# The benchmark, as the gate and the nightly profile run it


def test_a_minute_of_a_busy_market_is_held_as_the_ledger_has_it(
    watching: Watching, market: Market, desk: Account, database: Database
) -> None:
    """Some of the RFQs are over by then. The build at 70 s is the only one."""
    unfold(market, seed=5, rfqs_per_day=60_000, shape=Shape(desk_share=0.9))
    market.faults.errors += [ErrorOrder(400, "invalid", "GetRFQs")] * 2

    watching(72, every_s=70)

    found = figures(market, desk, database.path, at(69))
    assert found["own RFQs of 10 s or more"] >= 5
    assert found["live, of these"] >= 0.95
    assert found["answers held of those given on them"] >= 0.97
    ledger, shown = "hit ratio, 10 s or more, by the ledger", "hit ratio, 10 s or more, of live"
    assert found[shown] == pytest.approx(found[ledger], abs=0.003)


@nightly("it takes a quarter of an hour")
def test_a_hundred_kills_lose_nothing_that_had_landed(tmp_path: Path) -> None:
    wanted = Namespace(busy=False, quiet=False, seed=1)
    market = market_of(wanted)
    with serve(market) as exchange:
        found = kill_again_and_again(asked_of(exchange, "desk", tmp_path), 100, tmp_path, seed=2)

    assert (found.lost, found.unsaid) == (0, 0)
    assert found.said > 20
