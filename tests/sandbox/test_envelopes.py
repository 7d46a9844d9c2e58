"""The four shapes of error bodies, and which call gets which."""

from __future__ import annotations

SINGLE = "KXNBAGAME-26NOV21BOSMIA-BOS"


def test_business_errors_are_nested(parties):
    response = parties.desk("GET", "/communications/quotes")

    assert response.status_code == 403
    assert response.json() == {
        "error": {
            "code": "Either_creator_user_id_or_rfq_creator_user_id_must_be_filled.",
            "message": "Either creator_user_id or rfq_creator_user_id must be filled.",
        }
    }


def test_unreadable_json_is_flat(parties):
    headers = {"Content-Type": "application/json"}

    broken = parties.desk("POST", "/communications/rfqs", content=b"{", headers=headers)
    mistyped = parties.desk(
        "POST", "/communications/rfqs", json={"market_ticker": 7, "rest_remainder": False}
    )

    assert broken.status_code == mistyped.status_code == 400
    assert broken.json().keys() == mistyped.json().keys() == {"code", "message"}


def test_a_confirm_without_json_content_type_is_flat(parties, clock):
    rfq_id = parties.desk.create_rfq()
    path = f"/communications/quotes/{parties.maker.create_quote(rfq_id)}"
    parties.desk("PUT", path + "/accept", json={"accepted_side": "yes"})

    refused = parties.maker("PUT", path + "/confirm")
    confirmed = parties.maker(
        "PUT", path + "/confirm", headers={"Content-Type": "application/json"}
    )

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_content_type")
    assert confirmed.status_code == 204


def test_a_limit_out_of_range_is_a_bare_message(parties):
    for limit in ("0", "101"):
        response = parties.desk("GET", "/communications/rfqs", params={"limit": limit})

        assert response.status_code == 400
        assert response.json().keys() == {"msg"}


def test_too_many_requests_is_a_bare_string_without_headers(parties, market):
    market.faults.statuses.append(429)

    response = parties.desk("GET", "/communications/id")

    assert (response.status_code, response.json()) == (429, {"error": "too many requests"})
    names = {name.lower() for name in response.headers}
    assert not any(name == "retry-after" or name.startswith("x-ratelimit") for name in names)


def test_unknown_paths_and_methods_are_flat(parties):
    missing = parties.desk("GET", "/communications/nowhere")
    wrong = parties.desk("PATCH", "/communications/rfqs")

    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
