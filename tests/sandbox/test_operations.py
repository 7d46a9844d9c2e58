"""Every call of the exchange's documentation as a round trip of a signed plain HTTP client."""

from __future__ import annotations

import httpx
import pytest

from pipelines.sandbox import Behavior
from tests.sandbox.conftest import Caller, sign

COMBO = "KXMVECROSSCATEGORY-S2026ABCDEF0123-0123456789A"
SINGLE = "KXNBAGAME-26NOV21BOSMIA-BOS"
UNKNOWN = "11111111-2222-4333-8444-555555555555"


def quote_path(form: str, rfq_id: str, quote_id: str) -> str:
    if form == "flat":
        return f"/communications/quotes/{quote_id}"
    return f"/communications/rfqs/{rfq_id}/quotes/{quote_id}"


def test_the_communications_id_is_the_callers_public_name(parties):
    body = parties.desk.get("/communications/id")

    assert body == {"communications_id": parties.desk.account.communications_id}


def test_each_api_key_is_listed_with_its_scopes(parties, market):
    """Each key of an account is told with its scopes unless that is switched off."""
    key = parties.desk.account
    reading = market.add_key(key, key="ed25519", scopes=("read",))

    listed = [
        {"api_key_id": key.api_key_id, "name": "desk", "scopes": ["read", "write"]},
        {"api_key_id": reading.api_key_id, "name": "desk", "scopes": ["read"]},
    ]
    assert parties.desk.get("/api_keys") == {"api_keys": listed}

    market.behavior = Behavior(tells_scopes=False)

    assert parties.desk("GET", "/api_keys").status_code == 404


def test_a_second_key_reads_what_the_first_has_done_and_can_do_no_more(parties, market):
    rfq_id = parties.desk.create_rfq()
    reading = market.add_key(parties.desk.account, key="ed25519", scopes=("read",))
    reader = Caller(parties.exchange.base_url, reading, parties.http)

    own = reader.get("/communications/rfqs", user_filter="self")["rfqs"]
    refused = reader("DELETE", f"/communications/rfqs/{rfq_id}")

    assert [row["id"] for row in own] == [rfq_id]
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert [account.name for account in market.accounts] == ["desk", "maker", "stranger"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/communications/rfqs", "GET, HEAD, POST"),
        ("POST", f"/communications/quotes/{UNKNOWN}", "DELETE, GET, HEAD"),
        ("GET", f"/communications/quotes/{UNKNOWN}/accept", "PUT"),
        ("PUT", "/sandbox/faults", "DELETE, GET, HEAD, POST"),
    ],
)
def test_a_method_that_a_path_has_not_is_405_with_those_it_has(parties, method, path, allowed):
    url = parties.exchange.base_url + path
    if path.startswith("/sandbox"):
        url = url.replace("/trade-api/v2", "")

    refused = parties.http.request(method, url)

    assert (refused.status_code, refused.headers["Allow"]) == (405, allowed)
    assert refused.json()["code"] == "method_not_allowed"


def test_an_encoded_slash_is_part_of_an_id(parties):
    """An encoded slash is part of an id and looked at after the signature."""
    path = "/communications/rfqs/11111111%2F2222"
    url = httpx.URL(parties.exchange.base_url + path)
    headers = sign(parties.desk.account, "GET", url.raw_path.decode())

    signed = parties.http.get(url, headers=headers)
    unsigned = parties.http.get(url)

    assert (signed.status_code, signed.json()["error"]["code"]) == (400, "invalid_parameters")
    assert unsigned.status_code == 401


@pytest.mark.parametrize(
    ("scopes", "reads", "writes"),
    [(("read",), 200, 403), (("read", "write::trade"), 200, 204), (("write",), 403, 204)],
)
def test_a_key_does_what_its_scopes_say_and_nothing_else(market, serving, scopes, reads, writes):
    bot = market.add_account("bot", key="ed25519", scopes=scopes)
    rfq_id = market.create_rfq(bot, market_ticker=SINGLE, contracts=1)
    path = f"/communications/rfqs/{rfq_id}"
    caller = serving(market).bot

    read, written = caller("GET", path), caller("DELETE", path)

    assert (read.status_code, written.status_code) == (reads, writes)
    assert all("missing scope" in a.text for a in (read, written) if a.status_code == 403)


@pytest.mark.parametrize("form", ["flat", "scoped"])
def test_an_rfq_lives_from_request_to_execution(parties, clock, form):
    """Create, quote by two makers, accept, confirm, execute, list."""
    rfq_id = parties.desk.create_rfq(market_ticker=COMBO)
    quote_id = parties.maker.create_quote(rfq_id)
    rival_id = parties.stranger.create_quote(rfq_id, yes_bid="0.4700")
    path = quote_path(form, rfq_id, quote_id)

    clock.advance(0.5)
    accepted = parties.desk("PUT", path + "/accept", json={"accepted_side": "yes"})
    clock.advance(0.7)
    confirmed = parties.maker("PUT", path + "/confirm", json={})
    clock.advance(5)

    assert (accepted.status_code, confirmed.status_code) == (204, 204)
    quote = parties.desk.get(path)["quote"]
    assert quote["status"] == "executed"
    assert quote["accepted_ts"] == "2026-11-20T12:00:00.5Z"
    assert quote["confirmed_ts"] == "2026-11-20T12:00:01.2Z"
    assert quote["executed_ts"] == quote["updated_ts"] == "2026-11-20T12:00:02.2Z"
    rfq = parties.desk.get(f"/communications/rfqs/{rfq_id}")["rfq"]
    assert (rfq["status"], rfq["updated_ts"]) == ("closed", "2026-11-20T12:00:02.2Z")
    listed = parties.desk.rows("/communications/quotes", "quotes", rfq_user_filter="self")
    assert {row["id"]: row["status"] for row in listed} == {
        quote_id: "executed",
        rival_id: "cancelled",
    }


@pytest.mark.parametrize("form", ["flat", "scoped"])
def test_a_maker_withdraws_a_quote(parties, form):
    rfq_id = parties.desk.create_rfq()
    path = quote_path(form, rfq_id, parties.maker.create_quote(rfq_id))

    response = parties.maker("DELETE", path)

    assert (response.status_code, response.content) == (204, b"")
    assert parties.desk.get(path)["quote"]["status"] == "cancelled"
    assert parties.maker("DELETE", path).status_code == 404


def test_a_requester_deletes_an_rfq_and_its_open_quotes_vanish(parties):
    rfq_id = parties.desk.create_rfq()
    parties.maker.create_quote(rfq_id)

    response = parties.desk("DELETE", f"/communications/rfqs/{rfq_id}")

    assert (response.status_code, response.content) == (204, b"")
    rfq = parties.desk.get(f"/communications/rfqs/{rfq_id}")["rfq"]
    assert rfq["status"] == "closed"
    assert rfq["cancelled_ts"] == rfq["updated_ts"]
    assert parties.desk.rows("/communications/quotes", "quotes", rfq_user_filter="self") == []
    assert parties.desk("DELETE", f"/communications/rfqs/{rfq_id}").status_code == 404


def test_quotes_of_a_deleted_rfq_can_stay_as_cancelled(market, parties):
    market.behavior = Behavior(rate_limits=False, quotes_of_deleted_rfq="cancel")
    rfq_id = parties.desk.create_rfq()
    quote_id = parties.maker.create_quote(rfq_id)

    parties.desk("DELETE", f"/communications/rfqs/{rfq_id}")

    listed = parties.maker.rows("/communications/quotes", "quotes", user_filter="self")
    assert [(row["id"], row["status"]) for row in listed] == [(quote_id, "cancelled")]


def test_only_the_two_parties_can_touch_a_quote(parties):
    rfq_id = parties.desk.create_rfq()
    quote_id = parties.maker.create_quote(rfq_id)
    path = f"/communications/quotes/{quote_id}"

    statuses = [
        parties.stranger("GET", path).status_code,
        parties.stranger("DELETE", path).status_code,
        parties.desk("DELETE", path).status_code,
        parties.maker("PUT", path + "/accept", json={"accepted_side": "yes"}).status_code,
        parties.stranger("DELETE", f"/communications/rfqs/{rfq_id}").status_code,
    ]

    assert statuses == [404] * 5
    assert parties.desk.get(path)["quote"]["status"] == "open"


def test_a_quote_is_not_found_under_another_rfq(parties):
    rfq_id = parties.desk.create_rfq()
    other_id = parties.desk.create_rfq(market_ticker=COMBO)
    quote_id = parties.maker.create_quote(rfq_id)

    response = parties.maker("GET", f"/communications/rfqs/{other_id}/quotes/{quote_id}")

    assert response.status_code == 404
    assert response.json() == {"error": {"code": "not_found", "message": "not found"}}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/communications/rfqs/nonsense", 400),
        (f"/communications/rfqs/{UNKNOWN}", 404),
        ("/communications/quotes/nonsense", 400),
        (f"/communications/quotes/{UNKNOWN}", 404),
        (f"/communications/rfqs/{UNKNOWN}/quotes/{UNKNOWN}", 404),
    ],
)
def test_malformed_ids_are_refused_and_unknown_ones_not_found(parties, path, status):
    assert parties.desk("GET", path).status_code == status


def test_a_second_open_rfq_on_a_market_is_refused_until_replaced(parties):
    first = parties.desk.create_rfq()
    body = {"market_ticker": SINGLE, "rest_remainder": False, "contracts": 3}

    refused = parties.desk("POST", "/communications/rfqs", json=body)
    second = parties.desk.create_rfq(replace_existing=True)

    assert refused.status_code == 409
    assert refused.json() == {"error": {"code": "already_exists", "message": "already exists"}}
    assert parties.stranger.create_rfq() not in (first, second)
    assert parties.desk.get(f"/communications/rfqs/{first}")["rfq"]["status"] == "closed"


def test_a_closed_rfq_takes_no_quotes(parties):
    rfq_id = parties.desk.create_rfq()
    parties.desk("DELETE", f"/communications/rfqs/{rfq_id}")
    body = {"rfq_id": rfq_id, "yes_bid": "0.4", "no_bid": "0.4", "rest_remainder": False}

    response = parties.maker("POST", "/communications/quotes", json=body)

    assert response.status_code == 409
    assert response.json()["error"]["code"] == "rfq_closed"


def test_the_hundred_and_first_open_rfq_is_refused(market):
    desk = market.account("desk")
    for number in range(100):
        market.create_rfq(desk, market_ticker=f"KXTEST-26NOV21-{number}", contracts=1)

    with pytest.raises(Exception, match="409 too_many_open_rfqs"):
        market.create_rfq(desk, market_ticker="KXTEST-26NOV21-LAST", contracts=1)


@pytest.mark.parametrize(
    "fields",
    [
        {"contracts": None},
        {"target_cost_dollars": "5.00"},
        {"contracts_fp": "4.00"},
        {"contracts": 0},
        {"contracts": None, "contracts_fp": "1.005"},
        {"contracts": None, "target_cost_dollars": "5.00001"},
        {"target_cost_excludes_fees": True},
        {"subaccount": 64},
        {"market_ticker": None},
    ],
)
def test_an_rfq_needs_exactly_one_well_formed_size(parties, fields):
    body = {"market_ticker": SINGLE, "rest_remainder": False, "contracts": 3} | fields

    response = parties.desk("POST", "/communications/rfqs", json=body)

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_parameters"


@pytest.mark.parametrize(
    ("yes_bid", "no_bid"),
    [("0", "0"), ("0.6", "0.5"), ("1.0000", "0"), ("0.12345", "0"), ("-0.1", "0"), ("abc", "0.1")],
)
def test_a_quote_needs_bids_that_make_sense(parties, yes_bid, no_bid):
    rfq_id = parties.desk.create_rfq()
    body = {"rfq_id": rfq_id, "yes_bid": yes_bid, "no_bid": no_bid, "rest_remainder": False}

    response = parties.maker("POST", "/communications/quotes", json=body)

    assert response.status_code == 400


def test_nobody_quotes_their_own_rfq(parties):
    rfq_id = parties.desk.create_rfq()
    body = {"rfq_id": rfq_id, "yes_bid": "0.4", "no_bid": "0.4", "rest_remainder": False}

    assert parties.desk("POST", "/communications/quotes", json=body).status_code == 400


def test_off_grid_prices_pass_unless_the_grid_is_enforced(market, parties):
    rfq_id = parties.desk.create_rfq()
    body = {"rfq_id": rfq_id, "yes_bid": "0.3550", "no_bid": "0", "rest_remainder": False}

    observed = parties.maker("POST", "/communications/quotes", json=body)
    market.behavior = Behavior(rate_limits=False, enforce_price_grid=True)
    documented = parties.maker("POST", "/communications/quotes", json=body)

    assert (observed.status_code, documented.status_code) == (201, 400)


def test_account_limits_and_costs_are_served(parties):
    limits = parties.desk.get("/account/limits")
    costs = parties.http.get(parties.exchange.base_url + "/account/endpoint_costs").json()

    assert limits["read"] == {"refill_rate": 200, "bucket_capacity": 400}
    assert limits["write"] == {"refill_rate": 100, "bucket_capacity": 100}
    assert costs["default_cost"] == 10
    create_quote = {"method": "POST", "path": "/trade-api/v2/communications/quotes", "cost": 2}
    assert create_quote in costs["endpoint_costs"]


def test_answers_carry_the_markets_time_not_the_machines(parties, clock):
    clock.advance(90)

    response = parties.desk("GET", "/communications/id")

    assert response.headers["date"] == "Fri, 20 Nov 2026 12:01:30 GMT"


def test_requests_are_remembered(parties):
    parties.desk("GET", "/communications/rfqs", params={"limit": 7})

    assert parties.exchange.requests[-1] == (
        "GET",
        "/trade-api/v2/communications/rfqs",
        {"limit": "7"},
        200,
    )
