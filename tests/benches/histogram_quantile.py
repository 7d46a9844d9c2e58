"""How long a quantile of many merged histograms takes: over lists, and as a subquery.

python tests/benches/histogram_quantile.py             # 1,000,000 parts; few of a subquery
python tests/benches/histogram_quantile.py 100000
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import duckdb

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benches.heading import heading
from transforms.catalogue import describe

ROUNDS = 3
# With so many parts the subquery takes seconds, with ten times as many minutes.
FEW = (1_000, 3_000)

# The macro as it was before: the same values, and all of `histograms` carried along with each bin.
SUBQUERY_FORM = """
create or replace macro main.subquery_quantile(histograms, q) as (
    with bins as (
        select h.bin as bin, sum(h.n) as n
        from (select unnest(flatten(histograms)) as h)
        group by 1
    ),
    ranked as (
        select bin, sum(n) over (order by bin) as up_to, q * (sum(n) over () - 1) as rank from bins
    ),
    around as (
        select
            min(bin) filter (up_to > floor(rank)) as below,
            min(bin) filter (up_to > ceil(rank)) as above,
            any_value(rank - floor(rank)) as part,
        from ranked
    )
    select list_sum(list_transform(
        [[below, 1 - part], [above, part]],
        lambda v: v[2] * sign(v[1]) * 2 * pow(1.02, abs(v[1]) - 1) / 2.02 / 1e6
    ))
    from around
)
"""
# Parts of one to five bins, as a market of a few responses has them.
PARTS = """
create or replace table parts as
select list_transform(range(1 + i % 5), lambda k: {
    'bin': (600 + hash(i * 7 + k) % 300)::integer, 'n': (1 + hash(i + k) % 3)::bigint
}) as histogram
from range($n) as t(i)
"""


def asked(connection: duckdb.DuckDBPyConnection, macro: str, parts: int) -> tuple[float, float]:
    """CPU seconds of a median over so many parts, and the median."""
    connection.execute(PARTS, {"n": parts})
    taken, value = [], 0.0
    for _ in range(ROUNDS):
        began_s = time.process_time()
        ((value,),) = connection.execute(
            f"select {macro}(list(histogram), 0.5) from parts"
        ).fetchall()
        taken.append(time.process_time() - began_s)
    return statistics.median(taken), value


def main(parts: int) -> None:
    print(heading())
    print(f"{'form':<12}{'parts':>12}{'CPU s':>10}{'median s':>12}")
    with duckdb.connect() as connection:
        describe(connection)
        connection.execute(SUBQUERY_FORM)
        for form, macro, sizes in (
            ("subquery", "main.subquery_quantile", FEW),
            ("lists", "marts.histogram_quantile", (*FEW, parts // 10, parts)),
        ):
            for size in sizes:
                cpu_s, value = asked(connection, macro, size)
                print(f"{form:<12}{size:>12,}{cpu_s:>10.3f}{value:>12.6f}")


if __name__ == "__main__":
    main(int(sys.argv[1].replace(",", "")) if len(sys.argv) > 1 else 1_000_000)
