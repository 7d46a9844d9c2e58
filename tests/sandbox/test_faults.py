"""Misbehavior on demand, each kind as a client would meet it, and its setting over HTTP."""

from __future__ import annotations

import json
import time
from dataclasses import fields

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


def test_a_page_is_of_the_moment_to_which_its_script_has_moved_the_clock(market, parties, six):
    """What its Date vouches for is in it: what came by then, and what fell due by then."""
    desk, made = market.account("desk"), []
    lives_s = market.behavior.rfq_lifetime_s

    def an_rfq_later():
        market.clock.advance(lives_s + 5)
        made.append(market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="1.00"))

    market.faults.before_page[1] = an_rfq_later

    rows = parties.desk.get(RFQS)["rfqs"]

    assert [row["id"] for row in rows if row["status"] == "open"] == made
    assert {row["id"] for row in rows} == {*made, *six}


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


# Over HTTP: set, shown, cleared.


def admin(parties, method: str, **request):
    origin = parties.exchange.base_url.removesuffix("/trade-api/v2")
    return parties.http.request(method, origin + "/sandbox/faults", **request)


def test_faults_are_set_shown_and_cleared_over_http(market, parties, six):
    wanted = {"statuses": [503], "unknown_status": "paused", "vanished": [six[0]]}

    answered = admin(parties, "POST", json=wanted).json()

    assert {name: answered[name] for name in wanted} == wanted
    assert admin(parties, "GET").json() == answered
    assert parties.desk("GET", RFQS).status_code == 503
    assert parties.desk.rows(RFQS, "rfqs")[0]["status"] == "paused"
    admin(parties, "DELETE")
    assert listed(parties) == six


def test_a_replica_falls_behind_over_http(market, parties, six):
    admin(parties, "POST", json={"stale_reads": 1})
    market.delete_rfq(market.account("desk"), six[0])

    assert {row["status"] for row in parties.desk.rows(RFQS, "rfqs")} == {"open"}


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        '{"nonsense": 1}',
        '{"latency_s": "long"}',
        '{"latency_s": true}',
        '{"statuses": [200]}',
        '{"statuses": "all"}',
        '{"malformed": ["rot13"]}',
        '{"empty_page": 0}',
        '{"vanished": [1]}',
        '{"stale_reads": -1}',
        '{"before_page": {"0": "close_oldest_rfq"}}',
        '{"before_page": {"2": "rm -rf"}}',
        '{"before_page": ["close_oldest_rfq"]}',
        '{"errors": ["expired"]}',
        '{"errors": [{"status": 200, "code": "ok"}]}',
        '{"errors": [{"status": 400}]}',
        '{"errors": [{"status": 400, "code": 7}]}',
        '{"errors": [{"status": 400, "code": "x", "operation": "Nonsense"}]}',
        '{"errors": [{"status": 400, "code": "x", "envelope": "brown"}]}',
        '{"latency_s": 1, "clock_step_s": 1e300}',
        '{"clock_step_s": 1000000000.5}',
        '{"clock_step_s": -1000000000.5}',
        '{"latency_s": -0.5}',
        '{"latency_s": 3600.5}',
        '{"statuses": [399]}',
        '{"statuses": [600]}',
    ],
)
def test_a_fault_that_makes_no_sense_changes_nothing(market, parties, body):
    response = admin(parties, "POST", content=body)

    assert response.status_code == 400
    assert market.faults == Faults()


def test_faults_cannot_be_set_under_a_foreign_host_name(market, parties):
    """A web page could resolve its own name to this machine; it cannot pretend another name."""
    response = admin(
        parties, "POST", json={"statuses": [500]}, headers={"Host": "attacker.example"}
    )

    assert response.status_code == 403
    assert market.faults == Faults()


def second_page(parties):
    cursor = parties.desk.get(RFQS, limit=2)["cursor"]
    return parties.desk("GET", RFQS, params={"limit": 2, "cursor": cursor})


def is_slow(parties, clock) -> bool:
    began_s = time.monotonic()
    parties.desk.get(RFQS)
    return time.monotonic() - began_s >= 0.2


def has_failed_to_execute(parties, clock) -> bool:
    quote_id = parties.desk.rows(QUOTES, "quotes", rfq_user_filter="self")[0]["id"]
    parties.desk("PUT", f"{QUOTES}/{quote_id}/accept", json={"accepted_side": "yes"})
    parties.maker("PUT", f"{QUOTES}/{quote_id}/confirm", json={})
    clock.advance(20)
    return parties.desk.get(f"{QUOTES}/{quote_id}")["quote"]["status"] == "cancelled"


def is_old_news(parties, clock) -> bool:
    parties.desk.create_rfq()
    return len(parties.desk.get(RFQS)["rfqs"]) == 6


EFFECTS = {
    "latency_s": (0.2, is_slow),
    "statuses": ([503], lambda parties, _: parties.desk("GET", RFQS).status_code == 503),
    "errors": (
        [{"status": 409, "code": "quote_timed_out", "operation": "GetRFQs"}],
        lambda parties, _: parties.desk("GET", RFQS).json()["error"]["code"] == "quote_timed_out",
    ),
    "malformed": (["null_list"], lambda parties, _: parties.desk.get(RFQS)["rfqs"] is None),
    "before_page": (
        {"2": "close_oldest_rfq"},
        lambda parties, _: len(listed(parties, limit=2)) == 5,
    ),
    "cursor_expires_after_page": (1, lambda parties, _: second_page(parties).status_code == 400),
    "cursor_loops_at_page": (
        1,
        lambda parties, _: second_page(parties).json() == parties.desk.get(RFQS, limit=2),
    ),
    "repeated_page": (1, lambda parties, _: len(listed(parties, limit=2)) == 8),
    "empty_page": (1, lambda parties, _: parties.desk.get(RFQS)["rfqs"] == []),
    "late_visibility_s": (3.5, lambda parties, _: len(listed(parties)) == 3),
    "clock_step_s": (-60, lambda parties, _: parties.desk("GET", RFQS).status_code == 401),
    "unknown_field": ("odd", lambda parties, _: "odd" in parties.desk.get(RFQS)["rfqs"][5]),
    "unknown_status": (
        "odd",
        lambda parties, _: parties.desk.get(RFQS)["rfqs"][0]["status"] == "odd",
    ),
    "vanished": ("six[0]", lambda parties, _: len(listed(parties)) == 5),
    "stale_reads": (1, is_old_news),
    "failing_executions": (1, has_failed_to_execute),
}


def test_no_fault_is_without_a_test():
    assert EFFECTS.keys() == {item.name for item in fields(Faults)}


@pytest.mark.parametrize("name", EFFECTS)
def test_each_fault_shows_over_http_and_is_gone_when_cleared(parties, clock, six, name):
    value, shows = EFFECTS[name]
    if value == "six[0]":
        value = [six[0]]

    before = admin(parties, "GET").json()
    answered = admin(parties, "POST", json={name: value})
    effect = shows(parties, clock)
    cleared = admin(parties, "DELETE").json()

    assert answered.status_code == 200, answered.text
    assert json.dumps(answered.json()[name]).startswith(json.dumps(value)[:8])
    assert effect
    assert cleared == before


@pytest.mark.parametrize(
    "fault",
    [
        {"clock_step_s": 1e9},
        {"clock_step_s": -1e9},
        {"late_visibility_s": 3600},
        {"statuses": [400, 599, 0]},
        {"empty_page": 1},
        {"stale_reads": 0},
    ],
)
def test_a_fault_may_be_as_large_as_its_bound(parties, fault):
    """Each value is the last one that is taken; the one beyond it is among the refused ones."""
    answered = admin(parties, "POST", json=fault)

    assert answered.status_code == 200, answered.text
    assert answered.json() | fault == answered.json()


def test_quotes_drift_by_script_too(parties, six):
    admin(parties, "POST", json={"before_page": {"2": "cancel_oldest_quote"}})

    pages = parties.maker.pages(QUOTES, "quotes", user_filter="self", limit=2)

    assert [len(page) for page in pages] == [2, 2, 1]


def test_an_error_waits_for_its_operation_and_comes_in_its_envelope(parties, six):
    flat = {"status": 418, "code": "short_and_stout", "operation": "GetRFQ", "envelope": "flat"}
    admin(parties, "POST", json={"errors": [flat, {"status": 400, "code": "expired"}]})

    first = parties.desk("GET", RFQS)
    second = parties.desk("GET", f"{RFQS}/{six[0]}")
    third = parties.desk("GET", f"{RFQS}/{six[0]}")

    assert (first.status_code, first.json()["error"]["code"]) == (400, "expired")
    assert second.status_code == 418
    assert second.json() == {"code": "short_and_stout", "message": "short and stout"}
    assert third.status_code == 200
