"""Many small builds end where one build of everything does, on random markets."""

import json
import random
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import duckdb
import pytest

from tests.metrics.markets import (
    MIDNIGHT,
    ExchangeObject,
    Market,
    as_it_stood,
    closed_rfq,
    followed,
    moment,
    quote,
    random_market,
    rfq,
)
from tests.profile import IS_NIGHTLY, nightly
from transforms import adding, last_build, partition, staging
from transforms import build as building
from transforms.build import HOUR, RFQ, Key, Mart, build
from transforms.marts import MARTS
from transforms.marts.arrivals import arrivals
from transforms.marts.fill_rates import fill_rates
from transforms.marts.quote_facts import quote_facts
from transforms.marts.rfq_facts import rfq_facts
from transforms.metrics.objects import load_objects
from transforms.raw import create_raw_tables
from transforms.settings import Settings
from transforms.staging import TABLES

# On so many days, with an RFQ left hanging on each of them.
DAYS = 4 if IS_NIGHTLY else 2
MARKETS, SOME_MARKETS = 40 * DAYS, 40
# A third of what there is.
FEW_ROWS, SOME_ROWS = 100 * DAYS, 100
A_DAY_S, HALF_A_DAY_S = 86_400.0, 43_200.0
RAW = (
    *("rfq_versions", "quote_versions", "leg_lists", "tombstones", "accounts"),
    *(
        "passes",
        "look_stretches",
        "open_sweeps",
        "last_seen",
        "extraction_runs",
        "coverage",
        "loads",
    ),
)
STAGED = [f"staging.{name}" for name in (*TABLES, "rfq_legs")]
# What a build adds up of what raw tells of the reading, for the next one to go on from.
KEPT = [f"incremental.{name}" for name in ("read_stretches", "looked_hours")]
BUILT = [*STAGED, *(f"marts.{mart.__name__}" for mart in MARTS)]
FEW = {mart: MARTS[mart] for mart in (quote_facts, rfq_facts, fill_rates, arrivals)}


@dataclass
class History:
    """What an exchange showed over some days, loaded now and then into one database."""

    connection: duckdb.DuckDBPyConnection
    rfqs: list[ExchangeObject]
    quotes: list[ExchangeObject]
    chance: random.Random
    shown: dict[str, str] = field(default_factory=dict)
    number: int = 0
    read_to: dict[str, datetime] = field(default_factory=dict)
    loaded: datetime | None = None

    def load(self, now: datetime) -> None:
        """Store what is new: each state once, some of it not before the next load."""
        self._look_with_the_clock_set_back()
        self.loaded = now
        self.number += 1
        self.connection.execute(
            "insert into raw.loads values ($1, 'test', true, null)", [self.number]
        )
        for table, objects in (("rfq_versions", self.rfqs), ("quote_versions", self.quotes)):
            seen = [as_it_stood(each, now) for each in objects if moment(each["created_ts"]) <= now]
            news = [self.not_quite(each) for each in seen if self.is_news(each)]
            self._store(table, news, now)
            self._see_again(table, seen, now)
        self._note_what_was_served(now)
        self._note_what_was_read(now)
        self._forget_one_quote(now)

    def is_news(self, each: ExchangeObject) -> bool:
        if self.chance.random() < 0.1 or (self.vanishes(each) and each["id"] in self.shown):
            return False
        state = json.dumps(each, sort_keys=True)
        is_news = self.shown.get(each["id"]) != state
        self.shown[each["id"]] = state
        return is_news

    def vanishes(self, each: ExchangeObject) -> bool:
        """One quote in ten goes with its RFQ: what becomes of it is never shown."""
        return "rfq_id" in each and zlib.crc32(each["id"].encode()) % 10 == 0

    def not_quite(self, each: ExchangeObject) -> ExchangeObject:
        """The object, now and then as if its market had another name, here or there."""
        is_renamed = self.chance.random() < 0.1
        return each | ({"market_ticker": f"KXOLD-26-{each['id']}"} if is_renamed else {})

    def _store(self, table: str, objects: list[ExchangeObject], now: datetime) -> None:
        before = self.connection.execute(f"select count(*) from raw.{table}").fetchall()[0][0]
        is_rfqs = table == "rfq_versions"
        load_objects(self.connection, objects if is_rfqs else [], [] if is_rfqs else objects)
        # One clock in ten is ahead of the others: what it saw seems to lie in the future.
        self.connection.execute(
            f"update raw.{table} set observed_ts = if(hash(id) % 10 = 0, $1, $2),"
            " observed_pass = 'test', load = $3 where rowid >= $4",
            [now + timedelta(seconds=400), now, self.number, before],
        )

    def _see_again(self, table: str, seen: list[ExchangeObject], now: datetime) -> None:
        """Some of what stands open is shown again as it was."""
        again = [each["id"] for each in seen if each["status"] == "open"]
        self.connection.execute(
            "insert into raw.last_seen select $1, unnest($2), $3, $3, $4",
            [
                table.removesuffix("_versions") + "s",
                self.chance.sample(again, len(again) // 20),
                now - timedelta(seconds=self.chance.choice([0, 30])),
                self.number,
            ],
        )

    def _note_what_was_served(self, now: datetime) -> None:
        """A pass over either side now and then, late or early, and a sweep of what is open."""
        for side in ("made", "received"):
            for late_s in (-60, -1, 2):
                if self.chance.random() < 0.4:
                    self.connection.execute(
                        "insert into raw.passes values ($1, $2, $3)",
                        [side, now + timedelta(seconds=late_s), self.number],
                    )
            self._note_looks(side, now)
        if self.chance.random() < 0.3:
            self.connection.execute(
                "insert into raw.open_sweeps values ($1, $2)", [now, self.number]
            )

    def _note_looks(self, side: str, now: datetime) -> None:
        """A stretch that a load has stored and, now and then, one noted since, under its number."""
        stretches = [(now - timedelta(seconds=140), self.number)]
        stretches += [(now + timedelta(seconds=2), self.number)] * (self.chance.random() < 0.4)
        for first, load in stretches:
            self._note_stretch(side, first, load)

    def _look_with_the_clock_set_back(self) -> None:
        """Looks since the last build, noted under its load, of a time before what it shows."""
        for side in ("made", "received"):
            if self.loaded and self.chance.random() < 0.4:
                self._note_stretch(side, self.loaded - timedelta(seconds=900), self.number)

    def _note_stretch(self, side: str, first: datetime, load: int) -> None:
        after_s = sorted(self.chance.sample(range(140), 5))
        # A moment that no answer has told is known to the microsecond.
        last = first + timedelta(seconds=after_s[-1], microseconds=400)
        self.connection.execute(
            "insert into raw.look_stretches"
            " select $1, $2, $3, 5, 60, list_transform($4::int[], lambda s: 1000 * s), $5",
            [side, first, last, after_s, load],
        )

    def _note_what_was_read(self, now: datetime) -> None:
        """Each list up to now, but where its pass failed; now and then some of it was gone."""
        for name in ("rfqs_market", "quotes_made", "quotes_received"):
            before, is_read = self.read_to.get(name), self.chance.random() < 0.7
            since = before or MIDNIGHT
            gone = since + (now - since) / 2 if self.chance.random() < 0.4 else None
            self.read_to[name] = now if is_read else since
            note_run(
                *(self.connection, name, now, before, self.read_to[name]),
                forgotten=gone,
                load=self.number,
            )
        self.connection.execute(
            "insert into raw.coverage by name select $1 as run_id, $2 as checked_ts, 1 as pages,"
            " true as is_complete, 20 as open_rfqs_listed, $3 as open_rfqs_missed, $4 as load",
            [f"{self.number}", now, self.chance.randint(0, 1), self.number],
        )

    def _forget_one_quote(self, now: datetime) -> None:
        gone = self.chance.choice(self.quotes)["id"]
        again = now + timedelta(seconds=1) if self.chance.random() < 0.5 else None
        self.connection.execute(
            "insert into raw.tombstones values ('quotes', $1, $2, $2, $3, $4)",
            [gone, now, again, self.number],
        )


@contextmanager
def raw_of_desk() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the raw tables, which the desk reads with its key."""
    with duckdb.connect() as connection:
        create_raw_tables(connection)
        connection.execute("insert into raw.accounts values ('desk', now())")
        yield connection


def note_run(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    now: datetime,
    before: datetime | None,
    after: datetime,
    *,
    forgotten: datetime | None = None,
    load: int,
) -> None:
    """The report of a pass that moved its watermark from *before* to *after*, or not at all."""
    connection.execute(
        "insert into raw.extraction_runs by name select $1 as run_id, $2 as pass, '' as origin,"
        " $3 as started_ts, $3 as ended_ts, 1 as pages, 1 as rows_seen, 1 as new_versions,"
        " 0 as rejected_rows, 1 as sweeps, $4 as is_verified,"
        " $5::timestamptz as watermark_before_ts, $6 as watermark_after_ts,"
        " $7::timestamptz as forgotten_before_ts, $8 as load",
        [f"{load}", name, now, before != after, before, after, forgotten, load],
    )


@pytest.fixture
def history() -> Iterator[History]:
    with history_of(MARKETS) as made:
        yield made


@contextmanager
def history_of(markets: int) -> Iterator[History]:
    """Random markets on some days: our own, those we quote, and strangers' among strangers."""
    chance = random.Random(20260504)
    made = [spread_out(random_market(chance, f"m{n}r"), n) for n in range(markets)]
    made += [left_hanging(number) for number in range(DAYS)]
    rfqs = [each for market in made for each in market.rfqs]
    quotes = [each for market in made for each in market.quotes]
    with raw_of_desk() as connection:
        yield History(connection, rfqs, quotes, chance)


def spread_out(market: Market, number: int) -> Market:
    """The market under a ticker that some share, half a day after the one before; some are slow."""
    shift, pace = timedelta(seconds=HALF_A_DAY_S * (number % (2 * DAYS))), (1, 5, 20)[number % 3]
    people = ({}, {"desk": "stranger"}, {"desk": "stranger", "A": "desk"})[number // 3 % 3]

    def change(each: ExchangeObject) -> ExchangeObject:
        times = {name: text for name, text in each.items() if name.endswith("_ts")}
        moved = {
            name: (MIDNIGHT + pace * (moment(text) - MIDNIGHT) + shift).isoformat()
            for name, text in times.items()
        }
        named = {name: people.get(each[name], each[name]) for name in each if "creator" in name}
        ticker = {} if "rfq_id" in each else {"market_ticker": f"KXM{number // 16}-26-A"}
        return each | moved | named | ticker

    return market.mapped(change)


def left_hanging(number: int) -> Market:
    """An RFQ alone on its market, accepted long after it matured, and at most confirmed."""
    asked_s = A_DAY_S * number
    request = rfq(f"h{number}", asked_s, market_ticker=f"KXH{number}-26-A")
    stages = {"accepted": asked_s + 600} | ({"confirmed": asked_s + 610} if number % 2 else {})
    answer = followed(quote(f"h{number}q", request["id"], asked_s + 1), **stages)
    return Market((request,), (answer,), MIDNIGHT)


def moments(chance: random.Random) -> list[datetime]:
    """While each of those hangs, when it has hung for too long, and at last."""
    pending = [MIDNIGHT + timedelta(seconds=A_DAY_S * n + 611) for n in range(DAYS)]
    later = [when + timedelta(seconds=chance.uniform(25, 40)) for when in pending]
    return [*sorted(pending + later), MIDNIGHT + timedelta(days=DAYS + 1)]


def test_an_incremental_history_equals_a_build_of_everything(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken in parts, of which every other build streams; of everything it is done at one go."""
    for number, now in enumerate(moments(history.chance)):
        history.load(now)
        settings = Settings(as_of=now + timedelta(seconds=1), viewer_id="desk")
        with monkeypatch.context() as in_parts:
            in_parts.setattr(building, "ROWS_PER_PART", FEW_ROWS)
            if number % 2:
                in_parts.setattr(partition, "FEW_ROWS", 0)
            in_parts.setattr(last_build, "BUILDS_ALL_ABOVE", 1.0)
            build(history.connection, MARTS, settings)
        if number % 4 == 0:
            assert differences(history.connection, settings) == {}
            assert counted_otherwise(history.connection, settings) == []
    # Half of the RFQs never end: each pass over received quotes touches what is ours of them.
    assert touched_share(history.connection) < 0.8


@nightly("test_executors.py builds in parts too")
def test_everything_in_small_parts_equals_everything_at_one_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each id is whole in its part, also one of which versions show several times of creation."""
    with history_of(SOME_MARKETS) as history, monkeypatch.context() as in_parts:
        for now in moments(history.chance):
            history.load(now)
        for table in ("rfq_versions", "quote_versions"):
            history.connection.execute(
                f"update raw.{table} set created_ts = created_ts + interval 1 day"
                " where rowid % 3 = 0"
            )
        settings = Settings(as_of=now + timedelta(days=1), viewer_id="desk")
        in_parts.setattr(building, "ROWS_PER_PART", SOME_ROWS)
        in_parts.setattr(staging, "VERSIONS_PER_PART", SOME_ROWS)
        in_parts.setattr(adding, "KEYS_PER_PART", 20)
        build(history.connection, MARTS, settings)
        in_parts.undo()

        ((n_parts, n_moved),) = history.connection.execute(
            "select (select count(*) from ends_of_parts), (select count(*) from moved_creations)"
        ).fetchall()
        assert (n_parts > 1, n_moved > 0) == (True, True)
        assert differences(history.connection, settings) == {}


def counted_otherwise(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> list[tuple[object, ...]]:
    """The hours whose arrivals are others than the RFQs counted one by one."""
    return connection.execute(
        """
        with one_by_one as (
            select
                cohort_date,
                date_trunc('hour', created_ts) as hour_start_ts,
                count(*) as n_rfq,
                count_if(is_combo) as n_rfq_combo,
                count_if(is_observed) as n_rfq_observed,
                min(created_ts) as first_created_ts,
                max(created_ts) as last_created_ts,
            from (
                select *, exists (
                    from read_stretches
                    where
                        pass = 'rfqs_market'
                        and created_ts between from_ts and least(to_ts, $1::timestamptz)
                ) as is_observed
                from marts.rfq_facts
            )
            group by all
        )

        from one_by_one
        anti join marts.arrivals using (
            cohort_date, hour_start_ts, n_rfq, n_rfq_combo, n_rfq_observed,
            first_created_ts, last_created_ts
        )
        """,
        [settings.as_of],
    ).fetchall()


def test_a_build_begins_afresh_where_it_cannot_go_on() -> None:
    """For an earlier moment, other eyes, another maturity, or where rows were taken from raw."""
    early, late = (MIDNIGHT + timedelta(hours=hours) for hours in (1, 30))
    with history_of(SOME_MARKETS) as history:
        for now in (early, late):
            history.load(now)
        build(history.connection, FEW, Settings(as_of=late, viewer_id="desk"))
        for settings in (
            Settings(as_of=early, viewer_id="desk"),
            Settings(as_of=late, viewer_id="A"),
            Settings(as_of=late, viewer_id="A", maturity_s=60),
        ):
            build(history.connection, FEW, settings)
            assert differences(history.connection, settings, FEW) == {}

        for table in ("quote_versions", "extraction_runs", "look_stretches"):
            history.connection.execute(f"delete from raw.{table} where rowid % 3 = 0")
            build(history.connection, FEW, settings)
            assert differences(history.connection, settings, FEW) == {}


def test_an_rfq_that_was_known_before_its_time_was_read_counts_as_observed_from_then_on() -> None:
    """A stranger's, closed and matured: no row of it changes any more, only what was read."""
    few = {quote_facts: RFQ, rfq_facts: RFQ, arrivals: HOUR}
    found = []
    with raw_of_desk() as connection:
        load_objects(connection, [closed_rfq("r1", 10, 40, creator_id="stranger")], [])
        for number, (hours, read_to_h) in enumerate([(24, 0), (48, 0), (72, 72)], 1):
            now, read_to = (MIDNIGHT + timedelta(hours=each) for each in (hours, read_to_h))
            note_run(connection, "rfqs_market", now, MIDNIGHT, read_to, load=number)
            build(connection, few, Settings(as_of=now, viewer_id="desk"))
            counted = "select n_rfq, n_rfq_observed from marts.arrivals"
            found += connection.execute(counted).fetchall()

    assert found == [(1, 0), (1, 0), (1, 1)]


def test_what_a_killed_load_has_read_counts_once_a_later_one_proves_it() -> None:
    """A whole load without a report of its own comes between, and a build after it."""
    few, found = {quote_facts: RFQ, rfq_facts: RFQ, arrivals: HOUR}, []
    one, three, four, five = (MIDNIGHT + timedelta(hours=hours) for hours in (1, 3, 4, 5))
    with raw_of_desk() as connection:
        load_objects(connection, [closed_rfq("r1", 7200, 7240, creator_id="stranger")], [])
        connection.execute("update raw.rfq_versions set load = 2")
        for load, is_whole, span in [
            (1, True, (MIDNIGHT, one)),
            (2, False, (one, three)),
            (3, True, None),
            (4, True, (three, five)),
        ]:
            connection.execute(
                "insert into raw.loads values ($1, 'test', $2, null)", [load, is_whole]
            )
            if span:
                note_run(connection, "rfqs_market", span[1], *span, load=load)
            if load in (1, 3, 4):
                as_of = {1: one, 3: four, 4: five}[load]
                build(connection, few, Settings(as_of=as_of, viewer_id="desk"))
                counted = "select n_rfq, n_rfq_observed from marts.arrivals"
                found.append(connection.execute(counted).fetchall())
        ((n_moved,),) = connection.execute("select count(*) from moved_rfqs").fetchall()

    assert found == [[], [(1, 0)], [(1, 1)]]
    assert n_moved == 0


def test_looks_of_an_earlier_time_noted_since_the_last_build_are_new() -> None:
    """The exchange's clock was set back, and they brought no row that needed a load."""
    few = {quote_facts: RFQ, rfq_facts: RFQ}
    now = MIDNIGHT + timedelta(seconds=2000)
    settings = Settings(as_of=now, viewer_id="desk")
    captures = []
    with raw_of_desk() as connection:
        load_objects(connection, [closed_rfq("r1", 1000, 1060, creator_id="desk")], [])
        connection.execute(
            "update raw.rfq_versions set load = 1, observed_pass = 'test', observed_ts = $1", [now]
        )
        for load, served_s in ((1, 1990), (2, 1500)):
            served = MIDNIGHT + timedelta(seconds=served_s)
            connection.execute("insert into raw.loads values ($1, 'test', true, null)", [load])
            connection.execute("insert into raw.passes values ('received', $1, $2)", [served, load])
            build(connection, few, settings)
            captures += connection.execute("select capture from marts.rfq_facts").fetchall()
            first = MIDNIGHT + timedelta(seconds=1020)
            connection.execute(
                "insert into raw.look_stretches values ('received', $1, $1, 1, 0, [0], 1)", [first]
            )
        differ = differences(connection, settings, few)

    assert captures == [("late",), ("live",)]
    assert differ == {}


def test_a_look_is_at_the_same_moment_whether_or_not_it_is_the_last() -> None:
    """When it was is noted to the millisecond, and the end of its stretch to the microsecond."""
    few = {quote_facts: RFQ, rfq_facts: RFQ}
    watched = []
    with raw_of_desk() as connection:
        load_objects(
            connection,
            [rfq("r1", 0, creator_id="stranger")],
            [quote("q1", "r1", 1, creator_id="desk", rfq_creator_id="stranger")],
        )
        for table in ("rfq_versions", "quote_versions"):
            connection.execute(
                f"update raw.{table} set observed_pass = 'test', observed_ts = $1",
                [MIDNIGHT + timedelta(seconds=21)],
            )
        for first_s, last_s, after_ms in ((0, 20.0004, [0, 20_000]), (200, 200, [0])):
            first, last = (MIDNIGHT + timedelta(seconds=at_s) for at_s in (first_s, last_s))
            connection.execute(
                "insert into raw.look_stretches values ('made', $1, $2, 2, 20, $3, 0)",
                [first, last, after_ms],
            )
            settings = Settings(as_of=last + timedelta(seconds=40), viewer_id="desk")
            build(connection, few, settings)
            watched += connection.execute(
                "select epoch(watched_until_ts - $1) from marts.rfq_facts", [MIDNIGHT]
            ).fetchall()
            assert differences(connection, settings, few) == {}

    assert watched == [(20.0,), (20.0,)]


def test_what_the_last_build_added_up_of_the_reading_is_not_read_again() -> None:
    """Reports and looks get more with every run: those of before the last build are left alone."""
    few = {rfq_facts: RFQ, quote_facts: RFQ}
    found = []
    with raw_of_desk() as connection:
        load_objects(connection, [closed_rfq("r1", 0, 60, creator_id="desk")], [])
        for load in (1, 2):
            hour = MIDNIGHT + timedelta(hours=3 * load)
            later = hour + timedelta(minutes=10)
            connection.execute("insert into raw.loads values ($1, 'test', true, null)", [load])
            note_run(connection, "rfqs_market", later, hour, later, load=load)
            connection.execute(
                "insert into raw.look_stretches"
                " select unnest(['made', 'received']), $1, $2, 2, 60, [0, 600_000], $3",
                [hour, later, load],
            )
            build(connection, few, Settings(as_of=later + timedelta(hours=1), viewer_id="desk"))
            found += connection.execute(
                "select (select count(*) from incremental.read_stretches), list(looked_s)"
                " from incremental.looked_hours"
            ).fetchall()
            connection.execute("update raw.extraction_runs set watermark_after_ts = null")
            connection.execute("update raw.look_stretches set last_served_ts = first_served_ts")

    assert found == [(1, [600.0]), (2, [600.0, 600.0])]


def test_a_part_that_has_nothing_for_a_mart_hides_no_later_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first part is a quote on an RFQ never seen, the next a market's day of a row group."""
    monkeypatch.setattr(building, "ROWS_PER_PART", 100_000)
    with raw_of_desk() as connection:
        load_objects(connection, [], [quote("orphan", "never seen", 0)])
        connection.execute(
            "insert into raw.rfq_versions by name select 'r' || i as id, 'KX-M' as market_ticker,"
            " 'closed' as status, 1 as contracts_fp, $1 + to_microseconds(i) as created_ts,"
            " 'v' as version_hash, created_ts as observed_ts, 'test' as observed_pass"
            " from range(130_000) as t(i)",
            [MIDNIGHT],
        )

        build(connection, MARTS, Settings(as_of=MIDNIGHT + timedelta(days=1), viewer_id="desk"))

        ids = "select count(distinct rfq_id) from marts.rfq_facts"
        counted = "select sum(n_rfq) from marts.fill_rates"
        assert connection.execute(ids).fetchall() == [(130_000,)]
        assert connection.execute(counted).fetchall() == [(130_000,)]


def differences(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    marts: Mapping[Mart, Key] = MARTS,
) -> dict[str, int]:
    """How many rows of each table a build of everything from the same raw rows has otherwise."""
    with closing(duckdb.connect()) as other:
        create_raw_tables(other)
        for name in RAW:
            other.register("_raw", connection.sql(f"from raw.{name}").to_arrow_table())
            other.execute(f"insert into raw.{name} by name from _raw")
        build(other, marts, settings)
        names = [*STAGED, *KEPT, *(f"marts.{mart.__name__}" for mart in marts)]
        counts = {name: different_rows(connection, other, name) for name in names}
    return {name: n for name, n in counts.items() if n}


def different_rows(
    ours: duckdb.DuckDBPyConnection, others: duckdb.DuckDBPyConnection, name: str
) -> int:
    ours.register("_other", others.sql(f"from {name}").to_arrow_table())
    found = ours.execute(
        f"select count(*) from ((from {name} except all from _other)"
        f" union all (from _other except all from {name}))"
    ).fetchall()
    ours.unregister("_other")
    return int(found[0][0])


def touched_share(connection: duckdb.DuckDBPyConnection) -> float:
    """Which share of the RFQs the last build computed again."""
    touched, held = connection.execute(
        "select (select count(distinct rfq_id) from moved_rfqs),"
        " (select count(*) from marts.rfq_facts)"
    ).fetchall()[0]
    return float(touched / held)
