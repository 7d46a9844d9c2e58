"""The sandbox as the command line uses it: served for one run, or until interrupted."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time
from pathlib import Path

from pipelines.kalshi.extraction import Reach
from pipelines.kalshi.settings import Access
from pipelines.kalshi.signing import load_signer
from pipelines.sandbox import (
    Market,
    SystemClock,
    replay,
    serve,
    serve_until_interrupted,
    simulate,
)

SEED = 1
DAYS = 3.0
RFQS_PER_DAY = 1_500


@contextmanager
def sandbox_access() -> Iterator[Access]:
    """Serve a simulated market and yield the access of its busiest requester, the desk."""
    market = Market(clock=SystemClock())
    # Up to last midnight, so that a second run on the same day meets the same market again.
    midnight = datetime.combine(datetime.now(UTC).date(), time(), UTC)
    simulate(market, seed=SEED, days=DAYS, rfqs_per_day=RFQS_PER_DAY, until=midnight)
    desk = market.account("desk")
    with serve(market) as exchange:
        signer = load_signer(desk.api_key_id, private_key=desk.private_key_pem)
        yield Access(exchange.base_url, signer, Reach())


def simulated_market(seed: int, days: float, rfqs_per_day: int) -> Market:
    """Return a market with *days* of history that ends now; none for 0 days."""
    market = Market(clock=SystemClock())
    if days:
        simulate(market, seed=seed, days=days, rfqs_per_day=rfqs_per_day)
    else:
        market.add_account("desk")
        market.add_account("maker")
    return market


def serve_sandbox(
    port: int, seed: int, days: float, rfqs_per_day: int, recorded: list[Path]
) -> None:
    """Serve until SIGINT or SIGTERM; keys lie in a directory of their own, gone at the end."""
    market = (
        replay(recorded, clock=SystemClock())
        if recorded
        else simulated_market(seed, days, rfqs_per_day)
    )
    with tempfile.TemporaryDirectory(prefix="rfq-sandbox-") as keys:
        serve_until_interrupted(market, port, Path(keys), sys.stdout)
