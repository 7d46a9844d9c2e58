"""Which file is which: by the stamp inside it, whatever it is called and whoever has it open."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines import job
from pipelines.kalshi.client.origin import EXCHANGES, origins_of_exchange
from pipelines.kalshi.extraction import LoadSettings
from pipelines.sandbox import Account, ManualClock, Market, serve
from pipelines.sandbox.book import Book
from pipelines.sandbox.listings import CountedIds
from pipelines.store.beside import log_beside
from pipelines.store.database import Database
from pipelines.store.errors import DatabaseError
from pipelines.store.invariants import accept_losses
from pipelines.store.publish import attached, last_published
from tests.conftest import NOON
from tests.running import UNHURRIED, Command, Ended, access_of, ignore, made_once, read

pytestmark = pytest.mark.usefixtures("few_marts")

Rfq = Callable[..., Ended]

# Signs that mean something to SQL, to a URL, to a pattern or to a terminal.
ODD_NAMES = [
    "o'brien/rfq.duckdb",
    "50%/it's.duckdb",
    'my%20project/we"ird.duckdb',
    "br[a]ck*et/-.duckdb",
    "a#b;c&d=e/no suffix",
    "new\nline/ü.duckdb",
    "{x}$HOME/~.duckdb",
]
# Names that a schema of ours has too.
TAKEN_NAMES = ["marts.duckdb", "staging.duckdb", "raw.duckdb", "draft.duckdb", "published.duckdb"]
SHELL = """
import duckdb, sys
with duckdb.connect(sys.argv[1]) as connection:
    connection.execute("create table if not exists mine as select 1 as a")
    print("open", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def market(clock: ManualClock) -> Market:
    return _market(clock)


@pytest.fixture
def run(
    rfq: Command, key: Path, exchange: Any, market: Market, desk: Account, database: Database
) -> Rfq:
    """`rfq run` against the exchange, with an RFQ of ours on it."""
    _create_rfq(market, desk)

    def command(*options: object, at: Path = database.path) -> Ended:
        return rfq("run", "--base-url", exchange.base_url, "--database", at, *options)

    return command


@pytest.fixture
def loaded(run: Rfq, database: Database, first_run: Path) -> None:
    """The database after a first run, which all tests have a copy of."""
    shutil.copytree(first_run, database.path.parent, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that `rfq run` leaves of the market that each test begins with."""
    return made_once(tmp_path_factory, "first-run", _run_first)


def _run_first(folder: Path) -> None:
    market = _market(ManualClock(NOON))
    desk = market.add_account("desk", key="ed25519")
    _create_rfq(market, desk)
    with serve(market) as exchange:
        database = Database(folder / "rfq.duckdb")
        job.run(database, access_of(exchange, desk, LoadSettings()), ignore)


def _market(clock: ManualClock) -> Market:
    """A market of which each ends up with the same ids, and calls itself the same."""
    market = Market(clock=clock, behavior=UNHURRIED)
    market.name = "counted"
    market.drive(_count_ids)
    return market


def _count_ids(book: Book, _now_us: int) -> None:
    book.new_id = CountedIds(1)


def _create_rfq(market: Market, desk: Account) -> None:
    market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")


@contextmanager
def shell(path: Path) -> Iterator[None]:
    """A forgotten `duckdb` shell on *path*, which writes, as every tool does unless told."""
    arguments = [sys.executable, "-c", SHELL, str(path)]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield
        process.communicate("\n")


def rfqs_in(path: Path) -> int:
    return int(read(Database(path), "select count(*) from staging.rfqs")[0][0])


def test_a_name_is_only_a_name(run: Rfq, tmp_path: Path) -> None:
    path = tmp_path / "o'br[i]en's 50%" / 'my"; #*.duckdb'
    path.parent.mkdir(exist_ok=True)

    ended = run(at=path)

    assert ended.code == 0, ended.err
    assert rfqs_in(path) == 1
    assert {each.name for each in path.parent.iterdir()} == {
        path.name,
        f"{path.name}.lock",
        f"{path.stem}.runs.jsonl",
        Database(path).private_path.name,
    }


@pytest.mark.parametrize("name", [*ODD_NAMES, *TAKEN_NAMES])
def test_a_private_file_can_be_made_and_opened_under_any_name(name: str, tmp_path: Path) -> None:
    database = Database(tmp_path / name)
    database.path.parent.mkdir(exist_ok=True)

    with database.held(), database.writing(may_create=True) as connection:
        connection.execute("insert into raw.accounts values ('me', now())")
        found = connection.cursor().execute("select count(*) from raw.accounts").fetchall()

    assert found == [(1,)]


def test_a_file_may_be_called_like_a_schema(run: Rfq, rfq: Command, tmp_path: Path) -> None:
    path = tmp_path / "raw.duckdb"

    ended, status = run(at=path), rfq("status", "--database", path)

    assert (ended.code, status.code) == (0, 0), ended.err
    assert rfqs_in(path) == 1


UNWORKABLE = {
    "q?dir/rfq.duckdb": "DuckDB cannot work with ? in the path",
    "what?.duckdb": "DuckDB cannot work with ? in the path",
    "b\\s/rfq.duckdb": "DuckDB cannot work with \\ in the path",
    f"{'x' * 230}.duckdb": "is too long for the files beside it: choose one of at most",
    f"{'y' * 300}/rfq.duckdb": "cannot be used: File name too long",
    "rfq": "would share its private file with rfq.duckdb: choose another name",
    "folder": "is a folder: give the path of a file with --database",
    "loop.duckdb": "is a link that leads nowhere: choose another file",
    "nowhere/rfq.duckdb": "does not exist: make it first",
    "text/rfq.duckdb": "does not exist: make it first",
    "text": "is not a DuckDB database and was left as it is: choose another file with --database",
    "pipe": "is not a DuckDB database and was left as it is: choose another file with --database",
    "linked.duckdb": "cannot be made the lock of a run: it is a link",
    "locked.duckdb": "cannot be made the lock of a run: Is a directory",
    "\udcff.duckdb": "the path of the database is not UTF-8: choose another file",
}


@pytest.mark.parametrize("name", UNWORKABLE)
def test_what_cannot_work_is_refused_before_the_first_request(
    run: Rfq, exchange: Any, name: str, tmp_path: Path
) -> None:
    for folder in ("q?dir", "b\\s", "folder", "locked.duckdb.lock"):
        (tmp_path / folder).mkdir()
    (tmp_path / "text").write_text("no database, but a text that is longer than a header")
    (tmp_path / "loop.duckdb").symlink_to(tmp_path / "loop.duckdb")
    (tmp_path / "linked.duckdb.lock").symlink_to(tmp_path / "text")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.rglob("*"))

    ended = run(at=tmp_path / name)

    assert (ended.code, list(exchange.requests)) == (78, [])
    assert UNWORKABLE[name] in ended.err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_written_is_refused(run: Rfq, exchange: Any) -> None:
    ended = run(at=Path("/proc/self/rfq.duckdb"))

    assert (ended.code, list(exchange.requests)) == (78, [])
    assert "cannot be made the lock of a run" in ended.err


@pytest.mark.usefixtures("loaded")
def test_one_tab_too_many_does_not_replace_the_private_file(run: Rfq, database: Database) -> None:
    before = database.private_path.read_bytes()

    ended = run(at=database.private_path)

    assert ended.code == 78
    assert "is a private file, which only runs write: give the published file" in ended.err
    assert database.private_path.read_bytes() == before


def test_files_that_differ_in_their_last_suffix_share_nothing(run: Rfq, tmp_path: Path) -> None:
    names = ("desk.a", "desk.b", "desk", "rfq.a", "rfq.duckdb")
    privates = {Database(tmp_path / name).private_path.name for name in names}

    assert len(privates) == len(names)
    assert "rfq.private.duckdb" in privates


def test_a_link_is_followed_and_stays_one(run: Rfq, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    link = tmp_path / "rfq.duckdb"
    link.symlink_to(disk / "held.duckdb")

    assert [run(at=link).code, run(at=link).code] == [0, 0]

    assert link.is_symlink()
    assert {each.name for each in disk.iterdir()} == {
        "held.duckdb",
        "held.duckdb.lock",
        "held.duckdb.private.duckdb",
        "held.runs.jsonl",
    }


@pytest.mark.usefixtures("loaded")
def test_a_private_file_that_is_a_link_stays_one(run: Rfq, database: Database) -> None:
    elsewhere = database.path.with_name("elsewhere.duckdb")
    beside = database.path.with_name("rfq.private.duckdb")
    beside.rename(elsewhere)
    beside.symlink_to(elsewhere)

    assert run().code == 0

    assert beside.is_symlink()
    assert elsewhere.is_file()


def test_a_private_file_of_the_older_naming_is_taken_over(run: Rfq, tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    run(at=path)
    older = _as_before_stamps(path)

    ended = run(at=path)

    assert ended.code == 0
    assert f"{older} is called desk.db.private.duckdb from now on" in ended.err
    assert not older.exists()
    assert rfqs_in(path) == 1


def test_one_of_the_older_naming_that_two_could_claim_is_left_alone(
    run: Rfq, exchange: Any, tmp_path: Path
) -> None:
    path, other = tmp_path / "desk.db", tmp_path / "desk.old"
    run(at=path)
    older = _as_before_stamps(path)
    shutil.copy(path, other)
    exchange.requests.clear()

    ended = run(at=path)

    assert (ended.code, list(exchange.requests)) == (78, [])
    assert f"{older} may belong to {path} or to {other}: rename it" in ended.err
    assert older.exists()


@pytest.mark.usefixtures("loaded")
def test_a_forgotten_shell_stops_no_run_and_no_status(
    run: Rfq, rfq: Command, market: Market, desk: Account, database: Database
) -> None:
    with shell(database.path):
        status = rfq("status", "--database", database.path)
        market.create_rfq(desk, market_ticker="KXONE-26-B", contracts_fp="10.00")

        ended = run()

        assert (status.code, ended.code) == (0, 0), ended.err
        assert rfqs_in(database.path) == 2
    assert rfqs_in(database.path) == 2


@pytest.mark.usefixtures("loaded")
def test_a_stray_log_beside_the_published_file_is_put_aside(run: Rfq, database: Database) -> None:
    log = log_beside(database.path)
    log.write_bytes(_log_of_another_database(database.path.parent))
    with pytest.raises(duckdb.Error):
        duckdb.connect(database.path, read_only=True)

    ended = run()

    assert ended.code == 0
    assert f"{log} belongs to no file any more and is now rfq.duckdb.wal.stray-" in ended.err
    duckdb.connect(database.path, read_only=True).close()


DAMAGES = {
    "zeroed": lambda log: bytes(len(log)),
    "zeroed behind the middle": lambda log: log[: len(log) // 2] + bytes(len(log) // 2),
    "garbled at its head": lambda log: b"\xa5" * 64 + log[64:],
    "garbled behind the middle": lambda log: log[: len(log) // 2] + b"\xa5" * (len(log) // 2),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_log_is_put_aside(
    damage: str, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with database.held(), database.writing(may_create=True) as connection:
        connection.execute("insert into raw.accounts values ('me', now())")
    log = log_beside(database.private_path)
    damaged = DAMAGES[damage](_log_of(database.private_path))
    log.write_bytes(damaged)

    with database.held(), database.writing() as connection:
        found = connection.execute("select communications_id from raw.accounts").fetchall()

    (aside,) = database.path.parent.glob("rfq.private.duckdb.wal.damaged-*")
    assert found == [("me",)]
    assert aside.read_bytes() == damaged
    assert f"{log} was damaged and is now {aside.name}; what it held" in caplog.text


@pytest.mark.usefixtures("loaded")
def test_a_damaged_log_costs_a_run_nothing_but_a_line(
    run: Rfq, market: Market, desk: Account, database: Database
) -> None:
    market.create_rfq(desk, market_ticker="KXONE-26-B", contracts_fp="10.00")
    log = log_beside(database.private_path)
    log.write_bytes(DAMAGES["zeroed behind the middle"](_log_of(database.private_path)))

    ended = run()

    assert ended.code == 0, ended.err
    assert f"{log} was damaged and is now rfq.private.duckdb.wal.damaged-" in ended.err
    assert rfqs_in(database.path) == 2


def test_what_is_published_is_in_the_private_file_itself_and_not_in_its_log(
    run: Rfq, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut between publishing and closing leaves at worst a log that can be thrown away."""
    seen: list[int] = []
    sync = "pipelines.store.publish._sync"

    def look(path: Path) -> None:
        log = log_beside(database.private_path)
        seen.append(log.stat().st_size if log.exists() else 0)

    monkeypatch.setattr(sync, look)

    run()

    assert seen == [0, 0]


def test_what_raw_has_lost_is_read_again(
    run: Rfq, market: Market, desk: Account, maker: Account, clock: ManualClock, database: Database
) -> None:
    """Even where the watermark stayed, as a setting of a library could once bring about."""
    rfq_id = market.create_rfq(desk, market_ticker="KXONE-26-B", contracts_fp="1.00")
    market.create_quote(maker, rfq_id=rfq_id, yes_bid="0.4000", no_bid="0.5500")
    run()
    clock.advance(7200)
    run()
    empty_raw(database)

    ended = run()

    assert ended.code == 0, ended.err
    assert "the private file has lost 1 quotes that were published: reading again" in ended.err
    assert read(database, "select count(*) from marts.quote_facts") == [(1,)]


def test_what_nobody_has_any_more_needs_a_word(
    run: Rfq, rfq: Command, market: Market, desk: Account, clock: ManualClock, database: Database
) -> None:
    market.delete_rfq(desk, market.create_rfq(desk, market_ticker="KXA-26-B", contracts_fp="1.00"))
    run()
    empty_raw(database)
    for _ in range(8):
        clock.advance(86_400)
    market.create_rfq(desk, market_ticker="KXA-26-C", contracts_fp="1.00")
    before = database.path.read_bytes()

    refused = run()
    # A purge would publish what is left, and nobody would miss the rest.
    purged = rfq("purge", "--older-than", "1d", "--yes", "--database", database.path)
    kept = database.path.read_bytes() == before
    accepted = run("--accept-loss")

    assert (refused.code, purged.code, kept, accepted.code) == (65, 65, True, 0), accepted.err
    assert "RFQs that were published, and the exchange no longer has them" in refused.err
    assert f"put a backup of {database.private_path} in its place" in refused.err
    assert "`rfq run --accept-loss` publishes without them" in refused.err
    assert read(
        database, "select count > 0 from marts.data_quality where check_name = 'lost_row'"
    ) == [(True,)]
    assert run().code == 0


@pytest.mark.usefixtures("loaded")
def test_a_published_file_that_cannot_be_read_is_made_anew(run: Rfq, database: Database) -> None:
    whole = database.path.read_bytes()
    database.path.write_bytes(whole[:4096] + bytes(len(whole) - 4096))

    ended = run()

    assert ended.code == 0
    assert f"{database.path} cannot be read and is now rfq.duckdb.damaged-" in ended.err
    assert rfqs_in(database.path) == 1


@pytest.mark.usefixtures("loaded")
def test_a_private_file_that_cannot_be_read_leaves_ways_on(
    run: Rfq, exchange: Any, database: Database
) -> None:
    whole = database.private_path.read_bytes()
    database.private_path.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    exchange.requests.clear()

    refused = run()
    database.private_path.rename(database.path.with_name("damaged"))
    again = run()

    assert (refused.code, again.code) == (65, 0)
    assert "Put a backup in its place, or move it away and run again" in refused.err


def test_a_private_file_of_somebody_else_is_left_as_it_is(run: Rfq, database: Database) -> None:
    with duckdb.connect(database.private_path) as connection:
        connection.execute("create table thesis as select 'years of work' as text")
    before = database.private_path.read_bytes()

    ended = run()

    assert ended.code == 78
    assert "is a database of somebody else and was left as it is" in ended.err
    assert database.private_path.read_bytes() == before


CHANGES = {
    "a table is gone": "drop table staging.quotes",
    "a column has another name": "alter table staging.quotes rename status to s",
    "a row was added": "insert into staging.rfqs (rfq_id) values ('mine')",
    "it says nothing of its moment": "delete from marts.build_info",
    "a table was added": "create table mine as select 1 as a",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.usefixtures("loaded")
def test_a_published_file_that_somebody_has_changed_is_put_aside(
    change: str, run: Rfq, rfq: Command, database: Database
) -> None:
    with duckdb.connect(database.path) as connection:
        connection.execute(CHANGES[change])
    changed = database.path.read_bytes()

    ended = rfq("build", "--database", database.path)

    assert ended.code == 0, ended.err
    (aside,) = database.path.parent.glob("rfq.duckdb.*-*")
    assert aside.read_bytes() == changed
    assert f"{database.path} was changed: it is now {aside.name}" in ended.err or (
        f"{database.path} cannot be read and is now {aside.name}" in ended.err
    )
    assert read(database, "select count(*) from staging.rfqs") == [(1,)]


@pytest.mark.usefixtures("loaded")
def test_a_database_beside_another_is_one_of_its_own(run: Rfq, database: Database) -> None:
    beside = database.path.with_name("rfq.db")
    database.path.with_name("desk.private.duckdb").write_text("a text, and nothing that we made")

    assert (run(at=beside).code, run(at=beside.with_name("desk.duckdb")).code) == (0, 0)

    assert rfqs_in(beside) == 1


@pytest.mark.usefixtures("loaded")
def test_what_another_database_published_is_not_replaced(
    run: Rfq,
    rfq: Command,
    market: Market,
    maker: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The private file is gone, so that the published one alone says whose rows these are."""
    before = database.path.read_bytes()
    database.private_path.unlink()

    market.name = "recording 0123456789ab"
    of_another_market = run("--accept-loss")
    market.name = ""
    _use_key_of(maker, tmp_path, monkeypatch)
    of_another_account = run("--accept-loss")

    assert (of_another_market.code, of_another_account.code) == (78, 78)
    assert "holds the rows of sandbox" in of_another_market.err
    assert database.path.read_bytes() == before


def test_a_backup_that_never_saw_an_end_does_not_undo_it(
    run: Rfq, market: Market, desk: Account, clock: ManualClock, database: Database
) -> None:
    rfq_id = market.create_rfq(desk, market_ticker="KXA-26-B", contracts_fp="1.00")
    run()
    backup = database.private_path.read_bytes()
    market.delete_rfq(desk, rfq_id)
    clock.advance(60)
    run()
    for _ in range(9):
        clock.advance(86_400)
    database.private_path.write_bytes(backup)

    refused, built = run(), run("--accept-loss")

    assert (refused.code, built.code) == (65, 0), built.err
    assert "has lost 1 closings that were published" in refused.err


@pytest.mark.usefixtures("loaded")
def test_a_build_asks_nobody_for_what_was_lost(run: Rfq, rfq: Command, database: Database) -> None:
    empty_raw(database)

    ended = rfq("build", "--database", database.path)

    assert ended.code == 65
    assert "`rfq run` reads again what the exchange still has of them" in ended.err


NEXT_LOAD = "insert into raw.loads select max(load) + 1, 'next', true, null from raw.loads"


@pytest.mark.usefixtures("loaded")
def test_a_loss_that_is_accepted_twice_counts_once(run: Rfq, database: Database) -> None:
    with database.held(), database.working_directory() as directory:
        last = last_published(database.path, directory, is_ours=True)
        with database.writing(directory) as connection, attached(connection, last):
            connection.execute(NEXT_LOAD)
            for _ in range(2):
                accept_losses(connection, {"RFQs": 4})
            found = connection.execute("select sum(rows_lost) from raw.accepted_losses").fetchall()

    assert found == [(4,)]


@pytest.mark.usefixtures("loaded")
def test_a_loss_that_was_published_stays_though_the_moment_shown_stands_still(
    run: Rfq, database: Database
) -> None:
    with database.held(), database.working_directory() as directory:
        last = last_published(database.path, directory, is_ours=True)
        with database.writing(directory) as connection, attached(connection, last):
            accept_losses(connection, {"quotes": 3})
            connection.execute(NEXT_LOAD)
            accept_losses(connection, {"RFQs": 4})
            found = connection.execute("select sum(rows_lost) from raw.accepted_losses").fetchall()

    assert found == [(7,)]


def test_links_that_make_one_file_of_both_are_refused(run: Rfq, database: Database) -> None:
    database.path.with_name("rfq.private.duckdb").symlink_to(database.path)

    ended = run()

    assert ended.code == 78
    assert "are one file: remove the link" in ended.err


def test_a_private_file_that_is_a_link_to_no_folder_is_refused(
    run: Rfq, exchange: Any, database: Database
) -> None:
    database.path.with_name("rfq.private.duckdb").symlink_to("/nowhere/at/all.duckdb")

    ended = run()

    assert (ended.code, list(exchange.requests)) == (78, [])
    assert "the folder /nowhere/at of the private file does not exist" in ended.err


def test_a_file_that_looks_like_a_lock_of_ours_stays(
    rfq: Command, exchange: Any, tmp_path: Path
) -> None:
    (tmp_path / "uv.lock").write_text("what somebody else wrote")
    database = Database(tmp_path / "uv")

    with pytest.raises(DatabaseError), database.held(), database.writing():
        pass

    assert (tmp_path / "uv.lock").read_text() == "what somebody else wrote"


def test_a_build_of_nothing_leaves_nothing(rfq: Command, database: Database) -> None:
    ended = rfq("build", "--database", database.path)

    assert ended.code == 78
    assert "was loaded into" in ended.err
    assert list(database.path.parent.iterdir()) == []


def test_a_build_before_any_load_says_what_to_do(rfq: Command, database: Database) -> None:
    """The tables are there, as where a first run was killed at its beginning."""
    with database.held(), database.writing(may_create=True):
        pass

    ended = rfq("build", "--database", database.path)

    assert ended.code == 78
    assert "nothing was loaded yet, so there is nothing to publish: `rfq run`" in ended.err


@pytest.mark.usefixtures("loaded")
def test_another_accounts_key_is_refused(
    run: Rfq, maker: Account, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = database.path.read_bytes()
    _use_key_of(maker, tmp_path, monkeypatch)

    ended = run()

    assert ended.code == 78
    assert "holds the rows of another account than this key's: choose a second file" in ended.err
    assert database.path.read_bytes() == before


@pytest.mark.usefixtures("loaded")
def test_a_database_of_several_accounts_takes_the_one_that_is_named(
    run: Rfq, rfq: Command, desk: Account, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with duckdb.connect(database.private_path) as connection:
        connection.execute("insert into raw.accounts values ('another', now())")

    unnamed = run()
    monkeypatch.setenv("SOURCES__KALSHI__ACCOUNT", "another")
    other = run()
    monkeypatch.setenv("SOURCES__KALSHI__ACCOUNT", desk.communications_id)
    named = run()
    built = rfq("build", "--database", database.path)

    assert (unnamed.code, other.code, named.code, built.code) == (78, 78, 0, 0)
    assert "the rows are of 2 accounts: say with [sources.kalshi] account whose" in unnamed.err
    assert "another account than [sources.kalshi] account names" in other.err
    assert read(database, "select distinct visibility from marts.rfq_facts") == [("own",)]


def test_another_market_is_refused_and_the_same_goes_on_wherever_it_is_served(
    rfq: Command, key: Path, market: Market, database: Database
) -> None:
    name = market.name

    def run_served() -> Ended:
        with serve(market) as exchange:
            return rfq("run", "--base-url", exchange.base_url, "--database", database.path)

    first, again = run_served(), run_served()
    market.name = "recording 0123456789ab"
    other = run_served()

    assert (first.code, again.code, other.code) == (0, 0, 78)
    assert f"holds the rows of sandbox {name}, and this run reads sandbox recording" in other.err


def test_the_sandbox_goes_on_with_the_market_that_its_file_holds(
    rfq: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipelines.sandbox_access.DAYS", 0.02)
    first = rfq("run", "--sandbox")
    monkeypatch.setattr("pipelines.sandbox_access.today", lambda: 1 / 0)

    again = rfq("run", "--sandbox")
    monkeypatch.setattr("pipelines.sandbox_access.SEED", 2)
    other = rfq("run", "--sandbox")

    assert (first.code, again.code, other.code) == (0, 0, 78), again.err
    assert not (tmp_path / "rfq.duckdb").exists()
    origins = read(Database(tmp_path / "sandbox.duckdb"), "select exchange from raw.stamp")
    assert origins[0][0].startswith("sandbox seed=1 days=0.02 rfqs_per_day=1500 until=")


@pytest.mark.parametrize("exchange_name", EXCHANGES)
def test_the_hosts_of_one_exchange_are_one_origin(exchange_name: str) -> None:
    origins = [f"https://{host}:443" for host in EXCHANGES[exchange_name]]

    assert {origins_of_exchange(origin) for origin in origins} == {tuple(origins)}


def test_the_readme_names_the_hosts_that_are_known() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()

    assert [host for hosts in EXCHANGES.values() for host in hosts if host not in readme] == []


@pytest.mark.usefixtures("loaded")
def test_the_stamp_says_what_a_file_is_and_names_nobody(
    run: Rfq, desk: Account, market: Market, database: Database
) -> None:
    (published,) = read(database, "from raw.stamp")
    with duckdb.connect(database.private_path, read_only=True) as connection:
        (private,) = connection.execute("from raw.stamp").fetchall()

    assert (private[0], published[0]) == ("private", "published")
    assert private[1:5] == published[1:5]
    assert published[3] == f"sandbox {market.name}"
    assert desk.communications_id not in json.dumps(published)


def _use_key_of(account: Account, folder: Path, patch: pytest.MonkeyPatch) -> None:
    path = folder / f"{account.name}.pem"
    path.write_text(account.private_key_pem)
    path.chmod(0o600)
    patch.setenv("SOURCES__KALSHI__API_KEY_ID", account.api_key_id)
    patch.setenv("SOURCES__KALSHI__PRIVATE_KEY_PATH", str(path))


def _as_before_stamps(path: Path) -> Path:
    """Name and fill the private file of *path* as runs did before files were stamped."""
    private = Database(path).private_path
    with duckdb.connect(private) as connection:
        connection.execute("drop table raw.stamp")
    return private.rename(path.with_name(f"{path.stem}.private.duckdb"))


def empty_raw(database: Database) -> None:
    with duckdb.connect(database.private_path) as connection:
        connection.execute("delete from raw.rfq_versions; delete from raw.quote_versions")


def _log_of(path: Path) -> bytes:
    """What a process leaves in the log of the database at *path* when it is killed after a load."""
    writes = (
        "import duckdb, os, sys; connection = duckdb.connect(sys.argv[1]);"
        "connection.execute('create table raw.left_behind as select range as a from range(5000)');"
        "os._exit(0)"
    )
    before = path.read_bytes()
    subprocess.run([sys.executable, "-c", writes, str(path)], check=True)
    log = log_beside(path).read_bytes()
    path.write_bytes(before)
    return log


def _log_of_another_database(folder: Path) -> bytes:
    other = folder / "another.duckdb"
    with duckdb.connect(other) as connection:
        connection.execute("create schema raw")
    log = _log_of(other)
    for path in (other, log_beside(other)):
        path.unlink(missing_ok=True)
    return log
