"""Every other way in which a run can end, and what is left to read afterwards."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import duckdb
import pytest

from pipelines.operations.runs import read_record
from tests.crash.points import POINTS
from tests.crash.trial import RUN_LASTS_AT_MOST_S, Trial, ended, leftovers, trial, wait_until
from tests.crash.worker import (
    context,
    delete_working_files,
    limit_files_to,
    send,
    start,
    truncate_working_files,
)
from tests.profile import IS_NIGHTLY, nightly

# A release is tried with RFQ_CRASH_PAIRS=10.
PAIRS = int(os.environ.get("RFQ_CRASH_PAIRS", "1"))
# What is left of a torn log.
KEPT = (0.0, 0.5, 0.97) if IS_NIGHTLY else (0.5,)
BUSY = FULL = 75
REFUSED = 65
STOPPED = {signal.SIGTERM: 143, signal.SIGINT: 130}
KILLED = -9
KILLED_RECORDED = 137


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """An exchange that was loaded once."""
    with trial(tmp_path_factory.mktemp("endings") / "trial", seed=5, has_few_marts=True) as made:
        assert made.run() == 0, made.output()
        yield made


@pytest.fixture
def tried(loaded: Trial) -> Trial:
    """The same exchange, moved on since the last run, which the test before left made good."""
    (loaded.folder / "output").write_text("")
    loaded.trade()
    return loaded


def assert_made_good(tried: Trial) -> None:
    """A plain run leaves nothing lost, doubled, stale or lying about."""
    assert tried.run() == 0, tried.output()
    assert +tried.faults() == {}
    assert leftovers(tried) == []


def last_recorded(tried: Trial) -> int | None:
    """The exit code of the last run, as the record of runs has it."""
    return read_record(tried.database.path).runs[-1].exit_code


def is_whole(path: Path) -> bool:
    """Open the published file as a reader would, and read all of its tables."""
    with duckdb.connect(path, read_only=True) as connection:
        tables = connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables()"
        ).fetchall()
        counts = [connection.execute(f"from {name}").fetchall() for (name,) in tables]
        facts, rfqs = connection.execute(
            "select (select count(*) from marts.rfq_facts), (select count(*) from staging.rfqs)"
        ).fetchall()[0]
    return len(counts) > 10 and facts == rfqs > 0


# Signals


SIGNALS = {
    "page: after the first": signal.SIGTERM,
    "load: after a commit": signal.SIGINT,
    "marts: in the middle": signal.SIGTERM,
    "publish: draft written": signal.SIGINT,
}


def test_a_signal_ends_a_run_at_once_and_the_next_one_goes_on(tried: Trial) -> None:
    """Further than the one before, up to its own signal; the last of them to its end."""
    before = tried.database.path.read_bytes()
    for point, number in SIGNALS.items():
        code = tried.run(POINTS[point], act=partial(send, number))

        assert code == STOPPED[number] == last_recorded(tried), point
        assert tried.database.path.read_bytes() == before
        assert leftovers(tried) == []
        tried.trade()
    assert "Traceback" not in tried.output()
    assert "a bug" not in tried.output()
    assert_made_good(tried)


@pytest.mark.parametrize(
    ("point", "told"),
    [
        ("publish: before the replace", "Nothing was published."),
        ("publish: after the replace", "The new tables were published before that."),
    ],
)
def test_a_signal_beside_the_rename_is_told_as_readers_see_it(
    tried: Trial, point: str, told: str
) -> None:
    before = tried.database.path.read_bytes()

    code = tried.run(POINTS[point], act=partial(send, signal.SIGTERM))

    assert code == 143
    assert f"stopped by SIGTERM. {told}" in tried.output()
    assert (tried.database.path.read_bytes() == before) == told.startswith("Nothing")


def test_a_signal_ends_a_run_that_waits_for_a_silent_exchange(tried: Trial) -> None:
    # For longer than the test waits for the end of a run.
    tried.market.faults.latency_s = 10 * RUN_LASTS_AT_MOST_S
    process = start(tried.order())
    wait_until(lambda: _is_connected(process.pid))

    os.kill(process.pid, signal.SIGTERM)

    assert ended(process) == 143
    tried.market.faults.latency_s = 0.0
    assert_made_good(tried)


def _is_connected(pid: int) -> bool:
    """Whether a process has a connection to the exchange: it asks at once, and then waits."""
    established = "01"
    sockets = {
        fields[9]
        for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
        if (fields := line.split())[3] == established
    }
    links = (_link(descriptor) for descriptor in Path(f"/proc/{pid}/fd").iterdir())
    return any(link.removeprefix("socket:[").removesuffix("]") in sockets for link in links)


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except FileNotFoundError:
        return ""


# Other programs


def test_of_two_runs_started_at_once_one_leaves(tried: Trial) -> None:
    for _ in range(PAIRS):
        tried.trade()
        tried.market.faults.latency_s = 0.5
        pair = [start(tried.order()) for _ in range(2)]
        wait_until(lambda runs=pair: not all(run.is_alive() for run in runs))
        tried.market.faults.latency_s = 0.0

        assert sorted(map(ended, pair)) == [0, BUSY]

        assert +tried.faults() == {}
    assert_made_good(tried)


def test_a_private_file_held_by_another_program_is_left_alone(tried: Trial) -> None:
    """Whether that program reads or writes."""
    codes = [_run_while_held(tried, mode) for mode in ("read_only=True", "read_only=False")]

    assert codes == [BUSY, BUSY]
    assert tried.output().count("open in another program") == 2
    assert_made_good(tried)


def _run_while_held(tried: Trial, mode: str) -> int:
    holder = (
        f"import duckdb, sys; held = duckdb.connect(sys.argv[1], {mode});"
        " print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tried.database.private_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()

        code = tried.run()
        process.communicate("\n")
    return code


def test_readers_see_a_whole_file_at_any_moment_of_a_run(tried: Trial) -> None:
    with duckdb.connect(tried.database.path, read_only=True) as held:
        before = held.execute("from staging.rfqs order by all").fetchall()
        process = start(tried.order())
        reads = 0
        while process.is_alive():
            # A process of its own: within one, DuckDB would share the connection that is held.
            assert _is_whole_elsewhere(tried.database.path)
            reads += 1

        assert ended(process) == 0
        assert held.execute("from staging.rfqs order by all").fetchall() == before
    assert reads > 0
    assert +tried.faults() == {}


def _is_whole_elsewhere(path: Path) -> bool:
    with ProcessPoolExecutor(1, mp_context=context()) as pool:
        return pool.submit(is_whole, path).result()


# Disks


def test_a_file_that_cannot_grow_ends_the_run_and_harms_nothing(tried: Trial) -> None:
    """Neither one that fails at once nor the next, which may grow and gets further."""
    before = tried.database.path.read_bytes()
    for size in (100_000, 3_000_000):
        code = tried.run(prepare=partial(limit_files_to, size))

        assert code == FULL, tried.output()
        assert tried.database.path.read_bytes() == before
        assert leftovers(tried) in ([], ["rfq.private.duckdb.wal"])
    assert_made_good(tried)


@nightly("a file that cannot grow ends a run in the same way")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_ends_the_run_and_harms_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    try:
        with trial(disk / "trial", seed=5, has_few_marts=True) as tried:
            assert tried.run() == 0, tried.output()
            tried.trade()
            before = tried.database.path.read_bytes()
            _fill(disk / "ballast", left_kib=2_000)

            assert tried.run() == FULL, tried.output()

            assert tried.database.path.read_bytes() == before
            (disk / "ballast").unlink()
            assert_made_good(tried)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _fill(path: Path, left_kib: int) -> None:
    free = shutil.disk_usage(path.parent).free
    with path.open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, free - left_kib * 1024)


# Damage


DAMAGE: dict[str, Callable[[Path], None]] = {
    "extract: after the commit": delete_working_files,
    "normalize: after the commit": truncate_working_files,
    "archive: after": delete_working_files,
}


def test_damaged_working_files_cost_a_run_at_most(tried: Trial) -> None:
    """Each further than the one before."""
    for point, damage in DAMAGE.items():
        before = tried.database.path.read_bytes()

        code = tried.run(POINTS[point], act=partial(damage, tried.folder))

        assert code == 0 or tried.database.path.read_bytes() == before, point
        tried.trade()
    assert_made_good(tried)


def test_what_a_killed_run_left_is_never_read_nor_followed(tried: Trial, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis").write_text("years of work")
    (tried.folder / ".rfq.duckdb.run-link").symlink_to(precious)
    (tried.folder / ".rfq.duckdb.run-file").write_text("")
    stale = tried.folder / ".rfq.duckdb.run-stale" / "kalshi"
    stale.mkdir(parents=True)
    (stale / "state.json").write_text("{")
    (stale / "trace.pickle").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")

    assert_made_good(tried)

    assert (precious / "thesis").read_text() == "years of work"
    assert not list(tried.folder.rglob("owned"))


@pytest.mark.parametrize(
    "point",
    [
        "load: after a commit",
        pytest.param("marts: committed", marks=nightly("it repeats another commit")),
    ],
)
def test_a_torn_log_of_the_private_file_is_made_good(tried: Trial, point: str) -> None:
    """By the next run, which gets as far as the one before, and whose log is torn as well."""
    log = tried.database.private_path.with_name("rfq.private.duckdb.wal")
    for keep in KEPT:
        assert tried.run(POINTS[point]) == KILLED
        assert last_recorded(tried) == KILLED_RECORDED
        os.truncate(log, int(log.stat().st_size * keep))
        tried.trade()

    assert_made_good(tried)


def test_a_lost_private_file_does_not_replace_what_it_published(tried: Trial) -> None:
    """The exchange has forgotten what only the published file still shows."""
    assert_made_good(tried)
    before = tried.database.path.read_bytes()
    private = tried.database.private_path.read_bytes()
    tried.market.faults.vanished.update(tried.rfq_ids()[:5])
    tried.clock.advance(60)
    tried.database.private_path.unlink()

    code = tried.run()

    assert code == REFUSED
    assert "has lost 5 RFQs" in tried.output()
    assert tried.database.path.read_bytes() == before
    tried.market.faults.vanished.clear()
    tried.database.private_path.write_bytes(private)
    assert_made_good(tried)
