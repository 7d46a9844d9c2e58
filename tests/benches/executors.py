"""A build of everything in one process, in worker processes and on a Dask cluster.

    python tests/benches/executors.py                   # 1,000,000 quotes of as many RFQs
    python tests/benches/executors.py 50000000 FOLDER   # FOLDER keeps the data set
    python tests/benches/executors.py 1000000 FOLDER --at-once

Each build is `rfq build --full-refresh` as it is typed. The one process has one core to itself, and
there is a worker for each core. CPU is of all processes, memory of the one that sends the parts;
how many times faster is told of the build without its checks and publishing. What they have built
is compared table by table, by the number of rows and the sum of their hashes.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.store.database import Database
from tests.benches.heading import heading
from tests.benches.publish import load

ROOT = Path(__file__).parents[2]
QUOTES_PER_LOAD = 1_000_000
RFQ = "from pipelines.entry import main; main()"
Content = dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Build:
    """What a build of everything took, and what it has made."""

    wall_s: float
    build_s: float
    cpu_s: float
    peak_bytes: int
    content: Content


def held(folder: Path, size: int) -> Database:
    """Return the database with so many quotes of as many RFQs in raw, made if it is not there."""
    database, made = Database(folder / f"quotes_{size}.duckdb"), folder / f"quotes_{size}.made"
    if not made.exists():
        database.private_path.unlink(missing_ok=True)
        for number, low in enumerate(range(0, size, QUOTES_PER_LOAD), 1):
            load(database, number, low, min(size, low + QUOTES_PER_LOAD))
        made.touch()
    return database


def build(database: Database, *options: str, cores: set[int]) -> Build:
    """Build and publish everything by the command, which may use these *cores*."""
    command = [sys.executable, "-c", RFQ, "build", "--full-refresh", "--log-format", "json"]
    database.path.unlink(missing_ok=True)
    cpu_s, began_s = _cpu_s(), time.perf_counter()
    done = subprocess.run(
        [*command, "--database", str(database.path), *options],
        cwd=database.path.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=partial(os.sched_setaffinity, 0, cores),
        capture_output=True,
        text=True,
    )
    wall_s = time.perf_counter() - began_s
    if done.returncode:
        raise SystemExit(done.stderr)
    ended = json.loads(done.stderr.splitlines()[-1])
    figures = (wall_s, ended["build_s"], _cpu_s() - cpu_s, ended["peak_bytes"])
    return Build(*figures, content_of(database.path))


def builds_at_once(database: Database, cores: set[int]) -> list[Build]:
    """Build everything on each of *cores* at one time, each from a copy of *database*."""
    copies = [Database(database.path.with_stem(f"{database.path.stem}_{core}")) for core in cores]
    try:
        for copy in copies:
            shutil.copyfile(database.private_path, copy.private_path)
        with ThreadPoolExecutor(len(cores)) as threads:
            return list(threads.map(lambda copy, core: build(copy, cores={core}), copies, cores))
    finally:
        for copy in copies:
            for path in (copy.path, copy.private_path):
                path.unlink(missing_ok=True)


def content_of(path: Path) -> Content:
    """Rows of each published table and the sum of their hashes, but for who has built them."""
    with duckdb.connect(path, read_only=True) as connection:
        tables = connection.execute(
            "select concat(schema_name, '.', table_name) from duckdb_tables()"
            " where schema_name in ('staging', 'marts') and table_name <> 'build_info'"
        ).fetchall()
        query = "select count(*), coalesce(sum(hash(rows)::hugeint), 0) from {} as rows"
        return {table: connection.execute(query.format(table)).fetchall()[0] for (table,) in tables}


@contextmanager
def dask(workers: int) -> Iterator[str]:
    """The address of a scheduler with so many *workers* of one thread, each a process."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1"
    ) as cluster:
        yield f"dask:{cluster.scheduler_address}"


def _cpu_s() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def main(size: int, folder: Path, *, at_once: bool) -> None:
    print(heading())
    folder.mkdir(parents=True, exist_ok=True)
    database, cores = held(folder, size), os.sched_getaffinity(0)
    workers = len(cores)
    kinds: dict[str, Callable[[], AbstractContextManager[str]]] = {
        f"processes:{workers}": lambda: nullcontext(f"processes:{workers}"),
        f"dask, {workers} workers": lambda: dask(workers),
    }
    print(f"{size:,} quotes of as many RFQs; {workers} workers")
    print(f"{'':<20}{'wall s':>10}{'build s':>10}{'CPU s':>10}{'peak MB':>10}{'faster':>10}")
    alone = build(database, cores={min(cores)})
    _show("one process", alone, alone.build_s, alone.cpu_s)
    if at_once:
        cpu_s = _cpu_s()
        builds = builds_at_once(database, cores)
        slowest = max(builds, key=lambda made: made.build_s)
        # Each of them has built as much as the one.
        _show(f"{workers} at once", slowest, alone.build_s * workers, _cpu_s() - cpu_s)
    for name, executor in kinds.items():
        cpu_s = _cpu_s()
        with executor() as asked:
            made = build(database, "--executor", asked, cores=cores)
        _show(name, made, alone.build_s, _cpu_s() - cpu_s)
        if made.content != alone.content:
            raise SystemExit(f"{name} has built something else than one process")


def _show(name: str, made: Build, alone_s: float, cpu_s: float) -> None:
    times = f"{made.wall_s:>10.1f}{made.build_s:>10.1f}{cpu_s:>10.1f}"
    faster = alone_s / made.build_s
    print(f"{name:<20}{times}{made.peak_bytes / 1e6:>10,.0f}{faster:>10.2f}", flush=True)


if __name__ == "__main__":
    asked = [each.replace(",", "") for each in sys.argv[1:] if each != "--at-once"]
    main(
        int((asked or ["1000000"])[0]),
        Path((asked[1:] or [tempfile.gettempdir() + "/rfq-benches"])[0]),
        at_once="--at-once" in sys.argv,
    )
