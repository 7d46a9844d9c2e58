"""Lists: order, filters, scopes, cursors, and what drifts while one pages."""

from __future__ import annotations

import base64
import json

import pytest

from pipelines.sandbox import Behavior

COMBO = "KXMVECROSSCATEGORY-S2026ABCDEF0123-0123456789A"
SINGLE = "KXNBAGAME-26NOV21BOSMIA-BOS"
RFQS, QUOTES = "/communications/rfqs", "/communications/quotes"


def tickers(count: int) -> list[str]:
    return [f"KXTEST-26NOV21-{number:03d}" for number in range(count)]


@pytest.fixture
def nine(market, parties, clock) -> list[str]:
    """Nine RFQs of the desk a second apart, oldest first, each with a quote by the maker."""
    desk, maker = market.account("desk"), market.account("maker")
    ids = []
    for ticker in tickers(9):
        ids.append(market.create_rfq(desk, market_ticker=ticker, contracts=1))
        market.create_quote(maker, rfq_id=ids[-1], yes_bid="0.4", no_bid="0.4")
        clock.advance(1)
    return ids


def test_the_last_updated_comes_first(market, parties, nine):
    market.delete_rfq(market.account("desk"), nine[0])

    listed = [row["id"] for row in parties.stranger.rows(RFQS, "rfqs")]

    assert listed == [nine[0], *reversed(nine[1:])]


def test_equal_times_are_ordered_by_id(market, parties):
    desk = market.account("desk")
    ids = [market.create_rfq(desk, market_ticker=ticker, contracts=1) for ticker in tickers(9)]

    pages = parties.desk.pages(RFQS, "rfqs", limit=2)

    assert [row["id"] for page in pages for row in page] == sorted(ids)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 8, 9, 10])
def test_every_row_comes_once_and_the_last_page_has_no_cursor(parties, nine, limit):
    pages = parties.desk.pages(RFQS, "rfqs", limit=limit)

    assert [row["id"] for page in pages for row in page] == nine[::-1]
    assert len(pages) == -(-9 // limit)


def test_a_row_updated_while_paging_is_missed_further_down(market, parties, clock, nine):
    """The drift every reader of these lists must expect."""
    first = parties.desk.get(RFQS, limit=4)
    market.delete_rfq(market.account("desk"), nine[0])

    rest = parties.desk.rows(RFQS, "rfqs", limit=4, cursor=first["cursor"])

    seen = [row["id"] for row in first["rfqs"] + rest]
    assert nine[0] not in seen
    assert sorted(seen) == sorted(nine[1:])


@pytest.mark.parametrize("change", [{"status": "open"}, {"user_filter": "self"}])
def test_a_cursor_belongs_to_its_filters(parties, nine, change):
    cursor = parties.desk.get(RFQS, limit=2)["cursor"]

    response = parties.desk("GET", RFQS, params={"cursor": cursor, **change})

    assert response.status_code == 400


def test_a_cursor_belongs_to_its_caller_and_its_list(parties, nine):
    cursor = parties.desk.get(RFQS, limit=2)["cursor"]

    foreign = parties.maker("GET", RFQS, params={"cursor": cursor})
    quotes = parties.desk("GET", QUOTES, params={"cursor": cursor, "rfq_user_filter": "self"})

    assert (foreign.status_code, quotes.status_code) == (400, 400)


def test_a_cursor_does_not_mind_another_limit(parties, nine):
    cursor = parties.desk.get(RFQS, limit=2)["cursor"]

    assert len(parties.desk.get(RFQS, limit=5, cursor=cursor)["rfqs"]) == 5


@pytest.mark.parametrize(
    "cursor",
    [
        "garbage",
        "====",
        "é",
        base64.urlsafe_b64encode(b"not json").decode(),
        *(
            base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
            for value in (1, None, [], {}, ["x", 1, [0, "a"]], ["x"], [[], [], []])
        ),
    ],
)
def test_a_malformed_cursor_is_refused(parties, cursor):
    response = parties.desk("GET", RFQS, params={"cursor": cursor})

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_parameters"


@pytest.mark.parametrize(
    ("path", "params"),
    [
        (RFQS, {"limit": "0"}),
        (RFQS, {"limit": "101"}),
        (RFQS, {"limit": "-1"}),
        (RFQS, {"limit": "ten"}),
        (RFQS, {"limit": "99999999999"}),
        (RFQS, {"subaccount": "-1"}),
        (RFQS, {"user_filter": "others"}),
        (RFQS, {"creator_user_id": "nonsense"}),
        (QUOTES, {"user_filter": "self", "limit": "501"}),
        (QUOTES, {"user_filter": "self", "rfq_id": "nonsense"}),
        (QUOTES, {"user_filter": "self", "min_ts": "yesterday"}),
        (QUOTES, {"user_filter": "self", "min_ts": "9" * 19}),
        (QUOTES, {"user_filter": "me"}),
    ],
)
def test_parameters_out_of_range_are_refused(parties, path, params):
    assert parties.desk("GET", path, params=params).status_code == 400


def test_the_largest_limits_pass(parties, nine):
    assert len(parties.desk.get(RFQS, limit=100)["rfqs"]) == 9
    assert len(parties.desk.get(QUOTES, limit=500, rfq_user_filter="self")["quotes"]) == 9


def test_rfqs_are_market_wide_until_filtered_to_oneself(market, parties, nine):
    own = market.create_rfq(market.account("stranger"), market_ticker=SINGLE, contracts=1)

    assert len(parties.stranger.rows(RFQS, "rfqs")) == 10
    mine = parties.stranger.rows(RFQS, "rfqs", user_filter="self")
    assert [row["id"] for row in mine] == [own]


def test_a_wrong_filter_name_is_ignored_without_a_word(parties, nine):
    rows = parties.stranger.rows(RFQS, "rfqs", rfq_user_filter="self", nonsense="1")

    assert len(rows) == 9


def test_rfqs_filter_by_status_market_event_and_subaccount(market, parties, nine):
    desk = market.account("desk")
    market.delete_rfq(desk, nine[3])
    combo = market.create_rfq(desk, market_ticker=COMBO, contracts=1, subaccount=5)

    def ids(**params):
        return [row["id"] for row in parties.desk.rows(RFQS, "rfqs", **params)]

    assert ids(status="closed") == [nine[3]]
    assert len(ids(status="open")) == 9
    assert ids(status="unheard-of") == []
    assert ids(market_ticker="KXTEST-26NOV21-002") == [nine[2]]
    assert len(ids(event_ticker="KXTEST-26NOV21")) == 9
    assert ids(event_ticker="KXMVECROSSCATEGORY-S2026ABCDEF0123") == [combo]
    assert ids(subaccount=5) == [combo]
    assert len(ids(subaccount=0)) == 9


def test_only_the_own_user_id_finds_rfqs(parties, nine):
    mine = parties.desk.rows(RFQS, "rfqs", creator_user_id=parties.desk.account.user_id)
    others = parties.maker.rows(RFQS, "rfqs", creator_user_id=parties.desk.account.user_id)

    assert (len(mine), others) == (9, [])


@pytest.mark.parametrize("params", [{}, {"rfq_id": "11111111-2222-4333-8444-555555555555"}])
def test_quotes_need_a_user_scope(parties, params):
    assert parties.desk("GET", QUOTES, params=params).status_code == 403


def test_the_status_of_an_unscoped_call_is_a_switch(market, parties):
    market.behavior = Behavior(rate_limits=False, unscoped_quotes_status=400)

    assert parties.desk("GET", QUOTES).status_code == 400


def test_each_side_of_a_quote_finds_it_under_its_own_filter(parties, nine):
    def count(caller, **params):
        return len(caller.rows(QUOTES, "quotes", **params))

    assert count(parties.maker, user_filter="self") == 9
    assert count(parties.maker, rfq_user_filter="self") == 0
    assert count(parties.desk, rfq_user_filter="self") == 9
    assert count(parties.desk, user_filter="self") == 0
    assert count(parties.stranger, user_filter="self") == 0
    assert count(parties.maker, user_filter="self", rfq_id=nine[4]) == 1
    assert count(parties.maker, quote_creator_user_id=parties.maker.account.user_id) == 9


def test_a_communications_id_as_creator_id_is_forbidden(parties):
    public_name = parties.maker.account.communications_id

    response = parties.maker("GET", QUOTES, params={"quote_creator_user_id": public_name})

    assert response.status_code == 403


@pytest.mark.parametrize(("inclusive", "seen"), [(True, 3), (False, 1)])
def test_quote_windows_are_whole_seconds_on_the_update_time(
    market, parties, clock, nine, inclusive, seen
):
    """Quotes lie on whole seconds, so both edges of [4 s, 6 s] hold one."""
    market.behavior = Behavior(
        rate_limits=False, min_ts_inclusive=inclusive, max_ts_inclusive=inclusive
    )
    start = int(clock.now().timestamp()) - 9

    rows = parties.maker.rows(
        QUOTES, "quotes", user_filter="self", min_ts=start + 4, max_ts=start + 6
    )

    assert len(rows) == seen


def test_an_unbounded_list_of_a_large_account_times_out_if_switched_on(market, parties, nine):
    market.behavior = Behavior(rate_limits=False, unbounded_quotes_limit=8)

    unbounded = parties.maker("GET", QUOTES, params={"user_filter": "self"})
    bounded = parties.maker("GET", QUOTES, params={"user_filter": "self", "min_ts": 0})

    assert (unbounded.status_code, bounded.status_code) == (504, 200)


def test_quotes_of_a_members_customers_are_not_for_others(parties):
    mine = {"user_filter": "self"}
    theirs = parties.maker("GET", QUOTES, params=mine | {"rfq_creator_subtrader_id": "somebody"})

    assert parties.maker("GET", QUOTES, params=mine).status_code == 200
    assert theirs.status_code == 400
    assert "FCM members only" in theirs.text
