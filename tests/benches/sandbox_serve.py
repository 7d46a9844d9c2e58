"""How fast lists are served over signed loopback HTTP: pages and rows a second.

    python tests/benches/sandbox_serve.py               # a market of 90,000 RFQs, 200 pages each
    python tests/benches/sandbox_serve.py 1000000 200   # RFQs, pages

Client and server share the machine and the interpreter lock, as in the tests.
"""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
from cryptography.hazmat.primitives import serialization

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.sandbox import Account, Behavior, Exchange, ManualClock, Market, serve, simulate
from tests.benches.heading import heading

DAYS = 3
LISTS = (
    ("rfqs, whole market", "/communications/rfqs", "rfqs", {}),
    ("rfqs, own", "/communications/rfqs", "rfqs", {"user_filter": "self"}),
    ("quotes on own rfqs", "/communications/quotes", "quotes", {"rfq_user_filter": "self"}),
)


def signed(account: Account, path: str) -> dict[str, str]:
    stamp = str(time.time_ns() // 1_000_000)
    key = serialization.load_pem_private_key(account.private_key_pem.encode(), None)
    signature = key.sign(f"{stamp}GET{path}".encode())
    return {
        "KALSHI-ACCESS-KEY": account.api_key_id,
        "KALSHI-ACCESS-TIMESTAMP": stamp,
        "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
    }


def page_sizes(
    exchange: Exchange, http: httpx.Client, path: str, name: str, scope: dict[str, str], pages: int
) -> Iterator[int]:
    account = exchange.market.account("desk")
    url = httpx.URL(exchange.base_url + path)
    cursor = ""
    for _ in range(pages):
        params = scope | ({"cursor": cursor} if cursor else {})
        body = http.get(url, params=params, headers=signed(account, url.path)).json()
        yield len(body[name])
        cursor = body.get("cursor", "")
        if not cursor:
            return


def main(rfqs: int, pages: int) -> None:
    print(heading())
    clock = ManualClock(datetime(2026, 11, 20, 12, tzinfo=UTC))
    market = Market(clock=clock, behavior=Behavior(rate_limits=False))
    market.add_account("desk", key="ed25519")
    ledger = simulate(market, seed=1, days=DAYS, rfqs_per_day=-(-rfqs // DAYS))
    print(f"{ledger.rfq_count:,} RFQs, {ledger.quote_count:,} quotes")
    print(f"{'list':<22}{'first page ms':>14}{'pages':>8}{'pages/s':>9}{'rows/s':>9}")
    with serve(market) as exchange, httpx.Client(trust_env=False) as http:
        for title, path, name, scope in LISTS:
            began_s = time.perf_counter()
            next(page_sizes(exchange, http, path, name, scope, 1))
            first_ms = (time.perf_counter() - began_s) * 1000
            began_s = time.perf_counter()
            sizes = list(page_sizes(exchange, http, path, name, scope, pages))
            wall_s = time.perf_counter() - began_s
            speed = f"{len(sizes) / wall_s:>9.0f}{sum(sizes) / wall_s:>9.0f}"
            print(f"{title:<22}{first_ms:>14.0f}{len(sizes):>8}{speed}")


if __name__ == "__main__":
    main(*(int(text) for text in (sys.argv[1:] or ("90000", "200"))))
