"""An hour of the whole market on top of what is held: twelve runs of five minutes each.

    python tests/benches/market_day.py 100000 FOLDER      # RFQs held; FOLDER keeps the data sets
    python tests/benches/market_day.py 10000000 FOLDER
    python tests/benches/market_day.py 100000 FOLDER 2    # two runs

The data set is that of `steady_state.py`, built and published. Then 45 strangers' RFQs come a
second, in one of the five minutes 233 a second for 60 s, and live as long as those on the exchange.
The sandbox serves them over signed HTTP at the pace of the basic tier. A day has passed since all
of it was checked, so one of the runs does that again. Each run is a process of its own: its CPU,
its peak memory, and its wall against the five minutes that it has. At the end every RFQ that the
sandbox has had must be held.

Before the market moves, runs that find nothing new stand beside dlt's `rest_api`, told parquet,
which has loaded the same lists before and reads them again.
"""

from __future__ import annotations

import heapq
import itertools
import json
import multiprocessing
import os
import random
import resource
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benches import rest_peer, steady_state

RUNS, IDLE_RUNS, EVERY_S = 12, 3, 300
PER_S, BURST_PER_S, BURST_S = 45, 233, 60
# In the run before the one that checks everything.
BURST_IN_RUN = 5
# Of RFQs on the exchange, the share that has ended so many seconds after its creation.
LIVED = ((0.0, 0.0), (0.169, 5), (0.271, 10), (0.57, 23), (0.635, 30), (0.824, 60), (0.941, 600))
LIVED = (*LIVED, (0.99, 6_091), (1.0, 10_810))
SINCE_CHECKED = timedelta(days=1) - timedelta(minutes=32)


class Strangers:
    """Requesters of whom nobody sees a quote."""

    def __init__(self, began_us: int) -> None:
        self._began_us = began_us
        self._ends: list[tuple[int, int, Any]] = []
        self._random = random.Random(1)
        self.asked = 0
        # Without those of the last second, of which a run that reads in it may not have seen all.
        self.asked_before = 0

    def ask(self, book: Any, now_us: int) -> None:
        from pipelines.sandbox.accounts import stranger
        from pipelines.sandbox.listings import market_ticker
        from pipelines.sandbox.orders import RfqOrder

        self.asked_before = self.asked
        for _ in range(self._per_s((now_us - self._began_us) / 1e6)):
            self.asked += 1
            order = RfqOrder(market_ticker(self.asked * 32 + 3), 1_000, 0, False, False)
            rfq = book.open_rfq(stranger(100 + self.asked % 5_000), order, True, now_us)
            end_us = now_us + int(1e6 * lifetime_s(self._random.random()))
            heapq.heappush(self._ends, (end_us, self.asked, rfq))
        while self._ends and self._ends[0][0] <= now_us:
            _, _, rfq = heapq.heappop(self._ends)
            if rfq.status == "open":
                book.delete_rfq(rfq, now_us)
        book.timers.set(now_us + 1_000_000, partial(self.ask, book))

    def _per_s(self, at_s: float) -> int:
        bursts_s = EVERY_S * BURST_IN_RUN
        return BURST_PER_S if bursts_s <= at_s < bursts_s + BURST_S else PER_S


def lifetime_s(share: float) -> float:
    """For how long the RFQ lives that this share of all does not outlive."""
    (low, least_s), (high, most_s) = next(
        pair for pair in itertools.pairwise(LIVED) if share <= pair[1][0]
    )
    return least_s + (most_s - least_s) * (share - low) / (high - low)


@dataclass(frozen=True)
class Asked:
    """What a run needs to know."""

    base_url: str
    key_id: str
    pem: str
    database: Path


def settle(asked: Asked, account: str, exchange: str) -> None:
    """Make the rows of the data set those of *account*, and publish them."""
    import duckdb

    from pipelines import job
    from pipelines.store.database import Database
    from transforms.settings import MATURITY_S

    database = Database(asked.database)
    with duckdb.connect(database.private_path) as connection:
        for table, column in (
            ("accounts", "communications_id"),
            ("rfq_versions", "creator_id"),
            ("quote_versions", "creator_id"),
            ("quote_versions", "rfq_creator_id"),
        ):
            connection.execute(
                f"update raw.{table} set {column} = $1 where {column} = $2",
                [account, steady_state.VIEWER],
            )
        connection.execute("update raw.extraction_runs set origin = $1", [exchange])
    job.rebuild(database, maturity_s=MATURITY_S)


def run_once(asked: Asked, note: Connection) -> None:
    """One run in this process; note its CPU, wall, peak memory and new versions."""
    from pipelines import effects, job
    from pipelines.kalshi.client.signing import load_signer
    from pipelines.kalshi.extraction import LoadSettings
    from pipelines.kalshi.settings import ExchangeSettings
    from pipelines.store.database import Database
    from tests.running import ignore

    effects.begin("run")
    began_s = time.perf_counter()
    signer = load_signer(asked.key_id, private_key=asked.pem)
    reach = LoadSettings(scope="market", history=timedelta(days=1))
    access = ExchangeSettings(asked.base_url, signer, reach)
    job.run(Database(asked.database), access, ignore)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    wall_s = time.perf_counter() - began_s
    new_versions, _ = effects.loaded()
    cpu_s = spent.ru_utime + spent.ru_stime
    note.send((cpu_s, wall_s, spent.ru_maxrss / 1024, new_versions, effects.phase_seconds()))


def run_peer(asked: Asked, note: Connection) -> None:
    """Load the market's RFQs and the key's quotes with dlt's REST source; note as `run_once`."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import requests
    from requests.auth import AuthBase

    from pipelines.kalshi.client.signing import load_signer

    signer = load_signer(asked.key_id, private_key=asked.pem)

    class Signed(AuthBase):
        def __call__(self, request: Any) -> Any:
            path = urlsplit(request.url).path
            request.headers.update(signer.headers(request.method, path))
            return request

    began_s = time.perf_counter()
    session = requests.Session()
    session.auth = Signed()
    lists = {
        "rfqs": ("rfqs", {"limit": 100}),
        "quotes_made": ("quotes", {"limit": 500, "user_filter": "self"}),
        "quotes_received": ("quotes", {"limit": 500, "rfq_user_filter": "self"}),
    }
    pipeline = rest_peer.pipeline_in(asked.database.parent)
    source = rest_peer.source_of(asked.base_url, lists, session=session)
    pipeline.run(source, loader_file_format="parquet")
    wall_s = time.perf_counter() - began_s
    spent = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = spent.ru_utime + spent.ru_stime
    note.send((cpu_s, wall_s, spent.ru_maxrss / 1024, 0, {"load": wall_s}))


def in_a_process(function: Any, *arguments: Any) -> Any:
    """Call it in a fresh Python; return what it notes, if it has something to note."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    is_run = function in (run_once, run_peer)
    arguments = (*arguments, theirs) if is_run else arguments
    process = context.Process(target=function, args=arguments)
    process.start()
    # The other end closes with the process, however that ends.
    theirs.close()
    noted = ours.recv() if is_run else None
    process.join()
    if process.exitcode:
        raise SystemExit(f"{function.__name__} ended with {process.exitcode}")
    return noted


def main(size: int, folder: Path, n_runs: int) -> None:
    from pipelines.sandbox import Behavior, ManualClock, Market, serve
    from pipelines.store.publish import COPIES_IN_A_SHARE_OF
    from tests.benches.heading import heading

    print(heading(), flush=True)
    began = steady_state.NOW + SINCE_CHECKED
    clock = ManualClock(began)
    market = Market(clock=clock, behavior=replace(Behavior(), tells_scopes=False))
    desk = market.add_account("desk")
    folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="market-day-", dir=folder))
    try:
        shutil.copyfile(steady_state.held(folder, size), work / "rfq.private.duckdb")
        with serve(market) as exchange:
            asked = Asked(
                *(exchange.base_url, desk.api_key_id, desk.private_key_pem, work / "rfq.duckdb")
            )
            name = f"sandbox {market.name}"
            in_a_process(settle, asked, desk.communications_id, name)
            print(f"{size:,} RFQs held, published; runs a day later that find nothing new:")
            idle = [in_a_process(run_once, asked)]
            show("first", idle)
            for _ in range(IDLE_RUNS):
                # As the five minutes between runs would: a copy may take a tenth of the time.
                time.sleep(idle[-1][4]["copy"] / COPIES_IN_A_SHARE_OF)
                idle.append(in_a_process(run_once, asked))
            show("then", idle[1:])
            peers = [in_a_process(run_peer, asked) for _ in range(1 + IDLE_RUNS)]
            show("dlt", peers[1:])
            strangers = Strangers(int(began.timestamp() * 1e6))
            market.drive(strangers.ask)
            runs = []
            for number in range(n_runs):
                clock.advance(EVERY_S)
                runs.append(in_a_process(run_once, asked))
                show(f"{number + 1}", runs[-1:])
            show("median", runs)
            compare(asked.database, strangers.asked_before, clock.now())
    finally:
        shutil.rmtree(work)


def show(label: str, runs: list[Any]) -> None:
    cpu_s, wall_s, peak_mb, new = (statistics.median(run[n] for run in runs) for n in range(4))
    phases = {name: statistics.median(run[4][name] for run in runs) for name in runs[0][4]}
    print(
        f"{label:>6} {cpu_s:6.1f} CPU s, {wall_s:6.1f} s of {EVERY_S}, {peak_mb:6,.0f} MB,"
        f" {new:8,.0f} new versions;",
        ", ".join(f"{name} {seconds:.1f} s" for name, seconds in phases.items()),
        flush=True,
    )


def compare(database: Path, n_asked: int, until: datetime) -> None:
    """Every RFQ of the hour that came before *until* must be held. Ends the process otherwise."""
    import duckdb

    with duckdb.connect(database, read_only=True) as connection:
        ((n_held,),) = connection.execute(
            "select count(*) from staging.rfqs where created_ts >= $1 and created_ts < $2",
            [steady_state.NOW + SINCE_CHECKED, until],
        ).fetchall()
    print(json.dumps({"RFQs of the hour": n_asked, "held of them": n_held}))
    if n_held != n_asked:
        raise SystemExit(f"{n_asked - n_held:,} RFQs were missed")


if __name__ == "__main__":
    main(
        int((sys.argv[1:] or ["100000"])[0].replace(",", "")),
        Path((sys.argv[2:] or [tempfile.gettempdir() + "/rfq-benches"])[0]),
        int((sys.argv[3:] or [str(RUNS)])[0]),
    )
