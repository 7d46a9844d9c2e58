"""A signed client written from the exchange's documentation, and markets to point it at."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding

from pipelines.sandbox import Behavior, Exchange, ManualClock, Market
from pipelines.sandbox.routes import Front
from pipelines.sandbox.server import serve_front

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SINGLE = "KXNBAGAME-26NOV21BOSMIA-BOS"


@pytest.fixture(name="sign")
def _sign() -> Any:
    """`sign(account, method, path, ms=, salt=)`: the three headers for one call."""
    return sign


def sign(account, method: str, path: str, ms: int | None = None, salt: int = 32) -> dict[str, str]:
    """The three headers for one call."""
    stamp = str(ms if ms is not None else time.time_ns() // 1_000_000)
    message = (stamp + method + path).encode()
    key = serialization.load_pem_private_key(account.private_key_pem.encode(), None)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        signature = key.sign(message)
    else:
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
        signature = key.sign(message, scheme, hashes.SHA256())
    return {
        "KALSHI-ACCESS-KEY": account.api_key_id,
        "KALSHI-ACCESS-TIMESTAMP": stamp,
        "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
    }


class Caller:
    """One account's plain HTTP client."""

    def __init__(self, base_url: str, account, http: httpx.Client) -> None:
        self.base_url = base_url
        self.account = account
        self.http = http

    def __call__(self, method: str, path: str, **request: Any) -> httpx.Response:
        url = httpx.URL(self.base_url + path)
        headers = sign(self.account, method, url.path) | request.pop("headers", {})
        return self.http.request(method, url, headers=headers, **request)

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a GET that must succeed."""
        response = self("GET", path, params=params)
        assert response.status_code == 200, response.text
        return response.json()

    def pages(self, path: str, name: str, **params: Any) -> list[list[dict[str, Any]]]:
        """Every page of a list."""
        pages, cursor = [], None
        while True:
            page = self.get(path, **params, **({"cursor": cursor} if cursor else {}))
            pages.append(page[name])
            cursor = page.get("cursor")
            if not cursor:
                return pages

    def create_rfq(self, **fields: Any) -> str:
        body = {"market_ticker": SINGLE, "rest_remainder": False} | fields
        if not {"contracts", "contracts_fp", "target_cost_dollars"} & fields.keys():
            body["contracts"] = 3
        response = self("POST", "/communications/rfqs", json=body)
        assert response.status_code == 201, response.text
        return response.json()["id"]

    def create_quote(self, rfq_id: str, **fields: Any) -> str:
        body = {"rfq_id": rfq_id, "yes_bid": "0.4800", "no_bid": "0.5000", "rest_remainder": False}
        response = self("POST", "/communications/quotes", json=body | fields)
        assert response.status_code == 201, response.text
        return response.json()["id"]

    def rows(self, path: str, name: str, **params: Any) -> list[dict[str, Any]]:
        return [row for page in self.pages(path, name, **params) for row in page]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def market(clock: ManualClock) -> Market:
    """An exchange with a requester, a maker and a stranger, without rate limits."""
    market = Market(clock=clock, behavior=Behavior(rate_limits=False))
    for name in ("desk", "maker", "stranger"):
        market.add_account(name, key="ed25519")
    return market


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def shared() -> Iterator[SimpleNamespace]:
    """One server for all tests, which put their own market behind it: stopping one takes 0.2 s."""
    front = Front(Market())
    with serve_front(front) as exchange:
        yield SimpleNamespace(front=front, base_url=exchange.base_url)


@pytest.fixture
def serving(http: httpx.Client, shared: SimpleNamespace) -> Any:
    """Serve a market, one in a test; gives the exchange and one caller per account."""

    def start(market: Market) -> SimpleNamespace:
        fresh = Front(market)
        for name in fresh.__slots__:
            setattr(shared.front, name, getattr(fresh, name))
        exchange = Exchange(shared.base_url, market, fresh.requests)
        callers = {a.name: Caller(exchange.base_url, a, http) for a in market.accounts}
        return SimpleNamespace(exchange=exchange, http=http, **callers)

    return start


@pytest.fixture
def parties(market: Market, serving: Any) -> SimpleNamespace:
    """desk, maker and stranger as callers of the served market, plus `exchange` and `http`."""
    return serving(market)
