"""Misbehavior on demand, each kind as a client would meet it."""

from __future__ import annotations

import json
import time

import pytest

from pipelines.sandbox import Faults

RFQS, QUOTES = "/communications/rfqs", "/communications/quotes"


@pytest.fixture
def six(market, parties, clock) -> list[str]:
    """Six RFQs of the desk a second apart, newest first, each with a quote by the maker."""
    desk, maker = market.account("desk"), market.account("maker")
    ids = []
    for number in range(6):
        ids.append(market.create_rfq(desk, market_ticker=f"KXTEST-26NOV21-{number}", contracts=1))
        market.create_quote(maker, rfq_id=ids[-1], yes_bid="0.4", no_bid="0.4")
        clock.advance(1)
    return ids[::-1]


def listed(parties, **params) -> list[str]:
    return [row["id"] for row in parties.desk.rows(RFQS, "rfqs", **params)]


def test_a_storm_of_statuses_passes_call_by_call(market, parties):
    market.faults.statuses.extend([429, 500, 0, 503, 504])

    statuses = [parties.desk("GET", RFQS).status_code for _ in range(6)]

    assert statuses == [429, 500, 200, 503, 504, 200]


def test_latency_delays_every_answer(market, parties):
    market.faults.latency_s = 0.2
    began = time.monotonic()

    parties.desk.get(RFQS)

    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("how", ["html", "truncated", "not_json"])
def test_a_body_can_arrive_unreadable_with_status_200(market, parties, six, how):
    market.faults.malformed.append(how)

    corrupted = parties.desk("GET", RFQS)

    assert corrupted.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        corrupted.json()
    assert len(listed(parties)) == 6


def test_the_list_can_be_missing_or_null(market, parties, six):
    market.faults.malformed.extend(["missing_list", "null_list"])

    missing, null = (parties.desk.get(RFQS, limit=2) for _ in range(2))

    assert missing.keys() == {"cursor"}
    assert null["rfqs"] is None


def test_a_script_runs_once_before_the_page_it_waits_for(market, parties, six):
    """Page drift: the oldest row moves to the top while the second page is fetched."""
    desk = market.account("desk")
    market.faults.before_page[2] = lambda: market.delete_rfq(desk, six[5])

    drifted, settled = listed(parties, limit=2), listed(parties, limit=2)

    assert drifted == six[:5]
    assert settled == [six[5], *six[:5]]


def test_cursors_can_expire(market, parties, six):
    market.faults.cursor_expires_after_page = 1
    cursor = parties.desk.get(RFQS, limit=2)["cursor"]

    response = parties.desk("GET", RFQS, params={"limit": 2, "cursor": cursor})

    assert response.status_code == 400


def test_a_cursor_can_lead_back_to_its_own_page(market, parties, six):
    market.faults.cursor_loops_at_page = 2
    cursor = parties.desk.get(RFQS, limit=2)["cursor"]

    page = parties.desk.get(RFQS, limit=2, cursor=cursor)

    assert page["cursor"] == cursor
    assert [row["id"] for row in page["rfqs"]] == six[2:4]


def test_a_page_can_come_twice(market, parties, six):
    market.faults.repeated_page = 1

    assert listed(parties, limit=2) == six[:2] + six


def test_an_empty_page_can_have_a_cursor(market, parties, six):
    market.faults.empty_page = 2

    pages = parties.desk.pages(RFQS, "rfqs", limit=2)

    assert [len(page) for page in pages] == [2, 0, 2, 2]
    assert [row["id"] for page in pages for row in page] == six


def test_a_replica_answers_with_yesterdays_rows(market, parties, clock, six):
    market.fall_behind(reads=1)
    market.delete_rfq(market.account("desk"), six[0])

    stale = parties.desk.rows(RFQS, "rfqs")
    fresh = parties.desk.rows(RFQS, "rfqs")

    assert [row["status"] for row in stale] == ["open"] * 6
    assert fresh[0]["status"] == "closed"


def test_new_rows_can_show_up_late_with_their_old_time(market, parties, clock, six):
    market.faults.late_visibility_s = 5

    before = listed(parties)
    clock.advance(2)
    after = listed(parties)

    assert before == six[4:]
    assert after == six[2:]


def test_the_clock_can_step_for_headers_and_signatures(market, parties):
    market.faults.clock_step_s = 120

    response = parties.desk("GET", "/communications/id")

    assert response.status_code == 401
    assert response.headers["date"] == "Fri, 20 Nov 2026 12:02:00 GMT"


def test_unknown_fields_and_statuses_can_appear(market, parties, six):
    market.faults.unknown_field = "brand_new"
    market.faults.unknown_status = "paused"

    for caller, path, name, scope in (
        (parties.desk, RFQS, "rfqs", {}),
        (parties.maker, QUOTES, "quotes", {"user_filter": "self"}),
    ):
        rows = caller.rows(path, name, **scope)
        assert all("brand_new" in row for row in rows)
        assert [row["status"] for row in rows] == ["paused"] + ["open"] * 5


def test_rows_can_vanish_without_a_trace(market, parties, six):
    quote_id = parties.desk.rows(QUOTES, "quotes", rfq_user_filter="self")[2]["id"]
    market.faults.vanished = {quote_id, six[1]}

    assert listed(parties, limit=2) == [six[0], *six[2:]]
    assert len(parties.desk.rows(QUOTES, "quotes", rfq_user_filter="self")) == 5
    assert parties.desk("GET", f"{QUOTES}/{quote_id}").status_code == 404
    assert parties.desk("GET", f"{RFQS}/{six[1]}").status_code == 404


def test_clearing_restores_every_fault(market, parties, six):
    market.faults.statuses.extend([500] * 9)
    market.faults.unknown_field = "x"

    market.faults.clear()

    assert market.faults == Faults()
    assert listed(parties) == six
