"""A build that goes on computes again what can differ, by small markets worked by hand."""

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import duckdb
import polars as pl
import pytest

from tests.marts.test_incremental import note_run, raw_of_desk
from tests.metrics.markets import (
    MIDNIGHT,
    ExchangeObject,
    at,
    closed_rfq,
    followed,
    quote,
    random_market,
    rfq,
)
from transforms import build as building
from transforms.build import DAY, HOUR, WHOLE, Key, Mart, build
from transforms.creations import name_spans
from transforms.marts import MARTS, arrivals, fill_rates, funnel, makers, outcomes, quote_facts
from transforms.marts.rfq_facts import TOLD_BY_QUOTES, rfq_facts
from transforms.metrics.objects import load_objects
from transforms.settings import Settings

STRANGER = {"creator_id": "stranger"}
FAR_APART_S = (-300 * 86_400, -100 * 86_400, 0)
CREATED_S = f"epoch(created_ts - timestamptz '{MIDNIGHT.isoformat()}')::int"
FEW = {mart: MARTS[mart] for mart in (quote_facts, rfq_facts, fill_rates, outcomes, funnel)}


class Desk:
    """A database of ours, which loads now and then and builds what that changes."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self.number = 0

    def load(
        self,
        seconds: float,
        rfqs: Sequence[ExchangeObject] = (),
        quotes: Sequence[ExchangeObject] = (),
        marts: Mapping[Mart, Key] = FEW,
    ) -> None:
        """Store what a run finds so many seconds after midnight, and build."""
        self.number += 1
        load_objects(self.connection, rfqs, quotes)
        for table in ("rfq_versions", "quote_versions"):
            self.connection.execute(
                f"update raw.{table} set observed_ts = $1, observed_pass = 'load', load = $2"
                " where observed_pass = 'evaluation'",
                [at(seconds), self.number],
            )
        self.connection.execute(
            "insert into raw.loads values ($1, 'run', true, null)", [self.number]
        )
        as_of = MIDNIGHT + timedelta(seconds=seconds)
        build(self.connection, marts, Settings(as_of=as_of, viewer_id="desk"))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    def moved(self) -> list[str]:
        """The RFQs that the last build computed again."""
        return [each for (each,) in self.rows("select distinct rfq_id from moved_rfqs order by 1")]


@pytest.fixture
def desk() -> Iterator[Desk]:
    with raw_of_desk() as connection:
        yield Desk(connection)


def test_growing_old_moves_no_rfq_and_counts_as_matured(desk: Desk) -> None:
    """M is 300 s: at 200 s r1 and r2 are too young, at 305 s r1 is matured, at 310 s both are."""
    counted = "select sum(n_immature), sum(fill_rate_matured_denominator) from marts.fill_rates"
    matured = "select rfq_id from marts.rfq_facts where is_matured order by 1"
    funnel = "select n_immature, n_rfq from marts.funnel"
    desk.load(200, [closed_rfq("r1", 5, 20), closed_rfq("r2", 10, 20), rfq("r3", 1, **STRANGER)])
    assert desk.rows(counted) == [(3, 0)]

    desk.load(305)
    assert desk.moved() == []
    assert desk.rows(matured) == [("r1",), ("r3",)]
    assert desk.rows(counted) == [(1, 1)]
    assert desk.rows(funnel) == [(1, 1)]

    desk.load(310)
    assert desk.moved() == []
    assert desk.rows(matured) == [("r1",), ("r2",), ("r3",)]
    assert desk.rows(counted) == [(0, 2)]
    assert desk.rows(funnel) == [(0, 2)]


def test_a_strangers_closing_moves_it_alone(desk: Desk) -> None:
    """Of three RFQs of one market and day."""
    strangers = [rfq(f"r{n}", n, **STRANGER) for n in range(3)]
    desk.load(400, strangers)

    desk.load(500, [closed_rfq("r1", 1, 450, **STRANGER)])

    assert desk.moved() == ["r1"]
    outcomes = desk.rows("select bucket, n_rfq from marts.outcomes order by 1")
    assert outcomes == [("open", 2), ("unwatched", 1)]
    assert desk.rows("select n_rfq, n_censored from marts.fill_rates") == [(3, 2)]


def test_a_stranger_is_over_once_it_is_too_old_to_be_open(desk: Desk) -> None:
    """An RFQ lives for at most 10,860 s: r1 is over at 10,861 s, r2, asked 100 s later, is not."""
    desk.load(400, [rfq("r1", 0, **STRANGER), rfq("r2", 100, **STRANGER)])

    desk.load(10_861)

    assert desk.moved() == ["r1"]
    states = desk.rows("select rfq_id, state from marts.rfq_facts order by 1")
    assert states == [("r1", "closed_unknown"), ("r2", "open")]


def test_the_first_fast_execution_moves_what_was_quoted_in_its_market(desk: Desk) -> None:
    """r1 hangs: accepted at 600 s, it may be confirmed up to 630 s. An execution of r3 after 1 s
    says that this market has 3 s for it. r2 has no quote, r4 is asked on another market."""
    hanging = followed(quote("q1", "r1", 1), accepted=600)
    elsewhere = rfq("r4", 0, market_ticker="KXSUN-26-LA")
    desk.load(
        610,
        [rfq("r1"), rfq("r2", **STRANGER), elsewhere],
        [hanging, followed(quote("q4", "r4", 1), accepted=600)],
    )
    windows = (
        "select quote_id, confirm_window_s, is_lapsed from marts.quote_facts"
        " where quote_id <> 'q3' order by 1"
    )
    assert desk.rows(windows) == [("q1", 30, False), ("q4", 30, False)]

    fast = followed(quote("q3", "r3", 611), accepted=612, confirmed=613, executed=614)
    desk.load(620, [rfq("r3", 610)], [fast])

    # What is pending moves as time passes, and what is open of ours does not: no pass was served.
    assert desk.moved() == ["r1", "r3", "r4"]
    assert desk.rows(windows) == [("q1", 3, True), ("q4", 30, False)]


def test_a_fast_execution_moves_what_was_over_in_its_market_as_well(desk: Desk) -> None:
    """r1 lapsed and closed long before; what it was confirmed within is another window now."""
    over = [closed_rfq("r1", 0, 300), rfq("r2", 1)]
    desk.load(400, over, [followed(quote("q1", "r1", 1), accepted=100)])
    window = "select confirm_window_s from marts.quote_facts where quote_id = 'q1'"
    assert desk.rows(window) == [(30,)]

    fast = followed(quote("q3", "r3", 611), accepted=612, confirmed=613, executed=614)
    desk.load(620, [rfq("r3", 610)], [fast])

    assert desk.moved() == ["r1", "r3"]
    assert desk.rows(window) == [(3,)]


def test_a_quote_finds_its_rfq_wherever_that_is(desk: Desk) -> None:
    """One of four hours ago, that nobody had quoted, and one that comes to be known later."""
    desk.load(15_000, [closed_rfq("old", 0, 14_900)], [])
    desk.load(15_300, [], [quote("q1", "old", 14_800), quote("q2", "late", 15_200)])
    assert desk.moved() == ["late", "old"]
    orphans = "select quote_id from marts.quote_facts where is_orphan"
    assert desk.rows(orphans) == [("q2",)]

    desk.load(15_600, [rfq("late", 15_199)])

    assert desk.moved() == ["late"]
    assert desk.rows(orphans) == []
    quoted = "select rfq_id, n_makers from marts.rfq_facts order by 1"
    assert desk.rows(quoted) == [("late", 1), ("old", 1)]


def test_another_creation_of_an_id_takes_the_place_of_the_one_before(desk: Desk) -> None:
    """r1 and q1, of 0 s and 1 s, are shown as of five hours later, then as they were at first.

    Beside ten others, so that not all is built anew.
    """
    others = [closed_rfq(f"f{n}", n, 100, **STRANGER) for n in range(10)]
    desk.load(400, [closed_rfq("r1", 0, 100), *others], [quote("q1", "r1", 1)])

    for created_s, seconds in ((18_000, 18_400), (0, 18_800)):
        ended_at = {"updated_ts": at(seconds - 10), "cancelled_ts": at(seconds - 10)}
        asked = closed_rfq("r1", created_s, seconds - 10) | ended_at
        answer = quote("q1", "r1", created_s + 1, updated_ts=at(seconds - 10))
        desk.load(seconds, [asked], [answer])

        assert desk.moved() == ["r1"]
        tables = {"staging.rfqs": "updated_ts", "incremental.quoted_rfqs": "updated_ts"}
        for table, ended in (tables | {"marts.rfq_facts": "end_ts"}).items():
            shown = desk.rows(f"select {CREATED_S}, {ended} from {table} where rfq_id = 'r1'")
            assert shown == [(created_s, MIDNIGHT + timedelta(seconds=seconds - 10))]
        for table in ("staging.quotes", "marts.quote_facts"):
            assert desk.rows(f"select quote_id, {CREATED_S} from {table}") == [
                ("q1", created_s + 1)
            ]


def test_sights_are_looked_for_from_the_load_on_in_which_an_id_was_first_met(desk: Desk) -> None:
    """r1 was seen open in the second load, and once more in the third, which brings r2."""
    seen_after = "select getvariable('seen_after_load')"
    seen = "insert into raw.last_seen values ('rfqs', 'r1', $1, $1, $2)"
    seen_open = "select epoch(last_seen_open_ts - $1)::int from staging.rfqs where rfq_id = 'r1'"
    desk.load(100, [rfq("r1", 90, **STRANGER)])
    desk.connection.execute(seen, [at(200), 2])
    desk.load(200)
    desk.connection.execute(seen, [at(300), 3])
    desk.load(300, [rfq("r2", 290, **STRANGER)])
    desk.load(400, [closed_rfq("r2", 290, 390, **STRANGER)])
    assert desk.rows(seen_after) == [(2,)]

    desk.load(500, [closed_rfq("r1", 90, 490, **STRANGER)])

    assert desk.rows(seen_after) == [(-1,)]
    assert desk.connection.execute(seen_open, [MIDNIGHT]).fetchall() == [(300,)]


@pytest.mark.parametrize("is_lost", [False, True], ids=["killed", "lost"])
def test_a_sight_without_its_version_is_found_again(desk: Desk, *, is_lost: bool) -> None:
    """The load that met r1 was killed, or its version was lost and read again later."""
    seen_open = "select epoch(last_seen_open_ts - $1)::int from staging.rfqs"
    desk.load(100)
    desk.connection.execute("insert into raw.last_seen values ('rfqs', 'r1', $1, $1, 2)", [at(200)])
    if is_lost:
        desk.load(250)
        desk.connection.execute(
            "insert into raw.extraction_runs by name select 'run' as run_id, 'rfqs_market' as pass,"
            " '' as origin, $1 as started_ts, $1 as ended_ts, 1 as pages, 1 as rows_seen,"
            " 1 as new_versions, 0 as rejected_rows, 1 as sweeps, true as is_verified,"
            " true as began_anew, 3 as load",
            [at(300)],
        )
    else:
        desk.connection.execute("insert into raw.loads values (2, 'run', false, null)")
        desk.number = 2
    desk.load(300, [rfq("r1", 90, **STRANGER, status="closed")])

    assert desk.connection.execute(seen_open, [MIDNIGHT]).fetchall() == [(200,)]


def test_strangers_are_counted_by_minute_but_where_reading_began_or_ended(desk: Desk) -> None:
    """Read from 30 s to 90 s: of 10, 50, 80, 100 and 300 s that is two, with 85 and 86 s four."""
    counts = "select n_rfq, n_rfq_observed, n_rfq_own_or_quoted from marts.arrivals"
    counted = {quote_facts: MARTS[quote_facts], rfq_facts: MARTS[rfq_facts], arrivals: HOUR}
    made = [closed_rfq(f"r{n}", n, 320, **STRANGER) for n in (10, 50, 80, 100, 300)]
    moments = (MIDNIGHT + timedelta(seconds=each) for each in (400, 30, 90))
    note_run(desk.connection, "rfqs_market", *moments, load=1)
    desk.load(400, made, marts=counted)
    assert desk.rows(counts) == [(5, 2, 0)]

    later = [closed_rfq(f"r{n}", n, 320, **STRANGER) for n in (85, 86)]
    desk.load(500, later, marts=counted)
    assert desk.rows(counts) == [(7, 4, 0)]

    desk.load(600, [], [quote("q1", "r85", 86, creator_id="desk")], marts=counted)
    assert desk.rows(counts) == [(7, 4, 1)]
    by_minute = (
        f"select n_rfq, {CREATED_S.replace('created', 'first_created')},"
        f" {CREATED_S.replace('created', 'last_created')} from incremental.foreign_minutes"
    )
    assert desk.rows(f"{by_minute} order by 2") == [(2, 10, 50), (3, 80, 100), (1, 300, 300)]


def test_moments_are_looked_for_in_few_spans(desk: Desk) -> None:
    """Of twenty days with two moments each, a minute apart: the days are within sixteen spans."""
    days = "select timestamptz '2026-05-01' + n * interval 1 day as created_ts from range(20) t(n)"
    each = f"(from ({days}) union all select created_ts + interval 1 minute from ({days}))"
    name_spans(desk.connection, "days", each)

    near = f"select count_if(near_days(created_ts)) from ({days})"
    at_noon = "select count_if(near_days(created_ts + interval 12 hour))"
    definition = "select macro_definition from duckdb_functions() where function_name = 'near_days'"

    assert desk.rows(near) == [(20,)]
    assert desk.rows(f"{at_noon} from ({days})") == [(4,)]
    assert desk.rows(definition)[0][0].count("BETWEEN") == 16


def all_facts(
    rfqs: pl.LazyFrame,
    quotes: pl.LazyFrame,
    quote_facts: pl.LazyFrame,
    passes: pl.LazyFrame,
    open_sweeps: pl.LazyFrame,
    settings: Settings,
) -> pl.LazyFrame:
    """The RFQ facts as they are computed, in one table."""
    return rfq_facts(rfqs, quotes, quote_facts, passes, open_sweeps, settings)


@pytest.fixture
def crowd(desk: Desk) -> Desk:
    """Random markets on which A quotes everybody, each RFQ beside a stranger's that nobody did."""
    chance = random.Random(7)
    markets = [random_market(chance, f"m{number}") for number in range(12)]
    people = ({}, {"desk": "stranger", "A": "desk"})
    rfqs, quotes = [], []
    for number, market in enumerate(markets):
        named = people[number % 2]
        for each in (*market.rfqs, *market.quotes):
            is_quote = "rfq_id" in each
            of = {name: named.get(each[name], each[name]) for name in each if "creator" in name}
            (quotes if is_quote else rfqs).append(each | of)
            if not is_quote:
                rfqs.append(each | STRANGER | {"id": f"f{each['id']}"})
    load_objects(desk.connection, rfqs, quotes)
    as_of = max(market.as_of for market in markets)
    settings = Settings(as_of=as_of, viewer_id="desk", is_watched=True)
    build(desk.connection, {**FEW, makers: MARTS[makers], all_facts: WHOLE}, settings)
    return desk


def test_what_quotes_alone_tell_is_null_on_a_strangers_rfq(crowd: Desk) -> None:
    """It is not stored of those, and the facts are shown as they were computed all the same."""
    different = crowd.rows(
        "select count(*) from ((from marts.rfq_facts except all from marts.all_facts)"
        " union all (from marts.all_facts except all from marts.rfq_facts))"
    )
    shown = ", ".join(f"count({name})" for name in TOLD_BY_QUOTES)
    (told,) = crowd.rows(f"select {shown} from marts.all_facts where rfq_id like 'f%'")

    assert different == [(0,)]
    assert set(told) == {0}


def test_every_rfq_sent_while_a_maker_was_active_was_broadcast_to_it(crowd: Desk) -> None:
    """Counted one by one here, and for the most part by the minute in the build."""
    found = crowd.rows(
        """
        with contests as (
            select q.maker_id, r.*
            from marts.quote_facts as q inner join marts.rfq_facts as r using (rfq_id)
            where q.is_valid_response
            qualify not bool_or(q.is_self_quote) over (partition by q.maker_id, q.rfq_id)
        ),
        spans as (
            select
                maker_id, cohort_date, visibility, capture,
                min(created_ts) as first_ts, max(created_ts) as last_ts
            from contests group by all
        )
        select m.visibility, m.n_rfq_broadcast, (
            select count(*) from marts.rfq_facts as r
            where
                r.cohort_date = m.cohort_date and r.capture = m.capture
                and (r.visibility = 'own') = (m.visibility = 'own')
                and r.created_ts between s.first_ts and s.last_ts
        )
        from marts.makers as m
        inner join spans as s using (maker_id, cohort_date, visibility, capture)
        """
    )

    assert {visibility for visibility, _, _ in found} >= {"own", "quoted"}
    assert [row for row in found if row[1] != row[2]] == []
    assert any(counted > 2 for visibility, _, counted in found if visibility == "quoted")


def test_days_and_hours_that_hold_little_are_computed_together(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three days in a year hold an RFQ each: a part takes as many of them as fit into it."""
    counted = {quote_facts: MARTS[quote_facts], rfq_facts: MARTS[rfq_facts]}
    counted |= {funnel: DAY, arrivals: HOUR}
    asked = [closed_rfq(f"r{n}", created, created + 60) for n, created in enumerate(FAR_APART_S)]
    parts = "select count(*), count(distinct part) from parts_of_{}"
    hours = [(MIDNIGHT + timedelta(seconds=created), 1) for created in FAR_APART_S]
    days = [(hour.date(), n) for hour, n in hours]

    def shown() -> list[list[tuple[Any, ...]]]:
        return [
            desk.rows("select hour_start_ts, n_rfq from marts.arrivals order by all"),
            desk.rows("select cohort_date, n_rfq + n_immature from marts.funnel order by all"),
        ]

    desk.load(400, asked, marts=counted)

    assert desk.rows(parts.format("days")) == desk.rows(parts.format("hours")) == [(3, 1)]
    assert shown() == [hours, days]

    monkeypatch.setattr(building, "ROWS_PER_PART", 100)
    as_of = MIDNIGHT + timedelta(seconds=400)
    build(desk.connection, counted, Settings(as_of=as_of, viewer_id="desk"), afresh=True)

    assert desk.rows(parts.format("days")) == [(3, 3)]
    assert desk.rows(parts.format("hours")) == [(3, 2)]
    assert shown() == [hours, days]
