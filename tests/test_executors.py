"""`rfq build --executor`: the same tables, wherever their parts were computed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import TYPE_CHECKING, Any

import pytest

from pipelines import executors, job
from pipelines.executors import Wanted, wanted
from pipelines.kalshi.client.errors import ExchangeError
from pipelines.kalshi.extraction import LoadSettings
from pipelines.sandbox import ManualClock, Market, serve, simulate
from pipelines.store.database import Database
from tests.conftest import NOON
from tests.profile import nightly
from tests.running import UNHURRIED, Command, access_of, ignore, read
from tests.test_known import differences
from transforms import build as building
from transforms import partition
from transforms.partition import (
    NAMES,
    Rows,
    Sent,
    Work,
    build_elsewhere,
    build_partition,
)

if TYPE_CHECKING:
    from distributed import LocalCluster

pytestmark = pytest.mark.usefixtures("few_marts")
FEW_ROWS = 300
ENDS_WITHIN_S = 30.0
with_dask = nightly("a cluster takes long to begin, and its parts go as processes' do")
BUILT_BY = "select executor, len(workers), n_partitions from marts.build_info"


@pytest.fixture(scope="module")
def loaded(few_marts: None, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database with some hundred RFQs and their quotes, loaded once."""
    market = Market(clock=ManualClock(NOON), behavior=UNHURRIED)
    simulate(market, seed=1, days=0.5, rfqs_per_day=1_200)
    database = Database(tmp_path_factory.mktemp("executors") / "rfq.duckdb")
    with serve(market) as exchange:
        job.run(database, access_of(exchange, market.account("desk"), LoadSettings()), ignore)
    return database


@pytest.fixture
def database(loaded: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A copy of it, whose builds take several parts."""
    monkeypatch.setattr(building, "ROWS_PER_PART", FEW_ROWS)
    copy = Database(tmp_path / "rfq.duckdb")
    shutil.copy(loaded.path, copy.path)
    shutil.copy(loaded.private_path, copy.private_path)
    return copy


@pytest.fixture(scope="module")
def single(loaded: Database) -> Path:
    """What one process builds."""
    output = loaded.path.with_name("single.duckdb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "ROWS_PER_PART", FEW_ROWS)
        job.build_into(output, loaded)
    return output


@pytest.fixture(scope="module")
def cluster() -> "Iterator[LocalCluster]":
    """A scheduler with two workers, each a process."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1"
    ) as cluster:
        yield cluster


def differing(one: Path, other: Path) -> dict[str, int]:
    """How many rows of each table differ, but for who built it."""
    found = differences(one, other)
    return {name: rows for name, rows in found.items() if name != "marts.build_info"}


class Killing(executors._Processes):
    """A pool of which a process is killed as soon as the third partition was sent."""

    sent = 0
    kills = 0

    def _submit(self, each: Sent) -> Any:
        future = super()._submit(each)
        Killing.sent += 1
        if Killing.sent == 3:
            assert isinstance(self._pool, ProcessPoolExecutor)
            os.kill(next(iter(self._pool._processes)), signal.SIGKILL)
            Killing.kills += 1
        return future


def test_processes_of_which_one_is_killed_build_what_one_process_does(
    database: Database,
    rfq: Command,
    single: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executors, "_Processes", Killing)
    output = tmp_path / "processes.duckdb"

    ended = rfq(
        *("build", "--output", output, "--database", database.path, "--executor", "processes:2")
    )

    assert (ended.code, Killing.kills) == (0, 1), ended.err
    assert "a part of the build was lost (BrokenProcessPool): again" in ended.err
    assert differing(single, output) == {}
    ((executor, n_workers, n_partitions),) = read(Database(output), BUILT_BY)
    assert executor == "processes:2"
    assert 1 <= n_workers <= 3
    assert n_partitions > 4
    assert read(Database(single), BUILT_BY) == [("single", 0, n_partitions)]


@with_dask
def test_dask_of_which_a_worker_is_killed_publishes_what_one_process_does(
    database: Database,
    rfq: Command,
    single: Path,
    cluster: "LocalCluster",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = next(iter(cluster.workers.values()))
    monkeypatch.setattr(executors._Dask, "build_all", _killing(one.pid))

    ended = rfq(
        *("build", "--full-refresh", "--database", database.path),
        *("--executor", f"dask:{cluster.scheduler_address}"),
    )

    assert ended.code == 0, ended.err
    assert differing(single, database.path) == {}
    assert read(database, BUILT_BY)[0][0] == "dask"


def _killing(pid: int) -> Callable[..., Iterator[Rows]]:
    real = executors._Dask.build_all

    def build_all(self: executors._Dask, partitions: Iterable[Sent]) -> Iterator[Rows]:
        for number, made in enumerate(real(self, partitions)):
            if number == 1:
                os.kill(pid, signal.SIGKILL)
            yield made

    return build_all


def test_a_part_that_is_lost_three_times_publishes_nothing(
    database: Database, rfq: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = database.path.read_bytes()
    monkeypatch.setattr(executors, "build_elsewhere", die)

    ended = rfq(
        *("build", "--full-refresh", "--database", database.path, "--executor", "processes:1")
    )

    assert ended.code == 75
    assert "was lost 3 times (BrokenProcessPool): nothing was published" in ended.err
    assert database.path.read_bytes() == before


def die(work: Work, inputs: Rows, settings: bytes) -> tuple[str, Rows]:
    os.kill(os.getpid(), signal.SIGKILL)
    return build_elsewhere(work, inputs, settings)


@with_dask
def test_a_worker_of_another_version_is_refused_before_any_work(
    database: Database, rfq: Command, cluster: "LocalCluster", monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = {**partition.versions(), "polars": "0.1"}
    monkeypatch.setattr(executors, "_demand_same", _demanding(ours))

    ended = rfq(
        "build", "--database", database.path, "--executor", f"dask:{cluster.scheduler_address}"
    )

    assert ended.code == 78
    assert "and this process 0.1: they would not compute the same" in ended.err


def _demanding(ours: dict[str, str]) -> Callable[[Any], None]:
    demand = executors._demand_same

    def demand_same(workers: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(executors, "versions", lambda: ours)
            demand(workers)

    return demand_same


REFUSED = {
    "threads": (2, "'threads' is no executor"),
    "processes:0": (2, "'processes:0' is no executor"),
    "dask:http://127.0.0.1:1": (2, "is no executor"),
    "dask:tcp://192.0.2.1:8786": (78, "--insecure-executor where nobody else can reach it"),
    "dask:tcp://127.0.0.1:9": (69, "no Dask scheduler answers at tcp://127.0.0.1:9"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_executor_is_refused_before_any_work(
    rfq: Command, tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = REFUSED[text]
    monkeypatch.setattr(executors, "ANSWERS_WITHIN_S", 0.5)

    ended = rfq("build", "--database", tmp_path / "rfq.duckdb", "--executor", text)

    assert ended.code == code
    assert said in ended.err


SENDER = """
from multiprocessing import active_children
from operator import is_
from pipelines.executors import executing, wanted
with executing(wanted("processes:2")) as builder:
    list(builder.build_all([(is_, {}, b"")] * 2))
    print(*(child.pid for child in active_children()), flush=True)
    input()
"""


@contextmanager
def sending() -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """A process that has sent parts to others, in a session of its own, and these as files."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-c", SENDER]
    with subprocess.Popen(command, start_new_session=True, **pipes) as sender:
        assert sender.stdout is not None
        workers = [os.pidfd_open(int(pid)) for pid in sender.stdout.readline().split()]
        try:
            yield sender, workers
        finally:
            for worker in workers:
                os.close(worker)


def are_over(processes: list[int]) -> bool:
    return all(select([process], [], [], ENDS_WITHIN_S)[0] for process in processes)


def test_processes_end_with_the_one_that_sends_them_parts_even_if_that_is_killed() -> None:
    with sending() as (sender, workers):
        sender.kill()

        assert workers
        assert are_over(workers)


def test_a_terminal_that_interrupts_all_of_them_is_answered_by_one() -> None:
    with sending() as (sender, workers):
        os.killpg(sender.pid, signal.SIGINT)
        _, said = sender.communicate()

        assert are_over(workers)
        assert said.count(b"Traceback") == said.count(b"KeyboardInterrupt") == 1, said.decode()


def test_processes_are_as_many_as_there_are_cores() -> None:
    assert wanted("processes") == Wanted(processes=len(os.sched_getaffinity(0)))
    assert not issubclass(executors.ExecutorUnavailable, ExchangeError)


def test_a_partition_is_built_without_a_database() -> None:
    """In an interpreter of its own, where DuckDB cannot be imported."""
    code = (
        "import sys; sys.modules['duckdb'] = None; import transforms.partition;"
        "print([name for name in sys.modules if name.startswith('pipelines')])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "[]"


def test_what_is_given_names_nothing_private() -> None:
    assert build_partition.__module__ == "transforms.partition"
    assert NAMES == ("fast_markets", "open_sweeps", "passes", "quotes", "rfqs")
