"""Readers in other processes are never in the way of a run, and a run never in theirs."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from pipelines.job import Outcome
from pipelines.sandbox import Account, ManualClock, Market
from pipelines.store.database import Database

pytestmark = pytest.mark.usefixtures("few_marts")
# Counts every table again and again until told to stop; prints how often, and the names.
READER = """
import duckdb, json, sys, threading
path, rounds, tables, stop = sys.argv[1], 0, [], threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
while not (stop.is_set() and rounds):
    with duckdb.connect(path, read_only=True) as connection:
        tables = [f"{s}.{t}" for s, t in connection.execute(
            "select table_schema, table_name from information_schema.tables order by all"
        ).fetchall()]
        for table in tables:
            connection.execute(f"select count(*) from {table}").fetchall()
    rounds += 1
    if rounds == 1:
        print("reading", flush=True)
print(json.dumps([rounds, tables]))
"""

TABLES = {
    "staging.rfqs",
    "staging.rfq_legs",
    "staging.quotes",
    "marts.rfq_facts",
    "marts.quote_facts",
    "marts.fill_rates",
    "marts.data_quality",
    "raw.coverage",
    "raw.extraction_runs",
}


def test_another_process_counts_every_table_while_a_second_run_is_under_way(
    run: Callable[..., Outcome],
    market: Market,
    desk: Account,
    maker: Account,
    clock: ManualClock,
    database: Database,
) -> None:
    rfq = market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")
    market.create_quote(maker, rfq_id=rfq, yes_bid="0.4000", no_bid="0.5500")
    run()
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(database.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
        market.create_rfq(desk, market_ticker="KXONE-26-B", contracts_fp="10.00")

        outcome = run()

        said, _ = reader.communicate("stop\n")

    rounds, tables = json.loads(said)
    assert reader.returncode == 0
    assert outcome.new_versions["rfq_versions"] == 1
    assert rounds > 1
    assert set(tables) >= TABLES
