"""Signatures are truly verified, for both kinds of key."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from pipelines.sandbox import Behavior, ManualClock, Market

PATH = "/trade-api/v2/communications/id"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture(params=["rsa", "ed25519"])
def one(request, clock: ManualClock, serving, sign) -> SimpleNamespace:
    """A served market with one account, and `ask` that sends given headers."""
    market = Market(clock=clock, behavior=Behavior(rate_limits=False))
    account = market.add_account("desk", key=request.param)
    served = serving(market)

    def ask(headers: dict[str, str], method: str = "GET", query: str = "") -> tuple[int, object]:
        url = served.exchange.base_url + "/communications/id" + query
        response = served.http.request(method, url, headers=headers)
        return response.status_code, response.json()

    return SimpleNamespace(ask=ask, account=account, sign=sign)


def details(body) -> str:
    assert body["error"]["code"] == "authentication_error"
    return body["error"]["details"]


def test_a_good_signature_passes_whatever_the_query(one):
    status, _ = one.ask(one.sign(one.account, "GET", PATH), query="?limit=5")

    assert status == 200


def test_a_signature_over_the_query_is_refused(one):
    status, body = one.ask(one.sign(one.account, "GET", PATH + "?limit=5"), query="?limit=5")

    assert (status, details(body)) == (401, "INCORRECT_API_KEY_SIGNATURE")


@pytest.mark.parametrize(("method", "path"), [("POST", PATH), ("GET", PATH + "x")])
def test_a_signature_over_something_else_is_refused(one, method, path):
    status, body = one.ask(one.sign(one.account, method, path))

    assert (status, details(body)) == (401, "INCORRECT_API_KEY_SIGNATURE")


def test_a_signature_by_another_key_is_refused(one):
    other = Market().add_account("other", key="ed25519")
    headers = one.sign(other, "GET", PATH) | {"KALSHI-ACCESS-KEY": one.account.api_key_id}

    status, body = one.ask(headers)

    assert (status, details(body)) == (401, "INCORRECT_API_KEY_SIGNATURE")


@pytest.mark.parametrize("text", ["", "not base64!", "AAAA"])
def test_a_signature_that_is_none_is_refused(one, text):
    headers = one.sign(one.account, "GET", PATH) | {"KALSHI-ACCESS-SIGNATURE": text}

    assert one.ask(headers)[0] == 401


def test_an_unknown_key_is_not_found(one):
    headers = one.sign(one.account, "GET", PATH) | {"KALSHI-ACCESS-KEY": "nobody"}

    status, body = one.ask(headers)

    assert (status, details(body)) == (401, "NOT_FOUND")


@pytest.mark.parametrize("name", ["KEY", "TIMESTAMP", "SIGNATURE"])
def test_a_missing_header_is_named(one, name):
    headers = one.sign(one.account, "GET", PATH)
    del headers[f"KALSHI-ACCESS-{name}"]

    status, body = one.ask(headers)

    assert (status, body["error"]["code"]) == (401, "signature_is_missing_from_headers")


@pytest.mark.parametrize("offset_s", [-60, -31, 31, 60])
def test_a_timestamp_far_from_the_wall_clock_is_refused(one, offset_s):
    """The market's own clock stands in November 2026 and does not matter here."""
    status, body = one.ask(one.sign(one.account, "GET", PATH, ms=now_ms() + offset_s * 1000))

    assert (status, body["error"]["code"]) == (401, "header_timestamp_expired")


@pytest.mark.parametrize("offset_s", [-20, 20])
def test_a_timestamp_near_the_wall_clock_passes(one, offset_s):
    status, _ = one.ask(one.sign(one.account, "GET", PATH, ms=now_ms() + offset_s * 1000))

    assert status == 200


def test_seconds_instead_of_milliseconds_are_refused(one):
    status, body = one.ask(one.sign(one.account, "GET", PATH, ms=int(time.time())))

    assert (status, body["error"]["code"]) == (401, "header_timestamp_expired")


@pytest.mark.parametrize("salt", [0, 20, 222])
def test_another_salt_length_is_refused(clock, serving, sign, salt):
    market = Market(clock=clock)
    account = market.add_account("desk")
    served = serving(market)

    response = served.http.get(
        served.exchange.base_url + "/communications/id",
        headers=sign(account, "GET", PATH, salt=salt),
    )

    assert response.status_code == 401
    assert details(response.json()) == "INCORRECT_API_KEY_SIGNATURE"


def test_timestamps_can_follow_the_markets_clock(clock, serving, sign):
    market = Market(clock=clock, behavior=Behavior(signature_follows_market_clock=True))
    account = market.add_account("desk", key="ed25519")
    served = serving(market)
    url = served.exchange.base_url + "/communications/id"
    market_ms = int(clock.now().timestamp() * 1000)

    there = served.http.get(url, headers=sign(account, "GET", PATH, ms=market_ms))
    clock.advance(3600)
    left_behind = served.http.get(url, headers=sign(account, "GET", PATH, ms=market_ms))

    assert (there.status_code, left_behind.status_code) == (200, 401)
