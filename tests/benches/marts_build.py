"""How long the marts take after a small load: going on from the last build, or beginning afresh.

python tests/benches/marts_build.py                    # 500,000 RFQs held, 5,000 more
python tests/benches/marts_build.py 2000000 10000
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benches.heading import heading
from transforms.build import build
from transforms.marts import MARTS
from transforms.raw import create_raw_tables
from transforms.settings import Settings

START = datetime(2026, 11, 1, tzinfo=UTC)
EVERY_S = 0.5
ROUNDS = 5

# One RFQ each half second, of which a tenth is ours with ten quotes, and one in twenty of those
# filled. Three in four are on 9,000 combos, some of them far oftener than others.
RFQS = """
insert into raw.rfq_versions by name
select
    'r' || i as id, if(i % 10 = 0, 'me', '') as creator_id,
    if(
        i % 4 = 0, 'KX-' || (i % 50) || '-M',
        'KXC-' || floor(9000 * pow(hash(i) % 1000000 / 1e6, 2))::bigint || '-M'
    ) as market_ticker,
    100 as contracts_fp, 'closed' as status, $start + to_microseconds(i * 500000) as created_ts,
    if(i % 10 = 0, created_ts + interval 30 seconds, null) as updated_ts,
    md5(i::varchar) as version_hash, created_ts + interval 40 seconds as observed_ts,
    'bench' as observed_pass
from range($low, $high) as t(i)
"""
QUOTES = """
insert into raw.quote_versions by name
select
    'q' || i || '-' || m as id, 'r' || i as rfq_id, 'm' || m as creator_id,
    'me' as rfq_creator_id, 0.40 + 0.001 * m as yes_bid_dollars, 0.5 as no_bid_dollars,
    100 as contracts_fp,
    if(is_won, 'executed', 'cancelled') as status, if(is_won, 'no', null) as accepted_side,
    $start + to_microseconds(i * 500000 + m * 100000) as created_ts,
    created_ts + interval 30 seconds as updated_ts,
    if(is_won, created_ts + interval 5 seconds, null) as accepted_ts,
    if(is_won, created_ts + interval 7 seconds, null) as confirmed_ts,
    if(is_won, created_ts + interval 22 seconds, null) as executed_ts,
    if(is_won, null, created_ts + interval 29 seconds) as cancelled_ts,
    md5(id) as version_hash, created_ts + interval 40 seconds as observed_ts,
    'bench' as observed_pass
from (
    select i, m, i % 200 = 0 and m = 9 as is_won
    from range($low, $high, 10) as t(i), range(10) as u(m)
)
"""


def load(connection: duckdb.DuckDBPyConnection, low: int, high: int) -> None:
    asked = {"start": START, "low": low, "high": high}
    for statement in (RFQS, QUOTES):
        connection.execute(statement, asked)


def built_s(connection: duckdb.DuckDBPyConnection, n: int, *, afresh: bool = False) -> float:
    as_of = START + timedelta(seconds=EVERY_S * n + 41)
    began_s = time.perf_counter()
    build(connection, MARTS, Settings(as_of=as_of, viewer_id="me"), afresh=afresh)
    return time.perf_counter() - began_s


def main(held: int, more: int) -> None:
    print(heading())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.duckdb"
        with duckdb.connect(path) as connection:
            connection.execute("set timezone = 'UTC'")
            create_raw_tables(connection)
            connection.execute("insert into raw.accounts values ('me', $1)", [START])
            load(connection, 0, held)
            afresh_s, going_on_s = [built_s(connection, held)], []
            for n in range(held, held + ROUNDS * more, more):
                load(connection, n, n + more)
                going_on_s.append(built_s(connection, n + more))
            afresh_s += [built_s(connection, n + more, afresh=True) for _ in range(2)]
        megabytes = path.stat().st_size / 1e6
    afresh, going_on = statistics.median(afresh_s), statistics.median(going_on_s)
    print(f"RFQs held          {held:>12,}   and as many quotes")
    print(f"more per build     {more:>12,}   and as many quotes")
    print(f"afresh s           {afresh:>12.2f}   median of {len(afresh_s)}")
    print(f"going on s         {going_on:>12.2f}   median of {len(going_on_s)}")
    print(f"ratio              {afresh / going_on:>12.1f}")
    print(f"file MB            {megabytes:>12,.0f}")
    print(f"peak MB            {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:>12,.0f}")


if __name__ == "__main__":
    main(*(int(each.replace(",", "")) for each in sys.argv[1:3] or ("500000", "5000")))
