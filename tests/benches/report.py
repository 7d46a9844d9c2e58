"""How long the morning page takes, by number of quotes in its eight days.

python tests/benches/report.py                      # 10,000,000 quotes
python tests/benches/report.py 1000000 1            # one round
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines import job
from pipelines.kalshi.extraction import LoadSettings
from pipelines.sandbox import ManualClock, Market, serve, simulate
from pipelines.store.database import Database
from tests.benches.heading import heading
from tests.running import UNHURRIED, access_of, ignore

ROUNDS = 3
UNTIL = datetime(2026, 11, 21, tzinfo=UTC)
# Rows of a simulated day and their copies, each an own RFQ in one of eight days.
COPIED = {
    "incremental.visible_rfq_facts": "created_ts, end_ts, executed_ts, first_quote_ts",
    "marts.quote_facts": "created_ts, end_ts, accepted_ts, confirmed_ts, executed_ts, cancelled_ts",
    "marts.lost_quotes": "created_ts, end_ts, winner_accepted_ts",
}


def desk(path: Path) -> None:
    """Publish what the desk sees of a simulated day."""
    market = Market(clock=ManualClock(UNTIL), behavior=UNHURRIED)
    account = market.add_account("desk")
    simulate(market, seed=1, days=1.0, rfqs_per_day=3_000, until=UNTIL)
    with serve(market) as exchange:
        job.run(Database(path), access_of(exchange, account, LoadSettings()), ignore)


def multiply(path: Path, quotes: int) -> tuple[int, int]:
    """Copy the facts until there are so many quotes; return the RFQs and quotes there are."""
    with duckdb.connect(path) as connection:
        connection.execute("set timezone = 'UTC'; set preserve_insertion_order = false")
        ((held,),) = connection.execute("select count(*) from marts.quote_facts").fetchall()
        for table, moments in COPIED.items():
            moved = [f"{each} - to_days(k % 8) as {each}" for each in moments.split(", ")]
            ids = ["rfq_id || '-' || k as rfq_id", "cohort_date - (k % 8)::int as cohort_date"]
            if "rfq_facts" not in table:
                ids.append("quote_id || '-' || k as quote_id")
            connection.execute(
                f"insert into {table} select * exclude (k) replace ({', '.join(ids + moved)})"
                f" from {table}, range(1, $1) as t(k)",
                [-(-quotes // held)],
            )
        return tuple(
            connection.execute(f"select count(*) from marts.{table}").fetchall()[0][0]
            for table in ("rfq_facts", "quote_facts")
        )


def main(quotes: int, rounds: int) -> None:
    print(heading())
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "rfq.duckdb"
        desk(path)
        n_rfqs, n_quotes = multiply(path, quotes)
        output = Path(directory) / "page.html"
        command = [Path(sys.executable).with_name("rfq"), "report", "--output", output]
        took = []
        for _ in range(rounds):
            began_s = time.perf_counter()
            subprocess.run(
                [*command, "--database", path, "--zone", "UTC"], check=True, capture_output=True
            )
            took.append(time.perf_counter() - began_s)
        size = output.stat().st_size
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"RFQs        {n_rfqs:>12,}")
    print(f"quotes      {n_quotes:>12,}")
    print(f"wall s      {statistics.median(took):>12.1f}  (median of {rounds}: {min(took):.1f} to")
    print(f"            {max(took):>12.1f}, with the start of Python)")
    print(f"cpu s       {(used.ru_utime + used.ru_stime) / rounds:>12.1f}  (a page)")
    print(f"peak MB     {used.ru_maxrss / 1024:>12,.0f}")
    print(f"page kB     {size / 1000:>12,.0f}")


if __name__ == "__main__":
    quotes, rounds = [*map(int, sys.argv[1:]), *(10_000_000, ROUNDS)[len(sys.argv) - 1 :]]
    main(quotes, rounds)
