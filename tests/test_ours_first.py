"""What is ours is published while the market's list is read, and though it fails."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import duckdb
import pytest

from pipelines import building, job
from pipelines.kalshi.client.errors import ExchangeUnavailable
from pipelines.kalshi.extraction import Limits, LoadSettings
from pipelines.landing import Landing
from pipelines.publishing import Publisher
from pipelines.sandbox import Account, ManualClock, Market
from pipelines.sandbox.refusal import Refused
from pipelines.store import publish
from pipelines.store.database import Database
from tests.benches.publish import load
from tests.conftest import NOON
from tests.running import Command, access_of, build_few, read
from tests.watch.driven import Inline, Plan, raw, watched

Run = Callable[..., job.Outcome]
STRANGERS = 250
WHOLE = LoadSettings(history=timedelta(days=7))
IN_SLICES = replace(WHOLE, rows_per_load=100)
SHOWN = """
select
    as_of, is_market_complete,
    (select count(*) from marts.rfq_facts where visibility = 'own'),
    (select count(*) from marts.quote_facts),
    (select string_agg(distinct verdict, ', ') from marts.trust)
from marts.build_info
"""


@pytest.fixture(scope="module", autouse=True)
def few_marts() -> Iterator[None]:
    """Build only the marts that are looked at here."""
    with pytest.MonkeyPatch.context() as patch:
        build_few(patch.setattr, "arrivals", "trust")
        yield


@pytest.fixture
def strangers(market: Market, clock: ManualClock) -> None:
    """RFQs of others that fill three pages of the market's list."""
    for n in range(STRANGERS):
        asks = market.add_account(f"a{n}", key="ed25519")
        market.create_rfq(asks, market_ticker="KXONE-26-A", contracts_fp="10.00")
    clock.advance(10)


def deal(market: Market, desk: Account, maker: Account, number: int) -> None:
    rfq = market.create_rfq(desk, market_ticker=f"KXOWN-26-{number}", contracts_fp="10.00")
    market.create_quote(maker, rfq_id=rfq, yes_bid="0.4000", no_bid="0.5500")


def before_each_second_page(market: Market, does: Callable[[], None]) -> None:
    """Only the market's list has one."""

    def again() -> None:
        market.faults.before_page[2] = again
        does()

    market.faults.before_page[2] = again


def refuse() -> None:
    raise Refused(400, "bad_request", "bad request")


def test_a_first_run_shows_what_is_ours_before_the_market_is_read(
    run: Run,
    market: Market,
    clock: ManualClock,
    desk: Account,
    maker: Account,
    database: Database,
    strangers: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three slices of the market's list, ten minutes each; meanwhile another deal is made.

    The first publication is of 12:00:10, as nothing of ours was read again yet. When our lists are
    read again the second deal is there. The list's top is read once more after its end, so that the
    whole is of a later moment than what was published of ours.
    """
    monkeypatch.setattr(publish, "OURS_EVERY_S", 0.0)
    monkeypatch.setattr(publish, "COPIES_IN_A_SHARE_OF", float("inf"))
    deal(market, desk, maker, 1)
    seen: list[Any] = []

    def look() -> None:
        seen.extend(read(database, SHOWN) if database.path.exists() else [None])
        if len(seen) == 1:
            clock.advance(600)
            deal(market, desk, maker, 2)
        clock.advance(600)

    before_each_second_page(market, look)

    run(reach=IN_SLICES)

    first, second = NOON + timedelta(seconds=10), NOON + timedelta(seconds=1_210)
    assert seen[:2] == [(first, False, 1, 1, "missing"), (second, False, 2, 2, "partial")]
    ((as_of, *whole),) = read(database, SHOWN)
    assert as_of >= second
    assert whole[:3] == [True, 2, 2]
    assert read(database, "select count(*) from staging.rfqs") == [(STRANGERS + 2,)]
    told = read(database, SHOWN)
    job.rebuild(database)
    assert read(database, SHOWN) == told
    noted = raw(database, "select list(is_market_complete order by rowid) from raw.publications")
    assert noted == [([False] * len(seen) + [True],)]


def test_a_list_of_the_market_that_fails_keeps_nothing_of_ours(
    run: Run,
    rfq: Command,
    market: Market,
    clock: ManualClock,
    desk: Account,
    maker: Account,
    database: Database,
    strangers: None,
) -> None:
    """Three runs, five minutes apart, of which the market's list refuses the first two."""

    def shown() -> tuple[datetime, bool, int, int, str]:
        ((found),) = read(database, SHOWN)
        return found  # type: ignore[no-any-return]

    deal(market, desk, maker, 1)
    before_each_second_page(market, refuse)
    with pytest.raises(ExchangeUnavailable):
        run(reach=IN_SLICES)
    first = shown()
    status = rfq("status", "--database", database.path)
    clock.advance(300)
    deal(market, desk, maker, 2)
    with pytest.raises(ExchangeUnavailable):
        run(reach=IN_SLICES)
    second = shown()
    market.faults.before_page.clear()
    clock.advance(300)
    run(reach=WHOLE)

    at_ten_s = NOON + timedelta(seconds=10)
    assert first == (at_ten_s, False, 1, 1, "missing")
    assert "figures of the whole market are not complete." in " ".join(status.out.split())
    assert second == (at_ten_s + timedelta(seconds=300), False, 2, 2, "missing")
    assert shown()[:4] == (at_ten_s + timedelta(seconds=600), True, 2, 2)
    assert "not complete" not in rfq("status", "--database", database.path).out


def test_where_the_market_fails_later_the_hours_since_are_no_clean_ones(
    run: Run,
    market: Market,
    clock: ManualClock,
    desk: Account,
    maker: Account,
    database: Database,
    strangers: None,
) -> None:
    """Read whole at 12:00:10; refused at 12:10:10 and 12:20:10, and read again at 12:30:10.

    The first refusal leaves the moment shown, as our own RFQs are told by the market's list. From
    the second on they are read by their own list. What nobody had read of the market is a gap.
    """
    found: list[Any] = []
    for number in range(4):
        market.faults.before_page.clear()
        if number in (1, 2):
            before_each_second_page(market, refuse)
            deal(market, desk, maker, number)
            with pytest.raises(ExchangeUnavailable):
                run(reach=WHOLE)
        else:
            run(reach=WHOLE)
        found += read(
            database,
            "select (as_of - timestamptz '2026-11-20 12:00:10Z')::varchar, is_market_complete,"
            " (select count(*) from staging.quotes),"
            " (select round(hours_observed * 3600) from marts.trust order by cohort_date desc"
            " limit 1), n_gaps from marts.build_info, (select last(n_gaps order by cohort_date)"
            " as n_gaps from marts.trust)",
        )
        clock.advance(600)

    minutes = {0: "00:00:00", 2: "00:20:00", 3: "00:30:00"}
    noon = 43_210.0
    assert found == [
        (minutes[0], True, 0, noon, 0),
        (minutes[0], True, 0, noon, 0),
        (minutes[2], False, 2, noon, 1),
        (minutes[3], True, 2, noon + 1_800, 0),
    ]


def test_a_watch_publishes_what_is_ours_while_its_cycle_reads_the_market(
    exchange: Any,
    market: Market,
    clock: ManualClock,
    desk: Account,
    maker: Account,
    database: Database,
    strangers: None,
) -> None:
    """At once in its first cycle, and not again within five minutes."""
    deal(market, desk, maker, 1)
    seen: list[Any] = []
    before_each_second_page(market, lambda: seen.extend(read(database, SHOWN)))

    watched(database, access_of(exchange, desk, IN_SLICES), Plan(clock, ends_s=20))

    first = (NOON + timedelta(seconds=10), False, 1, 1, "missing")
    assert set(seen) == {first}
    assert read(database, SHOWN)[0][:4] == (first[0], True, 1, 1)
    noted = raw(database, "select list(is_market_complete order by rowid) from raw.publications")
    assert noted == [([False, True],)]


def _ask_for_long(connection: duckdb.DuckDBPyConnection) -> None:
    """For minutes, unless it is ended."""
    connection.execute("select count(*) from range(1_000_000), range(500_000)")


@pytest.mark.parametrize("can_be_ended", [True, False], ids=["in DuckDB", "in polars"])
def test_a_watch_that_ends_while_it_publishes_what_is_ours_stores_what_it_saw(
    exchange: Any,
    market: Market,
    clock: ManualClock,
    desk: Account,
    maker: Account,
    database: Database,
    strangers: None,
    monkeypatch: pytest.MonkeyPatch,
    *,
    can_be_ended: bool,
) -> None:
    """A query of DuckDB is ended; what polars computes is not, and the looks are stored beside."""
    deal(market, desk, maker, 1)
    build, begun, stored = building.build, Event(), Event()
    land_aside, aside = Landing.land_aside, list[bool]()

    def build_long(connection: Any, *args: Any, on_begun: Any, **more: Any) -> Any:
        on_begun()
        begun.set()
        if can_be_ended:
            _ask_for_long(connection)
        assert stored.wait(60)
        return build(connection, *args, on_begun=on_begun, **more)

    def landing_aside(landing: Landing) -> bool:
        aside.append(land_aside(landing))
        stored.set()
        return aside[-1]

    monkeypatch.setattr(building, "build", build_long)
    monkeypatch.setattr(Landing, "land_aside", landing_aside)
    monkeypatch.setattr("pipelines.watch.LOADING_ENDS_WITHIN_S", 60 if can_be_ended else 0.1)
    with ThreadPoolExecutor(max_workers=1) as landings:
        acts = [(1.0, begun.wait), (6.0, lambda: deal(market, desk, maker, 2))]
        threads = iter([landings, Inline()]).__next__
        plan = Plan(clock, 14, acts)
        watched(database, access_of(exchange, desk, IN_SLICES), plan, threads=threads)

    assert aside == ([] if can_be_ended else [True])
    quotes = "select market_ticker from raw.quote_versions order by all"
    assert raw(database, quotes) == [("KXOWN-26-1",), ("KXOWN-26-2",)]


def test_scope_self_says_that_the_market_is_not_read(run: Run, database: Database) -> None:
    run(reach=replace(WHOLE, scope="self"))

    assert read(database, "select is_market_complete from marts.build_info") == [(False,)]


@pytest.fixture(scope="module")
def built(few_marts: None, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database of 100 RFQs, published, with 40 more loaded since."""
    database = Database(tmp_path_factory.mktemp("built") / "rfq.duckdb")
    load(database, 1, 0, 100)
    job.rebuild(database)
    load(database, 2, 100, 140)
    return database


@pytest.fixture
def held(built: Database, database: Database) -> Database:
    """A copy of it."""
    shutil.copy(built.path, database.path)
    shutil.copy(built.private_path, database.private_path)
    return database


def at_the_end(database: Database) -> job.Outcome:
    """What a run does once all is loaded."""
    with job.at_work(database) as work, database.writing() as connection:
        limits = Limits(0.01)
        return Publisher(work, "me", 300).at_the_end(connection, {}, limits)


def last_copy(database: Database, copy_s: float, ended_s_ago: float) -> None:
    """Let raw tell that the last publication ended so long ago, and how long it had copied."""
    with duckdb.connect(database.private_path) as connection:
        connection.execute(
            "update raw.run_phases set copy_s = $1, ended_ts = now() - to_seconds($2)",
            [copy_s, ended_s_ago],
        )


@pytest.mark.parametrize(
    ("copy_s", "ended_s_ago", "publishes"),
    [
        # A copy of 4 minutes is made again after 40.
        (240.0, 2_300.0, False),
        (240.0, 2_500.0, True),
        # What is fast counts for nothing, nor does a publication that has yet to come.
        (0.9, 2.0, True),
        (1.1, 2.0, False),
        (240.0, -86_400.0, True),
    ],
)
def test_where_copying_is_dear_a_run_publishes_only_as_often_as_a_tenth_of_the_time_allows(
    copy_s: float,
    ended_s_ago: float,
    publishes: bool,
    held: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    last_copy(held, copy_s, ended_s_ago)
    before = held.path.read_bytes()

    outcome = at_the_end(held)

    assert (held.path.read_bytes() != before) is publishes
    assert bool(outcome.mart_rows) is publishes
    said = [line for line in caplog.messages if line.startswith("what was loaded is published by")]
    assert len(said) == (not publishes)
    if not publishes:
        assert f"copying the published file took {copy_s:.0f} s" in said[0]
        # A build that somebody asks for is published.
        job.rebuild(held)
        assert held.path.read_bytes() != before


def test_the_status_of_what_is_old_because_copying_is_dear_says_so(
    every_mart: None, rfq: Command, key: Any, exchange: Any, database: Database
) -> None:
    """Copying takes 20 minutes, and the run that comes next ends well without."""
    arguments = ("--base-url", exchange.base_url, "--database", database.path)
    assert rfq("run", *arguments).code == 0
    with duckdb.connect(database.private_path) as connection:
        connection.execute("update raw.run_phases set copy_s = 1200")
    before = database.path.read_bytes()

    ended = rfq("run", *arguments)
    fresh = rfq("status", "--database", database.path)
    stale = rfq("status", "--database", database.path, "--stale-after", "0.001s")

    assert ended.code == 0
    assert "\nshown: " in ended.out
    assert database.path.read_bytes() == before
    assert (fresh.code, stale.code) == (0, 3)
    (verdict, *_) = " ".join(stale.out.split()).split(" data ")
    assert "which is longer than" in verdict
    assert "copying the published file took 1200 s" in verdict


def test_no_room_for_the_copy_is_said_and_the_last_file_stays(
    every_mart: None,
    rfq: Command,
    key: Any,
    exchange: Any,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = ("--base-url", exchange.base_url, "--database", database.path)
    assert rfq("run", *arguments).code == 0
    before = database.path.read_bytes()

    def full(path: Path, copy: Path) -> None:
        copy.write_bytes(b"")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.store.beside._copy", full)

    ended = rfq("run", *arguments)

    assert ended.code == 75
    assert (
        ended.error == "rfq: the disk is full: make room, then run again. Nothing was published.\n"
    )
    assert database.path.read_bytes() == before
