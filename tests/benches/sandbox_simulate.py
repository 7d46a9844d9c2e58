"""How long a simulated past takes: seconds and memory by number of RFQs.

python tests/benches/sandbox_simulate.py            # 1,000,000 RFQs over 3 days
python tests/benches/sandbox_simulate.py 100000
"""

from __future__ import annotations

import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.sandbox import ManualClock, Market, simulate
from tests.benches.heading import heading

DAYS = 3


def main(rfqs: int) -> None:
    print(heading())
    market = Market(clock=ManualClock(datetime(2026, 11, 20, 12, tzinfo=UTC)))
    began_s = time.perf_counter()
    ledger = simulate(market, seed=1, days=DAYS, rfqs_per_day=-(-rfqs // DAYS))
    wall_s = time.perf_counter() - began_s
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(f"RFQs        {ledger.rfq_count:>12,}")
    print(f"quotes      {ledger.quote_count:>12,}")
    print(f"wall s      {wall_s:>12.1f}")
    print(f"cpu s       {usage.ru_utime + usage.ru_stime:>12.1f}  (with start and keys)")
    print(f"peak MB     {usage.ru_maxrss / 1024:>12,.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
