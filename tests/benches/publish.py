"""What a run costs after its load, by phase: going on from what was published last.

python tests/benches/publish.py                    # 100,000 and 1,000,000 RFQs held, 5,000 more
python tests/benches/publish.py 500000 --more 10000
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines import building, effects, job
from pipelines.kalshi.extraction import Limits
from pipelines.store.database import Database
from tests.benches.heading import heading
from tests.benches.marts_build import EVERY_S, QUOTES, RFQS, START

ROUNDS = 3
PASSES = ("rfqs_market", "quotes_made", "quotes_received")
# A load of its own, with the reports of its passes, which say up to when all was read.
LOADS = "insert into raw.loads values ($load, 'bench', true, null)"
REPORTS = """
insert into raw.extraction_runs by name
select
    'bench' || $load as run_id, unnest($passes) as pass, 'bench' as origin, $as_of as started_ts,
    $as_of as ended_ts, 1 as pages, 1 as rows_seen, 1 as new_versions, 0 as rejected_rows,
    1 as sweeps, true as is_verified, $before as watermark_before_ts,
    $as_of as watermark_after_ts, 'me' as account_fingerprint, 'market' as scope, $load as load
"""


def load(database: Database, number: int, low: int, high: int) -> None:
    """Store RFQs from *low* to *high*, and as many quotes, as load *number*."""
    before, as_of = (START + timedelta(seconds=EVERY_S * n + 41) for n in (low, high))
    numbered = f"'bench' as observed_pass, {number} as load"
    with database.held(), database.writing(may_create=True) as connection:
        connection.execute(LOADS, {"load": number})
        asked = {"start": START, "low": low, "high": high}
        for statement in (RFQS, QUOTES):
            connection.execute(statement.replace("'bench' as observed_pass", numbered), asked)
        told = {"load": number, "passes": list(PASSES), "as_of": as_of, "before": before}
        connection.execute(REPORTS, told)
        connection.execute("insert into raw.accounts select 'me', now() where $1 = 1", [number])


def published(database: Database) -> dict[str, float]:
    """Build and publish what was loaded; return CPU seconds by phase, and of all of it."""
    effects.begin("build")
    began_s = time.process_time()
    with job.at_work(database) as work, database.writing() as connection:
        settings: Any = {"account": None, "maturity_s": 300}
        building.build_and_publish(connection, work, {}, Limits(0.01), **settings)
    phases = effects.phase_seconds()
    return {**phases, "all": time.process_time() - began_s}


def rows_in(path: Path) -> int:
    with duckdb.connect(path, read_only=True) as connection:
        ((rows,),) = connection.execute("select count(*) from staging.rfqs").fetchall()
        return int(rows)


def measure(held: int, more: int) -> dict[str, float]:
    """Median CPU seconds by phase of some runs that add *more* to what is *held*."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "bench.duckdb")
        load(database, 1, 0, held)
        first = published(database)
        runs = []
        for number in range(ROUNDS):
            low = held + number * more
            load(database, number + 2, low, low + more)
            runs.append(published(database))
        assert rows_in(database.path) == held + ROUNDS * more
        size = database.path.stat().st_size / 1e6
    medians = {name: statistics.median(run[name] for run in runs) for name in first}
    return {"MB": size, "everything": first["all"], **medians}


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("held", nargs="*", type=int, default=[100_000, 1_000_000])
    arguments.add_argument("--more", type=int, default=5_000)
    asked = arguments.parse_args()
    # The phases count CPU time of all threads instead of wall time.
    effects.time = SimpleNamespace(monotonic=time.process_time)  # type: ignore[assignment]
    print(heading())
    for held in asked.held:
        figures = measure(held, asked.more)
        print(f"{held:>12,} held, {asked.more:,} more: CPU s")
        print("  ".join(f"{name} {figure:.2f}" for name, figure in figures.items()))


if __name__ == "__main__":
    main()
