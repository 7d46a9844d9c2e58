"""Where the parts of a build are computed: in this process, in others, or on a Dask cluster.

Both kinds are used by the contract of PEP 3148 (`submit`, futures), so that another engine needs no
more than an executor of its own.
"""

import logging
import os
import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any
from urllib.parse import urlsplit

from pipelines.kalshi.client.origin import is_loopback
from pipelines.store.errors import DatabaseError
from pipelines.worker import follow_sender
from transforms.partition import Here, Rows, Sent, build_elsewhere, versions

_log = logging.getLogger(__name__)
_KIND = re.compile(r"processes(?::(?P<n>[1-9]\d{0,3}))?|dask:(?P<address>(?:tcp|tls)://.+)")
TRIES = 3
ANSWERS_WITHIN_S = 10.0

Built = tuple[str, Rows]


class ExecutorRefused(DatabaseError):
    """The executor may not be used as it was asked for, or would compute something else."""


class ExecutorUnavailable(DatabaseError):
    """Nothing answers at the executor's address."""

    exit_code = 69


class PartitionLost(DatabaseError):
    """A partition was computed three times and three times lost."""

    exit_code = 75


@dataclass(frozen=True, slots=True)
class Wanted:
    """The executor that was asked for: so many *processes*, or a Dask scheduler's *address*."""

    processes: int = 0
    address: str = ""


def wanted(text: str) -> Wanted:
    """Read `processes`, `processes:4`, `dask:tcp://HOST:PORT` or `dask:tls://…`; or ValueError."""
    found = _KIND.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no executor: processes, processes:N, dask:tcp://HOST:PORT")
    if found["address"]:
        return Wanted(address=found["address"])
    return Wanted(processes=int(found["n"] or len(os.sched_getaffinity(0))))


def executing(asked: Wanted, *, is_insecure: bool = False) -> AbstractContextManager["Elsewhere"]:
    """Open the executor, and see that it computes what this process would.

    Raises `ExecutorRefused`, `ExecutorUnavailable`.
    """
    return _processes(asked.processes) if asked.processes else _dask(asked, is_insecure)


class Elsewhere(Here, ABC):
    """Builds parts by an executor; two more than it has workers are sent at a time."""

    is_elsewhere = True

    def __init__(self, name: str, n_workers: int, lost: tuple[type[BaseException], ...]) -> None:
        super().__init__(name)
        self._n_workers = n_workers
        # What tells that a worker is gone, and not that its work was wrong.
        self._lost = lost

    def build_all(self, parts: Iterable[Sent]) -> Iterator[Rows]:
        sent: deque[tuple[Sent, Future[Built]]] = deque()
        for each in parts:
            sent.append((each, self._submit(each)))
            if len(sent) > self._n_workers + 2:
                yield self._result(*sent.popleft())
        while sent:
            yield self._result(*sent.popleft())

    def _result(self, each: Sent, future: "Future[Built]") -> Rows:
        for attempt in range(1, TRIES + 1):
            try:
                worker, made = future.result()
            except self._lost as loss:
                if attempt == TRIES:
                    raise PartitionLost(
                        f"a part of the build was lost {TRIES} times ({type(loss).__name__}):"
                        " nothing was published. Look after the workers, then build again"
                    ) from None
                _log.warning("a part of the build was lost (%s): again", type(loss).__name__)
                future = self._submit(each)
            else:
                self.workers.add(worker)
                return made
        raise AssertionError

    @abstractmethod
    def _submit(self, each: Sent) -> "Future[Built]":
        """Send a part."""


class _Processes(Elsewhere):
    """A pool that is made anew when one of its processes was killed."""

    def __init__(self, n: int) -> None:
        super().__init__(f"processes:{n}", n, (BrokenProcessPool, CancelledError))
        self._n = n
        self._pool = self._made()

    def _made(self) -> Executor:
        spawn = get_context("spawn")
        return ProcessPoolExecutor(self._n, mp_context=spawn, initializer=follow_sender)

    def _submit(self, each: Sent) -> "Future[Built]":
        try:
            return self._pool.submit(build_elsewhere, *each)
        except BrokenProcessPool:
            self._pool.shutdown(wait=False)
            self._pool = self._made()
            return self._pool.submit(build_elsewhere, *each)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _processes(n: int) -> Iterator[Elsewhere]:
    pool = _Processes(n)
    try:
        yield pool
    finally:
        pool.close()


class _Dask(Elsewhere):
    def __init__(self, client: Any, n_workers: int) -> None:
        from distributed import KilledWorker
        from distributed.comm.core import CommClosedError

        super().__init__("dask", n_workers, (KilledWorker, CommClosedError, CancelledError))
        self._executor: Executor = client.get_executor(pure=False)

    def _submit(self, each: Sent) -> "Future[Built]":
        return self._executor.submit(build_elsewhere, *each)


@contextmanager
def _dask(asked: Wanted, is_insecure: bool) -> Iterator[Elsewhere]:
    parts = urlsplit(asked.address)
    if parts.scheme == "tcp" and not is_loopback(parts.hostname or "") and not is_insecure:
        raise ExecutorRefused(
            f"{asked.address} is neither encrypted nor asks who we are, and runs whatever anybody"
            " sends: use dask:tls://…, or --insecure-executor where nobody else can reach it"
        )
    try:
        import dask
        from distributed import Client
    except ModuleNotFoundError:
        raise ExecutorRefused(
            "distributed is not installed: in a checkout of rfq, pip install '.[scale]'"
        ) from None
    # A part of the rows is sent with its task, as it is used once.
    unwarned = {"distributed.admin.large-graph-warning-threshold": "10GB"}
    with dask.config.set(unwarned), _answering(Client, asked.address) as client:
        n_workers = len(client.scheduler_info(n_workers=-1)["workers"])
        _demand_same(_told_by(client))
        yield _Dask(client, n_workers)


@contextmanager
def _answering(client_class: Any, address: str) -> Iterator[Any]:
    try:
        client = client_class(address, timeout=ANSWERS_WITHIN_S, set_as_default=False)
    except (OSError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise ExecutorUnavailable(f"no Dask scheduler answers at {address}: {why}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=ANSWERS_WITHIN_S)
        except TimeoutError:
            raise ExecutorUnavailable(f"the scheduler at {address} has no worker") from None
        yield client


def _told_by(client: Any) -> Mapping[str, Mapping[str, str] | str]:
    """Return what each worker says of its versions, or why it cannot."""
    told: Mapping[str, Any] = client.run(versions, on_error="return")
    return {
        worker: said if isinstance(said, Mapping) else f"{type(said).__name__}: {said}"
        for worker, said in told.items()
    }


def _demand_same(workers: Mapping[str, Mapping[str, str] | str]) -> None:
    ours = versions()
    for worker, theirs in workers.items():
        if isinstance(theirs, str):
            raise ExecutorRefused(f"the worker {worker} has no such rfq as this one: {theirs}")
        for name in ours:
            if theirs.get(name) != ours[name]:
                raise ExecutorRefused(
                    f"the worker {worker} has {name} {theirs.get(name)} and this process"
                    f" {ours[name]}: they would not compute the same"
                )
