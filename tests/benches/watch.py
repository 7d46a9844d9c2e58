"""What a watch sees of a market beside what happened there, what it costs, what a kill loses.

    python tests/benches/watch.py                   # three hours of the market, watched
    python tests/benches/watch.py --hours 0.5
    python tests/benches/watch.py --cron            # the same, by a run every five minutes
    python tests/benches/watch.py --account maker   # 2,000 quotes an hour on others' RFQs
    python tests/benches/watch.py --quiet           # nobody asks: what looking costs
    python tests/benches/watch.py --busy            # 45 RFQs of strangers a second, no quotes
    python tests/benches/watch.py --kills 100       # killed again and again, at random moments

The market is the sandbox's, served over HTTP by this process, and its clock is moved by the watch's
waits: at once while nothing is at work, and as time passes while something is. So CPU is told per
second of the market, as it would be at its speed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benches.heading import heading

START = datetime(2026, 11, 20, 18, tzinfo=UTC)
RFQS_PER_HOUR, DESKS_SHARE = 2_200, 500 / 2_200
STRANGERS_PER_S, STRANGERS_LIVE_S = 45, 20
CYCLE_S = 300.0
# polars gives the system back what has been free for ten seconds. Of a cycle's five minutes that is
# soon; here a cycle takes fewer.
AT_REST_AFTER_S = 12.0
WATCHED_FROM_S = 10.0


# The process that watches


class Busy(ThreadPoolExecutor):
    """One thread, which tells whether it is at work."""

    at_work = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        Busy.at_work += 1
        future = super().submit(fn, *args, **kwargs)
        future.add_done_callback(lambda _: setattr(Busy, "at_work", Busy.at_work - 1))
        return future


class Drive:
    """Moves the market's clock by HTTP as the watch waits, and notes what that has cost."""

    def __init__(self, origin: str, ends_s: float) -> None:
        import httpx

        self._http = httpx.Client(base_url=origin, trust_env=False, timeout=600.0)
        self._ends_s, self._at_s, self._hour = ends_s, 0.0, 0
        self.bytes_by_hour: list[int] = []

    def close(self) -> None:
        self._http.close()

    def now_s(self) -> float:
        return self._at_s

    def wait(self, seconds: float, woken: Event) -> None:
        from tests.watch.driven import Over

        if woken.is_set():
            woken.clear()
            return
        if Busy.at_work:
            began_s = time.monotonic()
            woken.wait(min(0.1, max(0.0, seconds)))
            woken.clear()
            seconds = min(time.monotonic() - began_s, max(0.0, seconds))
        self.move(max(0.0, seconds))
        if self._at_s >= self._ends_s:
            raise Over

    def move(self, seconds: float) -> None:
        """Let so much time pass on the market."""
        answer = self._http.post("/sandbox/clock", json={"advance_s": seconds})
        answer.raise_for_status()
        self._at_s += seconds
        if self._at_s >= 3_600 * (self._hour + 1):
            self._hour += 1
            time.sleep(AT_REST_AFTER_S)
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.bytes_by_hour.append(pages * os.sysconf("SC_PAGE_SIZE"))


def work(asked: dict[str, Any]) -> None:
    """Watch, or run every five minutes, for as long as is asked; write what it took to stdout."""
    from pipelines.store.memory import share_heap

    # As the command does.
    share_heap()
    from pipelines import effects, job
    from pipelines.kalshi.client.signing import load_signer
    from pipelines.kalshi.extraction import LoadSettings
    from pipelines.kalshi.settings import ExchangeSettings
    from pipelines.operations import logs
    from pipelines.store.database import Database
    from tests.running import ignore
    from tests.watch.driven import watched

    logs.begin()
    logs.set_format(logs.LogFormat.JSON)
    signer = load_signer(asked["key_id"], private_key=asked["pem"])
    reach = LoadSettings(history=timedelta(hours=12), retention=timedelta(hours=12))
    access = ExchangeSettings(asked["base_url"], signer, reach)
    drive = Drive(asked["origin"], asked["seconds"])
    database = Database(Path(asked["database"]))
    effects.begin("watch")
    if not asked["is_killed"]:
        # The first build is no part of what watching costs; after a kill a run would look first.
        job.run(database, access, ignore)
    began_s = _cpu_s()
    if asked["cron"]:
        while drive.now_s() < asked["seconds"]:
            drive.move(CYCLE_S)
            job.run(database, access, ignore)
    else:
        watched(database, access, drive, threads=partial(Busy, max_workers=1))  # type: ignore[arg-type]
    took = {
        "cpu_share": (_cpu_s() - began_s) / drive.now_s(),
        "bytes_by_hour": drive.bytes_by_hour,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    if not asked["cron"]:
        # What came after the last cycle is shown as well.
        job.run(database, access, ignore)
    print(json.dumps(took), flush=True)
    os._exit(0)


def _cpu_s() -> float:
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return spent.ru_utime + spent.ru_stime


# The market


def market_of(wanted: argparse.Namespace) -> Any:
    """The market that is asked for, at its beginning."""
    from pipelines.sandbox import Behavior, ManualClock, Market, Shape, unfold
    from tests.running import PLENTY

    behavior = Behavior(rate_limits=False, read_bucket=PLENTY, write_bucket=PLENTY)
    market = Market(clock=ManualClock(START), behavior=replace(behavior, tells_scopes=False))
    for name in ("desk", "maker"):
        market.add_account(name)
    if wanted.busy:
        market.drive(Strangers().ask)
    elif not wanted.quiet:
        shape = Shape(desk_share=DESKS_SHARE)
        unfold(market, seed=wanted.seed, rfqs_per_day=24 * RFQS_PER_HOUR, shape=shape)
    return market


class Strangers:
    """Requesters of whom nobody sees a quote, 45 RFQs a second, each alive for 20 s."""

    def __init__(self) -> None:
        self._open: list[Any] = []
        self._number = 0

    def ask(self, book: Any, now_us: int) -> None:
        from pipelines.sandbox.accounts import stranger
        from pipelines.sandbox.listings import market_ticker
        from pipelines.sandbox.orders import RfqOrder

        asked = []
        for _ in range(STRANGERS_PER_S):
            self._number += 1
            order = RfqOrder(market_ticker(self._number * 32 + 3), 1_000, 0, False, False)
            asked.append(book.open_rfq(stranger(100 + self._number % 5_000), order, True, now_us))
        self._open.append(asked)
        if len(self._open) > STRANGERS_LIVE_S:
            for rfq in self._open.pop(0):
                if rfq.status == "open":
                    book.delete_rfq(rfq, now_us)
        book.timers.set(now_us + 1_000_000, partial(self.ask, book))


# The comparison


def figures(market: Any, account: Any, database: Path, until: datetime) -> dict[str, float]:
    """What was held of what happened to own RFQs that were over by *until*, by the ledger."""
    import duckdb

    from tests.test_schedule import hits, own_lives

    lives = own_lives(market, account.communications_id)
    over = [life for life in lives if life.ended is not None and life.ended <= until]
    long = [life for life in over if (life.ended - life.created).total_seconds() >= WATCHED_FROM_S]
    n_won, n_answers = hits(long)
    n_won_all, n_answers_all = hits(over)
    with duckdb.connect(database, read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        held = connection.execute(_HELD, [until, WATCHED_FROM_S]).fetchall()
        ((n_live, n_answered, n_held, n_held_won),) = held
        ((n_any_held, n_any_won, n_all_held),) = connection.execute(_HELD_ALL, [until]).fetchall()
    return {
        "own RFQs over": len(over),
        "own RFQs of 10 s or more": len(long),
        "live, of these": n_live / len(long),
        "answers held of those given on them": n_any_held / n_answers,
        "answers held of all given": n_all_held / n_answers_all,
        "hit ratio, 10 s or more, by the ledger": n_won / n_answers,
        "hit ratio, 10 s or more, of live": n_held_won / n_held if n_held else float("nan"),
        "hit ratio, 10 s or more, of all that was read": n_any_won / n_any_held,
        "hit ratio of all by the ledger": n_won_all / n_answers_all,
        "response rate, by the ledger": sum(bool(life.first_quotes) for life in long) / len(long),
        "response rate, of live": n_answered / n_live if n_live else float("nan"),
    }


def makers_figures(market: Any, account: Any, database: Path, until: datetime) -> dict[str, float]:
    """Of the RFQs that the maker quoted and that were over by *until*, how many it won."""
    import duckdb

    from tests.test_schedule import quoted_lives

    lives = quoted_lives(market, account.communications_id)
    over = {rfq: each for rfq, each in lives.items() if each.ended and each.ended <= until}
    long = {
        rfq
        for rfq, each in over.items()
        if each.ended and (each.ended - each.created).total_seconds() >= WATCHED_FROM_S
    }
    won = {rfq for rfq, each in over.items() if each.winner == account.communications_id}
    with duckdb.connect(database, read_only=True) as connection:
        held = connection.execute(_QUOTED).fetchall()
    decided = {rfq: is_won for rfq, _, is_won in held if rfq in over}
    live = {rfq: is_won for rfq, capture, is_won in held if rfq in long and capture == "live"}
    read = {rfq: is_won for rfq, is_won in decided.items() if rfq in long}
    return {
        "RFQs quoted and over": len(over),
        "RFQs quoted of 10 s or more": len(long),
        "decided in the record, of these": len(read) / len(long),
        "live, of these": len(live) / len(long),
        "hit ratio, 10 s or more, by the ledger": len(won & long) / len(long),
        "hit ratio, 10 s or more, of live": sum(live.values()) / max(1, len(live)),
        "hit ratio, 10 s or more, of all that was read": sum(read.values()) / max(1, len(read)),
        "hit ratio of all by the ledger": len(won) / len(over),
        "hit ratio of all that was read": sum(decided.values()) / max(1, len(decided)),
    }


# As `marts.my_day` counts them, by RFQ.
_QUOTED = """
select rfq_id, any_value(facts.capture), bool_or(mine.outcome = 'done')
from marts.my_quotes as mine join marts.rfq_facts as facts using (rfq_id)
where mine.outcome is not null and facts.is_decided group by rfq_id
"""
_OWN = """
from marts.rfq_facts where visibility = 'own' and created_ts >= timestamptz '2026-11-20 12:00:00+00'
    and end_ts <= $1
"""
_HELD = f"""
select count(*), count(*) filter (n_makers > 0), sum(n_makers),
    count(*) filter (end_cause = 'executed')
{_OWN} and capture = 'live' and epoch(end_ts - created_ts) >= $2
"""
_HELD_ALL = f"""
select sum(n_makers) filter (epoch(end_ts - created_ts) >= 10),
    count(*) filter (end_cause = 'executed' and epoch(end_ts - created_ts) >= 10), sum(n_makers)
{_OWN}
"""


@dataclass
class Killed:
    """What kills have cost: rows that had landed and are gone, or are there twice; pauses."""

    held: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    lost: int = 0
    said: int = 0
    unsaid: int = 0

    def compare(self, now: dict[str, set[tuple[str, str]]]) -> None:
        """Count what was held before and is not *now*."""
        self.lost += sum(len(self.held.get(table, set()) - rows) for table, rows in now.items())
        self.held = now


def versions(private: Path) -> dict[str, set[tuple[str, str]]]:
    """What raw holds, and it must hold nothing twice."""
    import duckdb

    found = {}
    with duckdb.connect(private, read_only=True) as connection:
        for table in ("rfq_versions", "quote_versions"):
            rows = connection.execute(f"select id, version_hash from raw.{table}").fetchall()
            found[table] = set(rows)
            if len(found[table]) != len(rows):
                raise AssertionError(f"{len(rows) - len(found[table])} rows of {table} twice")
    return found


def last_looks(private: Path) -> dict[str, datetime]:
    import duckdb

    with duckdb.connect(private, read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        return dict(
            connection.execute(
                "select side, max(last_served_ts) from raw.look_stretches group by side"
            ).fetchall()
        )


def start(asked: dict[str, Any], log: Path) -> subprocess.Popen[str]:
    """Another Python that watches; what it logs goes to *log*."""
    with log.open("w") as errors:
        return subprocess.Popen(
            [sys.executable, __file__, "--work", json.dumps(asked)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def kill_again_and_again(asked: dict[str, Any], times: int, folder: Path, seed: int) -> Killed:
    """Kill a watch at random moments, let two minutes pass on the market, start it again."""
    chance = random.Random(seed)
    found = Killed()
    before: dict[str, datetime] = {}
    private = folder / "rfq.private.duckdb"
    with closing(Drive(asked["origin"], 1e12)) as drive:
        for number in range(times):
            log = folder / f"log-{number}"
            _kill_one(asked, log, chance)
            if private.exists():
                # Two minutes have passed since the last kill: nobody has looked for more than one.
                looks, said = last_looks(private), _said_pauses(log)
                again = [side for side in before if looks.get(side, before[side]) > before[side]]
                found.unsaid += sum(side not in said for side in again)
                found.said += sum(side in said for side in again)
                before = looks
                found.compare(versions(private))
            drive.move(120.0)
    return found


def _kill_one(asked: dict[str, Any], log: Path, chance: random.Random) -> None:
    """One in five on its way to the first look, the others at work: however slow the machine is."""
    with start({**asked, "seconds": 1e9, "is_killed": True}, log) as process:
        is_awaited = chance.random() < 0.8
        while is_awaited and process.poll() is None and not _has_begun(log):
            time.sleep(0.05)
        time.sleep(chance.uniform(0.0, 8.0))
        process.kill()


def _has_begun(log: Path) -> bool:
    return "watch_began" in log.read_text()


def _said_pauses(log: Path) -> set[str]:
    """Whose quotes nobody looked at, by the log."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
    return {each["side"] for each in lines if each["event"] == "nobody_looked"}


def asked_of(exchange: Any, name: str, folder: Path) -> dict[str, Any]:
    """What a process needs to watch an account of a served market."""
    account = exchange.market.account(name)
    return {
        "base_url": exchange.base_url,
        "origin": exchange.base_url.removesuffix("/trade-api/v2"),
        "key_id": account.api_key_id,
        "pem": account.private_key_pem,
        "database": str(folder / "rfq.duckdb"),
        "seconds": 3_600.0,
        "cron": False,
        "is_killed": False,
    }


def main(wanted: argparse.Namespace) -> None:
    """Serve the market, let another process watch it, compare."""
    import duckdb

    from pipelines.sandbox import serve

    print(heading())
    market = market_of(wanted)
    account = market.account(wanted.account)
    with serve(market) as exchange, tempfile.TemporaryDirectory(prefix="watch-") as folder:
        database = Path(folder) / "rfq.duckdb"
        asked = asked_of(exchange, wanted.account, Path(folder))
        asked |= {"seconds": wanted.hours * 3_600, "cron": wanted.cron}
        if wanted.kills:
            found = kill_again_and_again(asked, wanted.kills, Path(folder), wanted.seed)
            kept = sum(map(len, found.held.values()))
            print(f"{wanted.kills} kills: {found.lost} of {kept:,} rows lost, 0 doubled, ", end="")
            print(f"{found.said} pauses said, {found.unsaid} not")
            return
        log = Path(folder) / "log"
        process = start(asked, log)
        said = process.communicate()[0]
        if process.returncode or not said:
            print(log.read_text()[-3_000:])
            raise SystemExit(f"the watch ended with {process.returncode}")
        took = json.loads(said.splitlines()[-1])
        print(f"CPU per second of the market: {took['cpu_share']:.2%} of a core")
        sizes = ", ".join(f"{size / 1e6:,.0f}" for size in took["bytes_by_hour"])
        print(
            f"memory at rest by hour, MB: {sizes or '-'}; at most {took['peak_bytes'] / 1e6:,.0f}"
        )
        with duckdb.connect(database, read_only=True) as connection:
            for table in ("rfqs", "quotes"):
                ((rows,),) = connection.execute(f"select count(*) from staging.{table}").fetchall()
                print(f"{table} held: {rows:,}")
        if not (wanted.quiet or wanted.busy):
            until = START + timedelta(hours=wanted.hours) - timedelta(seconds=1)
            compared = figures if wanted.account == "desk" else makers_figures
            for name, value in compared(market, account, database, until).items():
                print(f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What a watch sees and costs.")
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--account", default="desk", choices=["desk", "maker"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=0)
    for name in ("cron", "quiet", "busy"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(json.loads(given.work))
    else:
        main(given)
