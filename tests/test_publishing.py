"""From which published file a run goes on, and what becomes of one that it may not go on from."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from pipelines import building, job, purge
from pipelines.kalshi.extraction import Limits
from pipelines.operations.standing import standing
from pipelines.store import beside, publish
from pipelines.store.beside import log_beside
from pipelines.store.database import Database
from pipelines.store.errors import DataRefused
from tests.benches.publish import load
from tests.running import COMMENTS, damage_block, read
from tests.test_known import differences
from transforms import catalogue, last_build

A_DAY_OF_RFQS = 2 * 86_400
HELD, MORE = 100, 40


pytestmark = pytest.mark.usefixtures("few_marts")


@pytest.fixture(scope="module")
def built(few_marts: None, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database of 100 RFQs and as many quotes, published, with 40 more loaded since."""
    database = Database(tmp_path_factory.mktemp("built") / "rfq.duckdb")
    load(database, 1, 0, HELD)
    job.rebuild(database)
    load(database, 2, HELD, HELD + MORE)
    return database


@pytest.fixture
def held(built: Database, database: Database) -> Database:
    """A copy of it."""
    shutil.copy(built.path, database.path)
    shutil.copy(built.private_path, database.private_path)
    return database


@pytest.fixture(scope="module")
def everything(built: Database) -> Path:
    """What a build from nothing makes of it."""
    anew = built.path.with_name("anew.duckdb")
    job.build_into(anew, built)
    return anew


def why_anew(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [line for line in caplog.messages if line.startswith("all is built anew: ")]
    return [line.removeprefix("all is built anew: ") for line in said]


def test_a_run_goes_on_from_what_it_published_and_ends_where_a_build_of_everything_does(
    held: Database,
    everything: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalogue, "_comments", COMMENTS)
    rows = job.rebuild(held).mart_rows

    assert why_anew(caplog) == []
    assert rows["rfq_facts"] == HELD + MORE
    assert differences(held.path, everything) == {}
    shown = standing(held, datetime.now(UTC)).shown
    assert shown is not None
    # The facts of all that had not matured were replaced, and are counted once.
    assert dict(shown.rows)["marts.rfq_facts"] == HELD + MORE
    comments = "select count(*), count(comment) from duckdb_columns() where schema_name = 'marts'"
    assert len({*read(held, comments)[0]}) == 1


def _cut_short(database: Database) -> None:
    whole = database.path.read_bytes()
    database.path.write_bytes(whole[: len(whole) // 2])


def _damage_every_block(database: Database) -> None:
    """One byte in each block behind the headers, as a bad disk would."""
    damaged = bytearray(database.path.read_bytes())
    for place in range(publish.HEADERS_BYTES + 1_000, len(damaged), 262_144):
        damaged[place] ^= 0x5A
    database.path.write_bytes(damaged)


def _write_in_a_shell(database: Database) -> None:
    with duckdb.connect(database.path) as connection:
        connection.execute("insert into staging.rfqs (rfq_id) values ('mine')")


def _replace_by_another_databases(database: Database) -> None:
    other = Database(database.path.with_name("other.duckdb"))
    load(other, 1, 0, HELD)
    job.rebuild(other)
    other.path.replace(database.path)


CORRUPTED = {
    "deleted": (lambda database: database.path.unlink(), "is not there any more", None),
    "cut short": (_cut_short, "is not there any more", "damaged"),
    "damaged": (_damage_every_block, "is not there any more", "damaged"),
    "changed by a shell": (_write_in_a_shell, None, "changed"),
    "with a log beside it": (
        lambda database: log_beside(database.path).write_bytes(b"left behind"),
        "there is a log beside",
        "wal.stray",
    ),
    "of another database of the same account": (
        _replace_by_another_databases,
        "nothing notes that",
        None,
    ),
}


@pytest.mark.parametrize("how", CORRUPTED)
def test_a_file_that_may_not_be_gone_on_from_costs_a_build_of_everything(
    how: str, held: Database, everything: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corrupt, why, aside = CORRUPTED[how]
    corrupt(held)
    caplog.clear()

    job.rebuild(held)

    assert differences(held.path, everything) == {}
    assert [line.partition(why)[1] for line in why_anew(caplog)] == ([why] if why else [])
    assert len(list(held.path.parent.glob(f"rfq.duckdb.{aside}-*"))) == (aside is not None)


@pytest.mark.parametrize("afresh", [False, True], ids=["in a copy", "in the comparison"])
def test_damage_that_shows_late_costs_a_build_of_everything(
    held: Database, everything: Path, caplog: pytest.LogCaptureFixture, *, afresh: bool
) -> None:
    """A build of everything reads what was published only to see what became of it."""
    damage_block(held.path, "staging.rfqs")

    job.rebuild(held, afresh=afresh)

    assert differences(held.path, everything) == {}
    (why,) = why_anew(caplog)
    assert why.startswith("what is stored cannot be read (")
    assert len(list(held.path.parent.glob("rfq.duckdb.damaged-*"))) == 1


def test_a_damaged_file_refuses_no_build_though_nobody_can_tell_what_raw_has_lost(
    held: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It is kept, and whoever wants to may look what can be read of it."""
    damage_block(held.path, "staging.rfqs")
    with duckdb.connect(held.private_path) as connection:
        connection.execute("delete from raw.rfq_versions where id = 'r7'")

    rows = job.rebuild(held).mart_rows

    assert any("has lost RFQs or closings that were published cannot" in m for m in caplog.messages)
    assert rows["rfq_facts"] == HELD + MORE - 1
    assert len(list(held.path.parent.glob("rfq.duckdb.damaged-*"))) == 1
    job.rebuild(held)


def test_of_a_damaged_file_what_can_be_read_is_still_compared(held: Database) -> None:
    """The RFQs are damaged, and a quote is lost: the exchange may have that."""
    damage_block(held.path, "staging.rfqs")
    with duckdb.connect(held.private_path) as connection:
        first = "select min(id) from raw.quote_versions where load = 1"
        connection.execute(f"delete from raw.quote_versions where id = ({first})")

    with pytest.raises(DataRefused, match="has lost 1 quotes"):
        job.rebuild(held)


def test_a_purge_leaves_a_damaged_file_alone_which_may_hold_what_raw_has_lost(
    held: Database,
) -> None:
    damage_block(held.path, "staging.rfqs")
    wanted = purge.Wanted(datetime(2030, 1, 1, tzinfo=UTC), None)

    with (
        pytest.raises(DataRefused, match="is damaged: `rfq build --full-refresh`"),
        purge.prepared(held, wanted, datetime.now(UTC)),
    ):
        pass

    job.rebuild(held, afresh=True)
    with purge.prepared(held, wanted, datetime.now(UTC)) as prepared:
        assert prepared.is_needed


def test_a_private_file_that_is_damaged_is_no_matter_of_the_published_one(held: Database) -> None:
    published = held.path.read_bytes()
    damage_block(held.private_path, "raw.rfq_versions")

    with pytest.raises(duckdb.Error, match=r"(?i)corrupt|checksum"):
        job.rebuild(held, afresh=True)

    assert held.path.read_bytes() == published
    assert list(held.path.parent.glob("rfq.duckdb.damaged-*")) == []


def test_a_file_that_is_moved_while_a_run_is_at_work_is_made_anew(
    held: Database, everything: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with held.held(), held.working_directory() as directory:
        work = building.work_on(held, directory)
        held.path.rename(held.path.with_name("moved.duckdb"))
        with held.writing(directory) as connection:
            job.demand_buildable(connection, work)
            building.build_and_publish(
                *(connection, work, {}, Limits()), account=None, maturity_s=300.0
            )

    assert why_anew(caplog) == [f"{held.path} is not there any more"]
    assert differences(held.path, everything) == {}


def test_a_file_that_is_moved_while_it_is_copied_is_made_anew(
    held: Database,
    everything: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy = beside._copy

    def moved_meanwhile(path: Path, target: Path) -> None:
        copy(path, target)
        path.rename(path.with_name("moved.duckdb"))

    monkeypatch.setattr(beside, "_copy", moved_meanwhile)
    job.rebuild(held)

    assert why_anew(caplog) == [f"{held.path} was moved meanwhile"]
    assert differences(held.path, everything) == {}


def test_an_older_file_of_ours_is_gone_on_from(
    held: Database, everything: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As after `cp` from a backup of the published file alone."""
    older = held.path.read_bytes()
    job.rebuild(held)
    held.path.write_bytes(older)

    job.rebuild(held)

    assert why_anew(caplog) == []
    assert differences(held.path, everything) == {}


def test_a_private_file_older_than_the_published_one_is_refused(held: Database) -> None:
    """Its numbers of loads are taken again by other rows, which no note of a file vouches for."""
    backup = held.private_path.read_bytes()
    load(held, 3, HELD + MORE, HELD + 2 * MORE)
    job.rebuild(held)
    published = held.path.read_bytes()
    held.private_path.write_bytes(backup)

    with pytest.raises(DataRefused, match=f"has lost {MORE} RFQs"):
        job.rebuild(held)

    assert held.path.read_bytes() == published


def test_rows_that_somebody_has_deleted_from_raw_are_missed(held: Database) -> None:
    with duckdb.connect(held.private_path) as connection:
        connection.execute("delete from raw.rfq_versions where id = 'r7'")

    with pytest.raises(DataRefused, match="has lost 1 RFQs"):
        job.rebuild(held)


def test_another_m_and_much_free_space_begin_from_an_empty_file(
    held: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    job.rebuild(held, maturity_s=60)
    monkeypatch.setattr(building, "COMPACTS_ABOVE_BYTES", -1)
    job.rebuild(held, maturity_s=60)

    changed, free = why_anew(caplog)

    assert changed.endswith("definitions, settings or libraries are other ones")
    assert free.endswith("hold nothing")


@pytest.mark.parametrize(("share", "begins_anew"), [(0.28, True), (0.29, False)])
def test_above_a_share_of_changes_everything_is_built_and_ends_the_same(
    share: float,
    begins_anew: bool,
    held: Database,
    everything: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 140 RFQs and as many quotes 40 of each are new: 80 of 280 are 28.6 %."""
    monkeypatch.setattr(last_build, "BUILDS_ALL_ABOVE", share)
    caplog.set_level("INFO")

    job.rebuild(held)

    said = ["of what was published last, 29% has changed"] if begins_anew else []
    assert why_anew(caplog) == said
    assert differences(held.path, everything) == {}


def test_all_is_checked_once_a_day_and_in_a_full_refresh(
    held: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    real: Callable[..., None] = building.demand_sound

    def demand_sound(*arguments: object, changes_alone: bool, **named: object) -> None:
        asked.append(changes_alone)
        real(*arguments, changes_alone=changes_alone, **named)

    monkeypatch.setattr(building, "demand_sound", demand_sound)

    job.rebuild(held)
    job.rebuild(held, afresh=True)
    job.rebuild(held)
    load(held, 3, A_DAY_OF_RFQS, A_DAY_OF_RFQS + 2 * (HELD + MORE))
    job.rebuild(held)

    assert asked == [True, False, True, False]


def test_where_the_time_of_a_run_went_is_kept_and_copying_too_long_is_said(
    held: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "COPIES_IN_S", 0.0)
    monkeypatch.setattr(publish, "COPIES_IN_A_SHARE_OF", 0.0)

    job.rebuild(held)

    assert "Keep the files on XFS or btrfs" in caplog.text
    with duckdb.connect(held.private_path, read_only=True) as connection:
        kept = connection.execute(
            "select load, copy_s > 0, build_s > 0, check_s > 0, publish_s > 0, peak_bytes > 1e7"
            " from raw.run_phases order by load"
        ).fetchall()
    # There was nothing to copy at first.
    assert kept == [(1, False, *[True] * 4), (2, *[True] * 5)]
    # The file cannot tell how long it took to put it in place.
    assert read(held, "select load from raw.run_phases") == [(1,)]


def test_no_room_for_the_copy_leaves_the_last_file(
    held: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = held.path.read_bytes()

    def full(path: Path, copy: Path) -> None:
        copy.write_bytes(b"")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.store.beside._copy", full)

    with pytest.raises(OSError, match="No space left"):
        job.rebuild(held)

    assert held.path.read_bytes() == before
    assert [path.name for path in held.path.parent.iterdir() if path.is_dir()] == []
