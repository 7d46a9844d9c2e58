"""The real `rfq run` in a process of its own, which ends itself by SIGKILL where a test says so.

The product has no test code: the functions around a point are wrapped here, before the run starts.
"""

import itertools
import multiprocessing
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial, reduce, wraps
from importlib import import_module
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Literal

# Imported once, before the fork: all that `rfq run` imports, and what typer, dlt and DuckDB import
# when they are first used, which would cost each worker half a second. No thread of a library holds
# a lock by then: polars makes its pool when it is first used, and jemalloc sees to its own.
PRELOADED = [
    *("pipelines.cli", "pipelines.job", "pipelines.sandbox_access", "tests.running"),
    *("pipelines.build_settings", "pipelines.commands.progress", "typer._adapters"),
    *("dlt.destinations.impl.duckdb.duck", "dlt.sources.helpers.requests", "pyarrow.parquet"),
]


@dataclass(frozen=True)
class Point:
    """Before or after the nth call of a function, given as module and qualified name."""

    module: str
    function: str
    when: Literal["before", "after"]
    nth: int = 1
    in_slices: bool = False
    """Whether the market's list is read by twos, a load each."""


@dataclass(frozen=True)
class Order:
    """What a worker runs, where its output goes, and what is done to it first."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    output: Path
    point: Point | None = None
    act: Callable[[], None] | None = None
    """What is done at the point; a SIGKILL by default."""
    prepare: Callable[[], None] | None = None
    has_few_marts: bool = False


def context() -> ForkServerContext:
    """Where workers come from: a server that has imported the slow libraries already."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOADED)
    return server


def start(order: Order) -> ForkServerProcess:
    """Start a worker; its exit code is that of `rfq`, or minus the signal that ended it."""
    process = context().Process(target=work, args=(order,), daemon=True)
    process.start()
    return process


def work(order: Order) -> None:
    """Be the command: same arguments, same streams, same end."""
    with order.output.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.stdout.flush()
    os.environ.update(order.environment)
    sys.argv = ["rfq", *order.arguments]
    from pipelines.entry import main
    from tests.running import build_few

    if order.point:
        arm(order.point, order.act or partial(send, signal.SIGKILL))
        if order.point.in_slices:
            read_in_slices()
    if order.has_few_marts:
        build_few(setattr)
    if order.prepare:
        order.prepare()
    main()


def arm(point: Point, act: Callable[[], None]) -> None:
    """Let this process *act* when it comes to *point*."""
    *path, name = point.function.split(".")
    owner = reduce(getattr, path, import_module(point.module))
    real = getattr(owner, name)
    calls = itertools.count(1)

    @wraps(real)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        is_here = next(calls) == point.nth
        if is_here and point.when == "before":
            act()
        result = real(*arguments, **named)
        if is_here and point.when == "after":
            act()
        return result

    setattr(owner, name, wrapped)


def read_in_slices() -> None:
    """Let this process read two rows at a time, and begin a new load after each page.

    What is ours is published between any two of them.
    """
    from pipelines.kalshi import market_list
    from pipelines.kalshi.extraction import LoadSettings
    from pipelines.store import publish

    publish.OURS_EVERY_S, publish.COPIES_IN_A_SHARE_OF = 0.0, float("inf")
    market_list.OURS_WAIT_AT_MOST = timedelta(0)
    LoadSettings.rows_per_page = lambda self, key: 2  # type: ignore[method-assign]


def send(number: int) -> None:
    """Send this process a signal."""
    os.kill(os.getpid(), number)


def limit_files_to(size: int) -> None:
    """Let no file of this process grow beyond *size* bytes: writing fails as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def delete_working_files(folder: Path) -> None:
    """Delete the working directories of the databases in *folder*, as a cleaner of /tmp would."""
    for directory in folder.glob(".*.run-*"):
        shutil.rmtree(directory)


def truncate_working_files(folder: Path) -> None:
    """Empty every file in the working directories of the databases in *folder*."""
    for path in folder.glob(".*.run-*/**/*"):
        if path.is_file():
            os.truncate(path, 0)
