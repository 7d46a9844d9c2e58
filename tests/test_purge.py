"""Forgetting for good, and copies that a run can go on from; on a market that is small and real."""

import errno
import hashlib
import json
import shutil
import sys
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
import typer

from pipelines import cli, effects, purge
from pipelines.operations.runs import Run, append_end
from pipelines.sandbox import Account, ManualClock, Market
from pipelines.sandbox.listings import combo_ticker
from pipelines.store import backup
from pipelines.store import database as files
from pipelines.store.backup import back_up
from pipelines.store.database import Database
from pipelines.store.errors import DatabaseBusy, DatabaseError, DataRefused
from pipelines.store.publish import replace_published
from tests.conftest import NOON
from tests.running import Command, read
from tests.security.search import found_in_tables
from tests.test_runs import at_work

AGE = timedelta(days=3)
pytestmark = pytest.mark.usefixtures("few_marts")


@pytest.fixture
def clock() -> ManualClock:
    """Three days ago."""
    return ManualClock(datetime.now(UTC) - AGE)


def executed(market: Market, desk: Account, maker: Account, ticker: str) -> tuple[str, str]:
    """An RFQ of the desk's that the maker fills: the exchange keeps listing it."""
    rfq_id = market.create_rfq(desk, market_ticker=ticker, contracts_fp="10.00")
    market.clock.advance(1.0)
    quote_id = market.create_quote(maker, rfq_id=rfq_id, yes_bid="0.4000", no_bid="0.5500")
    market.accept_quote(desk, quote_id, accepted_side="yes")
    market.clock.advance(1.0)
    market.confirm_quote(maker, quote_id)
    market.clock.advance(60.0)
    return rfq_id, quote_id


def _quoted(market: Market, desk: Account, maker: Account) -> tuple[str, str]:
    """An RFQ of the desk's that the maker has quoted: both are open."""
    rfq_id = market.create_rfq(desk, market_ticker="KXONE-26-QUOTED", contracts_fp="10.00")
    return rfq_id, market.create_quote(maker, rfq_id=rfq_id, yes_bid="0.4000", no_bid="0.5500")


def holds(database: Database, *ids: str) -> bool:
    """Whether any file beside the database has one of *ids*, as bytes or in a table."""
    for path in database.path.parent.rglob("*"):
        if path.is_file() and any(id_.encode() in path.read_bytes() for id_ in ids):
            return True
    return any(found_in_tables(path, ids) for path in (database.path, database.private_path))


def _half_done(draft: Path, path: Path) -> None:
    replace_published(draft, path)
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_is_purged_is_in_no_file_and_does_not_come_back(
    rfq: Command,
    key: Path,
    exchange: Any,
    market: Market,
    clock: ManualClock,
    desk: Account,
    maker: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = market.add_account("other")
    old = executed(market, desk, maker, combo_ticker(2))
    clock.advance(AGE.total_seconds() - 3_600)
    new = executed(market, desk, maker, combo_ticker(3))
    others = executed(market, desk, other, "KXONE-26-OTHERS")
    where = ("--base-url", exchange.base_url, "--database", database.path)
    at = ("--database", database.path)
    assert rfq("run", *where).code == 0
    aside = database.path.parent / "rfq.duckdb.changed-20261120"
    aside.write_text(old[0])
    before = database.private_path.read_bytes()
    assert holds(database, *old)

    asked = rfq("purge", "--older-than", "1d", *at)
    assert (asked.code, database.private_path.read_bytes() == before) == (2, True)
    with monkeypatch.context() as broken:
        broken.setattr(purge, "replace_published", _half_done)
        half = rfq("purge", "--older-than", "1d", "--yes", *at)
    assert not aside.exists()
    purged = rfq("purge", "--older-than", "1d", "--yes", *at)
    told_bytes = effects.published_bytes()
    sizes = [path.stat().st_size for path in (database.path, database.private_path)]

    # Of the two files that it put in place the one is published, and told of.
    assert told_bytes == sizes[0] != sizes[1]
    # Stopped between the two files, it has lost nothing, and the next one finds what is left.
    assert (half.code, half.err.endswith("published before that.\n")) == (75, True)
    assert purged.code == 0, purged.err
    assert "raw.rfq_versions: 1 rows\nraw.quote_versions: 1 rows\n" in purged.out
    assert asked.out.splitlines()[0] == purged.out.splitlines()[0]
    assert not holds(database, *old)
    assert rfq("purge", "--account", other.communications_id, "--yes", *at).code == 0
    assert not holds(database, others[1], other.communications_id)
    again = rfq("run", *where)
    assert again.code == 0, again.err
    assert not holds(database, *old, others[1], other.communications_id)
    assert read(database, "select quote_id from staging.quotes") == [(new[1],)]
    assert {id_ for (id_,) in read(database, "select rfq_id from staging.rfqs")} == {
        new[0],
        others[0],
    }
    with duckdb.connect(database.private_path, read_only=True) as connection:
        assert connection.execute("select count(*) from raw.quote_versions").fetchall() == [(1,)]
        lists = connection.execute("select market_ticker from raw.leg_lists").fetchall()
        assert lists == [(combo_ticker(3),)]
    nothing = rfq("purge", "--older-than", "1d", "--yes", *at)
    assert nothing.out.endswith("nothing to forget\n")
    own = rfq("purge", "--account", desk.communications_id, "--yes", *at)
    assert (own.code, "remove the files" in own.err) == (78, True)


def test_who_asked_is_forgotten_with_the_rfq_where_only_a_quote_names_them(
    rfq: Command,
    key: Path,
    exchange: Any,
    market: Market,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the database of another account, which quoted them: the list of RFQs hides who asked."""
    us = market.add_account("us", key="ed25519")
    key.write_text(us.private_key_pem)
    monkeypatch.setenv("SOURCES__KALSHI__API_KEY_ID", us.api_key_id)
    forgotten, kept = market.add_account("forgotten"), market.add_account("kept")
    quoted = [_quoted(market, asker, us) for asker in (forgotten, kept)]
    market.clock.advance(60.0)
    at = ("--database", database.path)
    ran = rfq("run", "--base-url", exchange.base_url, *at)
    with duckdb.connect(database.private_path, read_only=True) as connection:
        shown = connection.execute("select distinct creator_id from raw.rfq_versions").fetchall()
        named = connection.execute("select rfq_creator_id from raw.quote_versions").fetchall()

    purged = rfq("purge", "--account", forgotten.communications_id, "--yes", *at)

    assert (ran.code, purged.code) == (0, 0), ran.err + purged.err
    asked_by = {(forgotten.communications_id,), (kept.communications_id,)}
    assert (shown, set(named)) == ([("",)], asked_by)
    assert "raw.rfq_versions: 1 rows\nraw.quote_versions: 1 rows\n" in purged.out
    assert not holds(database, *quoted[0], forgotten.communications_id)
    assert rfq("run", "--base-url", exchange.base_url, *at).code == 0
    assert not holds(database, *quoted[0], forgotten.communications_id)
    left = "select rfqs.rfq_id, quote_id from staging.rfqs join staging.quotes using (rfq_id)"
    assert read(database, left) == [quoted[1]]


def test_what_the_exchange_has_forgotten_by_now_needs_no_hash(
    rfq: Command,
    key: Path,
    exchange: Any,
    market: Market,
    clock: ManualClock,
    desk: Account,
    maker: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of what was purged for its age: it is left out by that, and no other list shows it.

    The sandbox shows what is closed for longer than this run takes the exchange to.
    """
    monkeypatch.setenv("SOURCES__KALSHI__RETENTION_DAYS", "1")
    stranger, other = market.add_account("stranger"), market.add_account("other")
    closed, left_open = (
        market.create_rfq(who, market_ticker="KXONE-26-THEIRS", contracts_fp="10.00")
        for who in (stranger, other)
    )
    quoted, quote_id = _quoted(market, desk, maker)
    clock.advance(30.0)
    market.delete_rfq(stranger, closed)
    clock.advance(30.0)
    where = ("--base-url", exchange.base_url, "--database", database.path)
    assert rfq("run", *where).code == 0
    clock.advance(AGE.total_seconds() - 3_600)

    purged = rfq("purge", "--older-than", "1d", "--yes", "--database", database.path)

    assert purged.code == 0, purged.err
    kept = "select resource, id_hash::varchar from raw.purged_ids order by all"
    with duckdb.connect(database.private_path, read_only=True) as connection:
        hashes = connection.execute(kept).fetchall()
        wanted = connection.execute(
            "select resource, md5_number(id)::varchar from (values ('rfqs', $1), ('rfqs', $2),"
            " ('quotes', $3)) as t(resource, id) order by all",
            [left_open, quoted, quote_id],
        ).fetchall()
    assert hashes == wanted
    assert rfq("run", *where).code == 0
    assert not holds(database, closed, left_open, quoted, quote_id)


def test_a_purge_wants_one_thing_and_something_to_purge(rfq: Command, database: Database) -> None:
    at = ("--database", database.path)

    assert rfq("purge", *at).code == 2
    assert rfq("purge", "--older-than", "1d", "--account", "x", *at).code == 2
    assert rfq("purge", "--older-than", "1d", "--yes", *at).code == 78


@pytest.mark.parametrize("hidden", ["", " ", "0", hashlib.sha256(b"").hexdigest()])
def test_what_stands_for_hidden_ids_is_no_account(
    rfq: Command, database: Database, hidden: str
) -> None:
    """A variable of the shell that is not set would forget what all strangers have asked."""
    ended = rfq("purge", "--account", hidden, "--yes", "--database", database.path)

    assert (ended.code, "everybody's" in ended.err) == (2, True)


def test_who_leaves_at_the_question_forgets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    asked = cli._is_confirmed("Forget them for good?")
    monkeypatch.setattr(sys, "stdin", Namespace(isatty=lambda: True))

    def left(_: str) -> bool:
        raise typer.Abort

    monkeypatch.setattr(typer, "confirm", left)

    assert (asked, cli._is_confirmed("Forget them for good?")) == (False, False)


# Backup


def test_a_run_goes_on_from_a_backup(
    rfq: Command,
    key: Path,
    exchange: Any,
    market: Market,
    desk: Account,
    maker: Account,
    database: Database,
    tmp_path: Path,
) -> None:
    """What happened after the copy is read again, and nothing is missing or doubled."""
    before = executed(market, desk, maker, "KXONE-26-BEFORE")
    where = ("--base-url", exchange.base_url, "--database", database.path)
    assert rfq("run", *where).code == 0
    copy = tmp_path / "backup"

    ended = rfq("backup", copy, "--database", database.path)
    after = executed(market, desk, maker, "KXONE-26-AFTER")
    for path in tmp_path.glob("rfq.*"):
        path.unlink()
    shutil.copytree(copy, tmp_path, dirs_exist_ok=True)
    again = rfq("run", *where)

    assert (ended.code, again.code) == (0, 0), again.err
    names = ["rfq.duckdb", "rfq.private.duckdb", "rfq.runs.jsonl"]
    assert sorted(path.name for path in copy.iterdir()) == names
    assert copy.stat().st_mode & 0o777 == 0o700
    shown = read(database, "select rfq_id, quote_id, status from staging.quotes order by all")
    assert shown == sorted((*each, "executed") for each in (before, after))
    status = json.loads(rfq("status", "--json", "--database", database.path).out)
    assert [run["exit_code"] for run in status["runs"]] == [0, 0]
    assert rfq("backup", copy, "--database", database.path).code == 78


def test_a_backup_waits_for_a_run_and_leaves_nothing_half(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DatabaseError, match="nothing at"):
        back_up(database, tmp_path / "copy")
    with database.held(), database.writing(may_create=True):
        pass
    assert (backup.WAITS_S, files.LOCK_WITHIN_S) == (60, 0.25)
    with at_work(database.path), pytest.raises(DatabaseBusy):
        back_up(database, tmp_path / "copy", within_s=0.1)

    whole = database.private_path.read_bytes()
    database.private_path.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    with pytest.raises(DataRefused):
        back_up(database, tmp_path / "copy")

    assert {path.name for path in tmp_path.iterdir()} == {
        "rfq.duckdb.lock",
        "rfq.private.duckdb",
    }


def test_a_backup_is_none_where_a_row_of_the_private_file_cannot_be_read(
    database: Database, tmp_path: Path
) -> None:
    """One damaged block in the middle, which neither opening nor counting comes across."""
    with database.held(), database.writing(may_create=True) as connection:
        connection.execute(
            "insert into raw.rfq_versions by name select md5(i::varchar) as id, 'closed' as status,"
            " now() as created_ts, now() as observed_ts, md5(i::varchar) as version_hash,"
            " 'rfqs_market' as observed_pass, 1 as load from range(200_000) as t(i)"
        )
    size = database.private_path.stat().st_size
    with database.private_path.open("r+b") as file:
        file.seek(size // 2)
        file.write(bytes(1_000))
    with database.held(), database.writing() as connection:
        counted = connection.execute("select count(*) from raw.rfq_versions").fetchall()

    with pytest.raises(DataRefused, match="the copy cannot be read"):
        back_up(database, tmp_path / "copy")

    assert counted == [(200_000,)]
    assert not (tmp_path / "copy").exists()


def test_a_backup_demands_the_seal_of_a_file_that_has_one(
    rfq: Command,
    key: Path,
    exchange: Any,
    market: Market,
    desk: Account,
    maker: Account,
    database: Database,
) -> None:
    """One that an early version published has no seal; one whose rows are gone has another."""
    executed(market, desk, maker, "KXONE-26-A")
    ran = rfq("run", "--base-url", exchange.base_url, "--database", database.path)
    folder = database.path.parent
    with duckdb.connect(database.path) as connection:
        connection.execute("delete from staging.rfqs")

    changed = rfq("backup", folder / "changed", "--database", database.path)
    with duckdb.connect(database.path) as connection:
        connection.execute("drop table raw.stamp")
    unsealed = rfq("backup", folder / "unsealed", "--database", database.path)

    assert ran.code == 0, ran.err
    assert (changed.code, "is not as it was published" in changed.err) == (65, True)
    assert not (folder / "changed").exists()
    assert unsealed.code == 0, unsealed.err


def test_a_backup_of_a_file_that_is_not_there_is_none_though_another_lies_beside(
    rfq: Command, tmp_path: Path
) -> None:
    """The name that `rfq.db` had for its private file once is that of `rfq.duckdb` now."""
    default = Database(tmp_path / "rfq.duckdb")
    with default.held(), default.writing(may_create=True):
        append_end(default.path, Run("x", "run", NOON, NOON, 0), has_start=False)

    ended = rfq("backup", tmp_path / "copy", "--database", tmp_path / "rfq.db")

    assert (ended.code, "nothing at" in ended.err) == (78, True)
    assert not (tmp_path / "copy").exists()


def test_a_private_file_on_another_disk_is_backed_up_and_purged(
    rfq: Command,
    key: Path,
    exchange: Any,
    market: Market,
    clock: ManualClock,
    desk: Account,
    maker: Account,
    database: Database,
    tmp_path: Path,
) -> None:
    with TemporaryDirectory(dir="/dev/shm") as elsewhere:
        if Path(elsewhere).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is no other disk")
        link, private = tmp_path / "rfq.private.duckdb", Path(elsewhere) / "secure.duckdb"
        link.symlink_to(private)
        old = executed(market, desk, maker, "KXONE-26-OLD")
        clock.advance(AGE.total_seconds() - 3_600)
        new = executed(market, desk, maker, "KXONE-26-NEW")
        at = ("--database", database.path)
        ran = rfq("run", "--base-url", exchange.base_url, *at)

        backed = rfq("backup", tmp_path / "copy", *at)
        purged = rfq("purge", "--older-than", "1d", "--yes", *at)

        assert (ran.code, backed.code, purged.code) == (0, 0, 0), purged.err
        names = {path.name for path in (tmp_path / "copy").iterdir()}
        assert names == {"rfq.duckdb", "rfq.private.duckdb", "rfq.runs.jsonl"}
        assert read(database, "select quote_id from staging.quotes") == [(new[1],)]
        assert link.is_symlink()
        assert [path.name for path in Path(elsewhere).iterdir()] == ["secure.duckdb"]
        assert old[1].encode() not in private.read_bytes()
        assert rfq("run", "--base-url", exchange.base_url, *at).code == 0


def test_a_folder_that_cannot_be_replaced_is_refused_before_anything_is_copied(
    rfq: Command, tmp_path: Path
) -> None:
    database = Database(tmp_path / "rfq.duckdb")
    with database.held(), database.writing(may_create=True):
        pass
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")

    ended = rfq("backup", tmp_path / "link", "--database", database.path)

    assert (ended.code, "name a folder in it" in ended.err) == (78, True)
    assert list((tmp_path / "disk").iterdir()) == []
