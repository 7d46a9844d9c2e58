"""Two bots for the sandbox, as its guide shows them: a maker and a requester."""

import base64
import time
from collections.abc import Callable
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

RFQS, QUOTES = "/communications/rfqs", "/communications/quotes"
TICKER = "KXMVESPORTSMULTIGAMEEXTENDED-S20260123456789-0123456789A"
Notes = dict[str, dict[str, Any]]
"""What a bot writes down: its quotes, or those it got, by id."""


class Client:
    """Signed calls for one account."""

    def __init__(self, base_url: str, key_id: str, pem: str) -> None:
        self.base_url, self.key_id, self.http = base_url, key_id, httpx.Client(trust_env=False)
        self.key: Any = serialization.load_pem_private_key(pem.encode(), None)

    def __call__(self, method: str, path: str, **request: Any) -> httpx.Response:
        url, stamp = httpx.URL(self.base_url + path), str(time.time_ns() // 1_000_000)
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        signature = self.key.sign(f"{stamp}{method}{url.path}".encode(), scheme, hashes.SHA256())
        headers = {
            "KALSHI-ACCESS-KEY": self.key_id,
            "KALSHI-ACCESS-TIMESTAMP": stamp,
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
        }
        return self.http.request(method, url, headers=headers, **request)


def make_a_market(call: Client, pause: Callable[[], None]) -> Notes:
    """Quote each open RFQ once, confirm what is accepted, until a quote of ours has executed."""
    notes: Notes = {}
    answered: set[str] = set()
    while not any(quote["status"] == "executed" for quote in notes.values()):
        for quote in call("GET", QUOTES, params={"user_filter": "self"}).json()["quotes"]:
            if quote["status"] == "accepted":
                call("PUT", f"{QUOTES}/{quote['id']}/confirm", json={})
            notes[quote["id"]] = quote
        for rfq in call("GET", RFQS, params={"status": "open"}).json()["rfqs"]:
            if rfq["id"] not in answered:
                answered.add(rfq["id"])
                bids = {"yes_bid": "0.0300", "no_bid": "0.9000", "rest_remainder": False}
                call("POST", QUOTES, json={"rfq_id": rfq["id"]} | bids)
        pause()
    return notes


def request_and_buy(call: Client, pause: Callable[[], None]) -> Notes:
    """Ask for a combo, buy YES from whoever bids most for NO, until a trade of ours executed."""
    notes: Notes = {}
    while True:
        order = {"market_ticker": TICKER, "contracts": 10, "rest_remainder": False}
        requested = call("POST", RFQS, json=order | {"replace_existing": True}).json()["id"]
        mine = {"rfq_user_filter": "self", "rfq_id": requested}
        for _ in range(15):
            pause()
            quotes = call("GET", QUOTES, params=mine).json()["quotes"]
            notes |= {quote["id"]: quote for quote in quotes}
            if any(quote["status"] == "executed" for quote in quotes):
                return notes
            if all(quote["status"] in ("open", "cancelled") for quote in quotes):
                on_offer = [quote for quote in quotes if quote["status"] == "open"]
                on_offer.sort(key=lambda quote: quote["no_bid_dollars"])
                if on_offer and on_offer[-1]["no_bid_dollars"] != "0.0000":
                    accept = f"{QUOTES}/{on_offer[-1]['id']}/accept"
                    call("PUT", accept, json={"accepted_side": "no"})
