"""Each rule that published data must keep, broken once: exit 65, and the last good file stays."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import duckdb
import pytest

from pipelines import building, job
from pipelines.job import Outcome
from pipelines.kalshi.extraction import LoadSettings
from pipelines.sandbox import Account, ManualClock, Market, serve, visibility
from pipelines.store.database import Database
from pipelines.store.errors import DataRefused
from pipelines.store.invariants import demand_sound
from tests.conftest import NOON
from tests.running import UNHURRIED, Command, access_of, ignore
from transforms.keys import WHOLE
from transforms.marts import MARTS

pytestmark = pytest.mark.usefixtures("few_marts")

Run = Callable[..., Outcome]

# `marts.rfq_facts` is a view over two tables.
LOSE_FACTS = (
    "delete from draft.incremental.visible_rfq_facts;"
    " delete from draft.incremental.foreign_rfq_facts"
)
BREAKS = {
    "an RFQ has two current rows": "insert into draft.staging.rfqs from draft.staging.rfqs limit 1",
    "a quote has two current rows": (
        "insert into draft.staging.quotes from draft.staging.quotes limit 1"
    ),
    "a state of an RFQ is stored twice": (
        "insert into raw.rfq_versions from raw.rfq_versions limit 1"
    ),
    "a state of a quote is stored twice": (
        "insert into raw.quote_versions from raw.quote_versions limit 1"
    ),
    "an RFQ was read with legs that raw does not have": (
        "update raw.rfq_versions set leg_list = 'of nobody'"
    ),
    "an RFQ was lost on its way from raw": (
        "insert into raw.rfq_versions select * replace ('new' as id) from raw.rfq_versions limit 1"
    ),
    "a quote was lost on its way from raw": (
        "insert into raw.quote_versions"
        " select * replace ('new' as id) from raw.quote_versions limit 1"
    ),
    "a fact mart lost, doubled or invented an RFQ": LOSE_FACTS,
    "a fact mart lost, doubled or invented a quote": (
        "update draft.marts.quote_facts set quote_id = 'invented'"
    ),
    # As many as there are, but one of them twice; and one too many, which is found by its id and by
    # the number of all.
    "a fact mart lost, doubled or invented an RFQ (2)": (
        "update draft.incremental.visible_rfq_facts as held"
        " set rfq_id = first.rfq_id, created_ts = first.created_ts"
        " from draft.staging.rfqs as first where first.market_ticker = 'KXONE-26-A'"
    ),
    "a fact mart lost, doubled or invented a quote (2)": (
        "insert into draft.marts.quote_facts from draft.marts.quote_facts limit 1"
    ),
    "an execution that raw saw is undone": (
        "update draft.staging.quotes set status = 'confirmed' where status = 'executed'"
    ),
    "a cancellation that raw saw is undone": (
        "update draft.staging.rfqs set status = 'open' where cancelled_ts is not null"
    ),
    "a watermark went back": (
        "update raw.extraction_runs"
        " set watermark_before_ts = watermark_after_ts + interval 1 second"
    ),
    "a watermark fell from one run to the next": (
        "insert into raw.extraction_runs"
        " select * replace ('second' as run_id, watermark_after_ts as watermark_before_ts)"
        " from raw.extraction_runs;"
        "insert into raw.extraction_runs select * replace"
        " ('third' as run_id, watermark_before_ts - interval 1 second as watermark_before_ts)"
        " from raw.extraction_runs where run_id = 'second'"
    ),
    "an RFQ that was published is gone": "delete from draft.staging.rfqs",
    "a quote that was published is gone": "delete from draft.staging.quotes",
    "an execution that was published is undone": (
        "update draft.staging.quotes set status = 'open' where status = 'executed'"
    ),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """What a sound run left: an RFQ that executed, and one that was withdrawn."""
    clock = ManualClock(NOON)
    market = Market(clock=clock, behavior=UNHURRIED)
    desk, maker = market.add_account("desk"), market.add_account("maker")
    bids = {"yes_bid": "0.4000", "no_bid": "0.5500"}
    rfq = market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")
    quote = market.create_quote(maker, rfq_id=rfq, **bids)
    market.accept_quote(desk, quote, accepted_side="no")
    clock.advance(1)
    market.confirm_quote(maker, quote)
    withdrawn = market.create_rfq(desk, market_ticker="KXONE-26-B", contracts_fp="10.00")
    market.create_quote(maker, rfq_id=withdrawn, **bids)
    clock.advance(60)
    market.delete_rfq(desk, withdrawn)
    clock.advance(60)
    database = Database(tmp_path_factory.mktemp("sound") / "rfq.duckdb")
    with serve(market) as exchange:
        job.run(
            database, access_of(exchange, desk, LoadSettings(history=timedelta(days=7))), ignore
        )
    return database


@pytest.fixture
def published(sound: Database, database: Database) -> bytes:
    """A copy of the sound database; gives the bytes of the published file."""
    shutil.copy(sound.path, database.path)
    shutil.copy(sound.private_path, database.private_path)
    return database.path.read_bytes()


@pytest.fixture
def build(rfq: Command, database: Database) -> Callable[..., tuple[int, str]]:
    """Run `rfq build`; its exit code and what it said."""

    def build_and_say(*arguments: str) -> tuple[int, str]:
        ended = rfq("build", "--database", database.path, *arguments)
        return ended.code, ended.err

    return build_and_say


@pytest.mark.parametrize(
    "rule", ["an RFQ has two current rows", "a state of a quote is stored twice"]
)
def test_a_broken_rule_ends_with_65_and_the_last_good_file_stays(
    rule: str,
    published: bytes,
    build: Callable[..., tuple[int, str]],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(building, "demand_sound", partial(broken, BREAKS[rule]))

    code, said = build("--full-refresh")

    assert code == 65
    assert rule in said
    assert database.path.read_bytes() == published


# In a run that goes on, what raw has got since stands in tables that its build made.
BREAKS_OF_CHANGES = BREAKS | {
    "a state of an RFQ is stored twice": (
        "insert into changed_rfq_versions from changed_rfq_versions limit 1"
    ),
    "a state of a quote is stored twice": (
        "insert into changed_quote_versions from changed_quote_versions limit 1"
    ),
    "an RFQ was read with legs that raw does not have": (
        "update changed_rfq_versions set leg_list = 'of nobody'"
    ),
    "an RFQ was lost on its way from raw": (
        "insert into raw.rfq_versions select * replace"
        " ('new' as id, getvariable('last_load') + 1 as load) from raw.rfq_versions limit 1"
    ),
    "a quote was lost on its way from raw": (
        "insert into raw.quote_versions select * replace"
        " ('new' as id, getvariable('last_load') + 1 as load) from raw.quote_versions limit 1"
    ),
}
BREAKS_OF_THE_REST = {
    "RFQs that did not change are gone or doubled": (
        f"delete from draft.staging.rfqs; {LOSE_FACTS}"
    ),
    "quotes that did not change are gone or doubled": (
        "insert into draft.staging.quotes from draft.staging.quotes limit 1;"
        " insert into draft.marts.quote_facts from draft.marts.quote_facts limit 1"
    ),
}


@pytest.mark.parametrize(
    ("arguments", "all_is_shown_again", "breaks"),
    [
        (("--full-refresh",), False, BREAKS),
        ((), True, BREAKS_OF_CHANGES),
        ((), False, BREAKS_OF_THE_REST),
    ],
    ids=["everything", "what changed", "the rest"],
)
def test_each_rule_that_is_broken_is_found(
    arguments: tuple[str, ...],
    all_is_shown_again: bool,
    breaks: dict[str, str],
    published: bytes,
    build: Callable[..., tuple[int, str]],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a build of everything, and in one that goes on and looks at what changed alone."""
    if all_is_shown_again:
        _show_all_again(database)
    found: dict[str, str] = {}

    def each_broken(connection: duckdb.DuckDBPyConnection, **asked: bool) -> None:
        assert asked == {"has_last": True, "changes_alone": not arguments}
        for rule, statements in breaks.items():
            found[rule] = _said_of_broken(connection, statements, **asked)
        demand_sound(connection, **asked)

    monkeypatch.setattr(building, "demand_sound", each_broken)

    code, said = build(*arguments)

    assert code == 0, said
    assert {rule: said for rule, said in found.items() if rule not in said} == {}
    assert found.keys() == breaks.keys()


def _said_of_broken(connection: duckdb.DuckDBPyConnection, breaks: str, **asked: bool) -> str:
    """What the rules say of a copy of the draft, and of raw, that *breaks* has changed."""
    ((path,),) = connection.execute(
        "select path from duckdb_databases() where database_name = 'draft'"
    ).fetchall()
    copy = shutil.copy(path, f"{path}.broken")
    is_of_draft = "draft." in breaks
    connection.execute(f"detach draft; attach '{copy}' as draft")
    connection.execute("begin; " + breaks if not is_of_draft else breaks)
    try:
        demand_sound(connection, **asked)
    except DataRefused as refused:
        return str(refused)
    finally:
        if not is_of_draft:
            connection.execute("rollback")
        connection.execute(f"detach draft; attach '{path}' as draft (read_only)")
    return "nothing"


def _show_all_again(database: Database) -> None:
    """As if a pass had shown every RFQ and quote once more, as they were."""
    with duckdb.connect(database.private_path) as connection:
        connection.execute(
            "insert into raw.loads select max(load) + 1, 'again', true, null from raw.loads"
        )
        for resource in ("rfq", "quote"):
            connection.execute(
                f"insert into raw.last_seen select '{resource}s', id, max(observed_ts), null,"
                f" (select max(load) from raw.loads) from raw.{resource}_versions group by id"
            )


def broken(
    breaks: str, connection: duckdb.DuckDBPyConnection, *, has_last: bool, changes_alone: bool
) -> None:
    """Break the draft, which can only be read by then, and look at it as a run does."""
    ((path,),) = connection.execute(
        "select path from duckdb_databases() where database_name = 'draft'"
    ).fetchall()
    for access, what in (("read_write", breaks), ("read_only", "select 1")):
        connection.execute(f"detach draft; attach '{path}' as draft ({access})")
        connection.execute(what)
    demand_sound(connection, has_last=has_last, changes_alone=changes_alone)


def test_a_sound_database_can_be_built_again(
    published: bytes, build: Callable[..., tuple[int, str]]
) -> None:
    assert build()[0] == 0


EARLIER = {"watermark_before_ts": "watermark_after_ts - interval 1 day"}
BACKFILL = {"pass": "'backfill_made'"}
UNNOTED = {"account_fingerprint": "null::varchar"}
HONEST: dict[str, tuple[dict[str, str], ...]] = {
    "of another account": ({}, EARLIER | {"account_fingerprint": "'another'"}),
    "of another scope": ({}, EARLIER | {"scope": "'self'"}),
    "of another span": (BACKFILL, EARLIER | BACKFILL),
    "of whoever it was": (UNNOTED, EARLIER | UNNOTED),
    "after one that began anew": ({}, {"began_anew": "true"}, EARLIER),
    # Its report was stored, then it was killed before its watermark was.
    "of a killed run": ({"watermark_after_ts": "watermark_after_ts + interval 1 day"}, {}),
}


@pytest.mark.parametrize("later", HONEST)
def test_a_lower_watermark_is_no_fall(
    later: str, published: bytes, build: Callable[..., tuple[int, str]], database: Database
) -> None:
    with duckdb.connect(database.private_path) as connection:
        for number, columns in enumerate(HONEST[later], start=2):
            _add_run(connection, f"run {number}", columns)

    code, said = build()

    assert code == 0, said


def test_nothing_loaded_is_nothing_to_publish(
    build: Callable[..., tuple[int, str]], database: Database
) -> None:
    code, said = build()

    assert code == 78
    assert "rfq run" in said
    assert not database.path.exists()


def test_a_database_of_somebody_else_is_not_replaced(run: Run, database: Database) -> None:
    with duckdb.connect(database.path) as connection:
        connection.execute("create table thesis as select 'years of work' as text")

    with pytest.raises(Exception, match="somebody else"):
        run()

    with duckdb.connect(database.path, read_only=True) as connection:
        assert connection.execute("from thesis").fetchall() == [("years of work",)]


def test_a_mart_that_fails_leaves_the_last_good_file(
    published: bytes, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(rfq_facts: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(building, "MARTS", {**MARTS, failing: WHOLE})

    with pytest.raises(ZeroDivisionError):
        job.rebuild(database)

    assert database.path.read_bytes() == published
    monkeypatch.undo()
    job.rebuild(database)


@pytest.mark.parametrize(
    ("rejected", "seen", "code"), [(9, 10, 0), (10, 999, 65), (10, 1_000, 0), (11, 1_000, 65)]
)
def test_rows_that_could_not_be_read_stop_publishing_above_a_share_and_a_floor(
    rejected: int,
    seen: int,
    code: int,
    published: bytes,
    build: Callable[..., tuple[int, str]],
    database: Database,
) -> None:
    _say_rejected(database, rejected, seen)

    ended, said = build()

    assert ended == code, said
    assert ("raw.rejected_rows" in said) == (code == 65)
    assert (database.path.read_bytes() == published) == (code == 65)


def test_the_share_that_may_be_rejected_is_a_setting(
    published: bytes,
    build: Callable[..., tuple[int, str]],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _say_rejected(database, 10, 11)
    monkeypatch.setenv("SOURCES__KALSHI__REJECTED_SHARE", "0.95")

    assert build()[0] == 0


def test_where_nobody_knows_who_we_are_no_rfq_passes_for_our_own(
    published: bytes, build: Callable[..., tuple[int, str]], database: Database
) -> None:
    with duckdb.connect(database.private_path) as connection:
        connection.execute("delete from raw.accounts")

    ended, said = build()

    assert ended == 78
    assert "`rfq run` loads it" in said
    assert database.path.read_bytes() == published


@pytest.mark.parametrize("does", [job.run, job.load])
def test_unreadable_rows_end_a_run_and_a_load_and_publish_nothing(
    does: Callable[..., Any],
    exchange: Any,
    market: Market,
    desk: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The exchange serves creation times that are none; the sound row stays loaded."""
    ids = [
        market.create_rfq(desk, market_ticker=f"KXONE-26-{n}", contracts_fp="10.00")
        for n in range(11)
    ]
    real = visibility.visible_rfq

    def corrupted(rfq: Any, *rest: Any) -> Any:
        row = real(rfq, *rest)
        return row if rfq.id == ids[0] else row | {"created_ts": "soon"}

    monkeypatch.setattr("pipelines.sandbox.market.visible_rfq", corrupted)

    with pytest.raises(DataRefused, match="10 of 11 rows could not be read"):
        does(database, access_of(exchange, desk, LoadSettings()), ignore)

    assert not database.path.exists()
    with duckdb.connect(database.private_path, read_only=True) as connection:
        assert connection.execute("select id from raw.rfq_versions").fetchall() == [(ids[0],)]


def _add_run(connection: duckdb.DuckDBPyConnection, run_id: str, columns: dict[str, str]) -> None:
    """A report like the first one of the quotes made, of a run that began where that one ended."""
    changes = {"run_id": f"'{run_id}'", "watermark_before_ts": "watermark_after_ts"} | columns
    replaced = ", ".join(f"{value} as {name}" for name, value in changes.items())
    connection.execute(
        f"insert into raw.extraction_runs select * replace ({replaced})"
        " from raw.extraction_runs where pass = 'quotes_made' order by rowid limit 1"
    )


def _say_rejected(database: Database, rejected: int, seen: int) -> None:
    with duckdb.connect(database.private_path) as connection:
        connection.execute("update raw.extraction_runs set rejected_rows = 0, rows_seen = 0")
        connection.execute(
            "update raw.extraction_runs set rejected_rows = $1, rows_seen = $2"
            " where pass = 'rfqs_market'",
            [rejected, seen],
        )
