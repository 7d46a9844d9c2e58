"""The simulated past: the same for the same seed, shaped like the real market, and lawful."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import groupby

import polars as pl
import pytest

from pipelines.sandbox import Behavior, ManualClock, Market, Refused, Shape, simulate
from pipelines.sandbox.listing_pages import QuoteFilters
from pipelines.sandbox.listings import listing

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def grown(seed: int = 7, days: float = 3, rfqs_per_day: int = 1500, **behavior):
    clock = ManualClock(NOON)
    market = Market(clock=clock, behavior=Behavior(rate_limits=False, **behavior))
    for name in ("desk", "maker"):
        market.add_account(name, key="ed25519")
    ledger = simulate(market, seed=seed, days=days, rfqs_per_day=rfqs_per_day)
    return market, ledger, clock


@pytest.fixture(scope="module")
def world():
    """Three days with 1,500 RFQs each: market, ledger, and everything the two accounts can list."""
    market, ledger, _ = grown()
    desk, maker = market.account("desk"), market.account("maker")
    rfqs = all_pages(lambda cursor: market.get_rfqs(desk, cursor=cursor))
    on_mine = QuoteFilters(requester=desk.user_id)
    quotes = all_pages(lambda cursor: market.get_quotes(desk, on_mine, cursor=cursor))
    by_me = QuoteFilters(maker=maker.user_id)
    made = all_pages(lambda cursor: market.get_quotes(maker, by_me, cursor=cursor))
    return {"ledger": ledger, "rfqs": rfqs, "quotes": quotes, "made": made, "market": market}


def all_pages(page_at) -> list[dict]:
    rows, cursor = [], None
    while True:
        page = page_at(cursor)
        rows += page.rows
        cursor = page.cursor
        if cursor is None:
            return rows


def test_the_first_command_finds_enough_to_look_at(world):
    assert len(world["rfqs"]) >= 2_000
    assert len(world["quotes"]) >= 10_000
    assert len(world["made"]) >= 2_000


def test_the_same_seed_gives_the_same_market():
    first, _, _ = grown(days=1, rfqs_per_day=300)
    again, _, _ = grown(days=1, rfqs_per_day=300)
    other, _, _ = grown(seed=8, days=1, rfqs_per_day=300)

    rows = [market.get_rfqs(market.account("desk")).rows for market in (first, again, other)]

    assert rows[0] == rows[1]
    assert rows[0] != rows[2]


def test_ids_are_unique_and_every_row_is_found_by_its_id(world):
    market, desk = world["market"], world["market"].account("desk")
    for name, get in (("rfqs", market.get_rfq), ("quotes", market.get_quote)):
        rows = world[name]
        assert len({row["id"] for row in rows}) == len(rows)
        for row in rows[:: len(rows) // 50]:
            assert get(desk, row["id"]) == row


def test_both_lists_are_last_updated_first(world):
    for name in ("quotes", "made"):
        keys = [(row["updated_ts"].ljust(27, "0"), row["id"]) for row in world[name]]
        times = [stamp.replace("Z", "0") for stamp, _ in keys]
        assert times == sorted(times, reverse=True)


def test_the_list_agrees_with_the_ledger(world):
    ledger = world["ledger"]
    truth = dict(ledger.rfqs.select("rfq_id", "closed_ts").iter_rows())

    assert len(truth) == len(world["rfqs"])
    for row in world["rfqs"]:
        assert (truth[row["id"]] is None) == (row["status"] == "open")

    desk_id = world["market"].account("desk").communications_id
    own = ledger.rfqs.filter(requester_id=desk_id)["rfq_id"]
    listed = ledger.quotes.filter(pl.col("rfq_id").is_in(own.implode()), ~pl.col("is_vanished"))
    expected = dict(listed.select("quote_id", "status").iter_rows())
    assert {row["id"]: row["status"] for row in world["quotes"]} == expected


def test_proportions_are_those_of_the_real_market(world):
    rfqs = world["rfqs"]
    share = {
        "target cost": sum("target_cost_dollars" in row for row in rfqs) / len(rfqs),
        "single": sum("mve_collection_ticker" not in row for row in rfqs) / len(rfqs),
        "desk": sum("creator_user_id" in row for row in rfqs) / len(rfqs),
        "modal cost": sum(row.get("target_cost_dollars") == "10.0000" for row in rfqs) / len(rfqs),
    }

    assert 0.93 < share["target cost"] < 0.97
    assert 0.01 < share["single"] < 0.03
    assert 0.27 < share["desk"] < 0.33
    assert 0.15 < share["modal cost"] < 0.4
    ledger = world["ledger"].rfqs
    lifetimes_s = (pl.col("closed_ts") - pl.col("created_ts")).dt.total_milliseconds() / 1000
    deleted = ledger.filter(close_cause="deleted").select(lifetimes_s)["closed_ts"]
    assert 14 < deleted.median() < 26
    assert 1 < deleted.quantile(0.1) < 4
    expired = ledger.filter(close_cause="expired").select(lifetimes_s)["closed_ts"]
    assert expired.unique().to_list() == [10_800]
    assert 0.005 < len(expired) / len(ledger) < 0.03


def test_the_desk_trades_more_than_the_market(world):
    desk_id = world["market"].account("desk").communications_id
    is_desk = pl.col("requester_id") == desk_id
    ledger = world["ledger"].rfqs

    desk_rate = ledger.filter(is_desk)["executed"].mean()
    market_rate = ledger.filter(~is_desk)["executed"].mean()

    assert 0.15 <= desk_rate <= 0.30
    assert 0.003 <= market_rate <= 0.0446


def test_lapses_failures_requotes_and_one_sided_quotes_occur(world):
    quotes = world["quotes"]
    lapsed = [row for row in quotes if row["status"] == "accepted"]
    failed = [row for row in quotes if row.get("cancellation_reason") == "execution failed"]
    one_sided = [row for row in quotes if row["yes_bid_dollars"] == "0.0000"]

    assert len(lapsed) > 50
    assert len(failed) > 3
    assert all("confirmed_ts" in row and "cancelled_ts" in row for row in failed)
    assert 0.3 < len(one_sided) / len(quotes) < 0.7
    assert all("yes_contracts_fp" not in row for row in one_sided)


def test_times_of_a_quote_never_run_backwards_and_updated_is_the_newest(world):
    names = ("created_ts", "accepted_ts", "confirmed_ts", "executed_ts", "cancelled_ts")
    for row in world["quotes"] + world["made"]:
        times = [row[name].rstrip("Z").ljust(26, "0") for name in names if name in row]
        assert times == sorted(times)
        assert times[-1] == row["updated_ts"].rstrip("Z").ljust(26, "0")


def test_nobody_has_two_open_rfqs_on_a_market(world):
    ledger = world["ledger"].rfqs.sort("requester_id", "market_ticker", "created_ts")
    before = pl.col("closed_ts").shift(1).over("requester_id", "market_ticker")

    overlapping = ledger.filter(before > pl.col("created_ts"))

    assert len(overlapping) == 0
    assert ledger.select("requester_id", "market_ticker").is_duplicated().sum() > 10


def test_nobody_has_two_open_quotes_on_an_rfq(world):
    quotes = world["ledger"].quotes.filter(pl.col("accepted_ts").is_null())
    ended = pl.when(pl.col("status") == "cancelled").then("updated_ts")
    quotes = quotes.with_columns(ended=ended).sort("rfq_id", "maker_id", "created_ts")

    overlapping = quotes.filter(
        pl.col("ended").shift(1).over("rfq_id", "maker_id") > pl.col("created_ts")
    )

    assert len(overlapping) == 0


def test_quotes_lie_within_the_life_of_their_rfq_and_on_the_grid(world):
    ledger = world["ledger"]
    joined = ledger.quotes.join(
        ledger.rfqs.select("rfq_id", "market_ticker", "closed_ts", rfq_created_ts="created_ts"),
        on="rfq_id",
    )

    assert len(joined) == ledger.quote_count
    assert joined.filter(pl.col("created_ts") < pl.col("rfq_created_ts")).is_empty()
    assert joined.filter(pl.col("created_ts") >= pl.col("closed_ts")).is_empty()
    cents = joined.filter(~pl.col("market_ticker").str.starts_with("KXMVE"))
    for side in ("yes_bid_dollars", "no_bid_dollars"):
        assert cents.filter(pl.col(side) != pl.col(side).round(2)).is_empty()
    crossed = joined.filter(pl.col("yes_bid_dollars") + pl.col("no_bid_dollars") > 1)
    assert crossed.is_empty()


def test_the_market_goes_on_under_the_same_rules():
    """Open rows of the past expire, and an open RFQ of the past takes quotes and deletions."""
    market, _, clock = grown(days=0.1, rfqs_per_day=20_000)
    desk, maker = market.account("desk"), market.account("maker")
    market.faults.clear()
    open_ids = [
        row["id"]
        for row in all_pages(lambda c: market.get_rfqs(desk, cursor=c))
        if row["status"] == "open" and "creator_user_id" in row
    ]
    assert open_ids

    quote_id = market.create_quote(maker, rfq_id=open_ids[0], yes_bid="0.01", no_bid="0.5")
    market.accept_quote(desk, quote_id, "no")
    market.confirm_quote(maker, quote_id)
    clock.advance(3 * 3600)

    assert market.get_quote(desk, quote_id)["status"] == "executed"
    assert market.open_rfq_count() == 0


def test_the_past_is_purged_as_it_ages():
    market, ledger, clock = grown(days=2, rfqs_per_day=500)
    desk = market.account("desk")
    on_mine = QuoteFilters(requester=desk.user_id)

    def listed():
        rfqs = all_pages(lambda c: market.get_rfqs(desk, limit=37, cursor=c))
        quotes = all_pages(lambda c: market.get_quotes(desk, on_mine, limit=101, cursor=c))
        return rfqs, quotes

    clock.advance(6 * 86_400)
    rfqs, quotes = listed()
    clock.advance(30 * 86_400)
    no_rfqs, durable = listed()

    cutoff = NOON - timedelta(days=1)
    kept = ledger.rfqs.filter(pl.col("closed_ts").fill_null(NOON) > cutoff)["rfq_id"]
    assert {row["id"] for row in rfqs} == set(kept)
    assert no_rfqs == []
    assert {row["status"] for row in durable} == {"accepted", "executed"}
    statuses = {row["id"]: row["status"] for row in quotes}
    assert {i for i, s in statuses.items() if s != "cancelled"} == {r["id"] for r in durable}
    gone = ledger.quotes.filter(pl.col("status") == "cancelled", pl.col("updated_ts") <= cutoff)
    assert not set(gone["quote_id"]) & statuses.keys()


def test_filters_reach_into_the_past(world):
    market, desk = world["market"], world["market"].account("desk")
    executed = QuoteFilters(requester=desk.user_id, status="executed")

    rows = market.get_quotes(desk, executed).rows

    assert {row["id"] for row in rows} == {
        row["id"] for row in world["quotes"] if row["status"] == "executed"
    }
    one = world["quotes"][500]
    on_rfq = QuoteFilters(requester=desk.user_id, rfq_id=one["rfq_id"])
    assert {row["id"] for row in market.get_quotes(desk, on_rfq).rows} == {
        row["id"] for row in world["quotes"] if row["rfq_id"] == one["rfq_id"]
    }


def test_combos_have_two_to_many_legs_on_different_games(world):
    combos = [row for row in world["rfqs"] if "mve_selected_legs" in row]
    counts = {len(row["mve_selected_legs"]) for row in combos}

    assert min(counts) == 2
    assert max(counts) > 8
    for row in combos:
        events = [leg["event_ticker"] for leg in row["mve_selected_legs"]]
        assert len(set(events)) == len(events)


def test_a_shape_changes_what_is_simulated():
    clock = ManualClock(NOON)
    market = Market(clock=clock)
    shape = Shape(desk_share=0, single_share=1)

    ledger = simulate(market, seed=1, days=1, rfqs_per_day=200, shape=shape)

    assert not ledger.rfqs["market_ticker"].str.starts_with("KXMVE").any()
    assert market.account("desk").communications_id not in ledger.rfqs["requester_id"]


def test_strangers_are_many_and_a_few_ask_for_much(world):
    desk_id = world["market"].account("desk").communications_id
    counts = (
        world["ledger"]
        .rfqs.filter(pl.col("requester_id") != desk_id)
        .group_by("requester_id")
        .len()
        .sort("len", descending=True)
    )

    assert len(counts) > 100
    assert counts["len"][0] > 3 * counts["len"].median()


def test_paging_the_past_takes_every_row_once_for_any_page_size():
    market, ledger, _ = grown(days=1, rfqs_per_day=200)
    desk = market.account("desk")

    for limit in (1, 7, 100):
        rows = all_pages(lambda c, size=limit: market.get_rfqs(desk, limit=size, cursor=c))
        assert [len(list(group)) for _, group in groupby(sorted(r["id"] for r in rows))] == [
            1
        ] * ledger.rfq_count


def test_no_days_make_an_empty_exchange_with_both_accounts():
    market, ledger, _ = grown(days=0)

    assert (ledger.rfq_count, ledger.quote_count) == (0, 0)
    assert market.get_rfqs(market.account("desk")).rows == []
    assert market.get_quotes(market.account("maker"), own_quotes(market)).rows == []
    assert len(ledger.rfqs) == len(ledger.quotes) == 0


def own_quotes(market: Market) -> QuoteFilters:
    return QuoteFilters(maker=market.account("maker").user_id)


def test_a_market_has_one_past():
    market, _, _ = grown(days=0)

    with pytest.raises(ValueError, match="already has a past"):
        simulate(market, seed=1, days=1, rfqs_per_day=10)


@pytest.mark.parametrize("row_id", ["nonsense", "", "11111111-2222-4333-8444-555555555555"])
def test_an_id_of_nowhere_is_not_found_in_the_past(world, row_id):
    market, desk = world["market"], world["market"].account("desk")

    for get in (market.get_rfq, market.get_quote):
        with pytest.raises(Refused, match="404"):
            get(desk, row_id)


def test_a_combo_that_a_visitor_names_has_two_to_six_legs():
    """On different games, and always the same."""
    tickers = [f"KXMVECROSSCATEGORY-26NOV20-{number}" for number in range(200)]

    legs = [listing(ticker).legs for ticker in tickers]

    assert {len(each) for each in legs} == {2, 3, 4, 5, 6}
    assert all(len({leg.event_ticker for leg in each}) == len(each) for each in legs)
    assert legs == [listing.__wrapped__(ticker).legs for ticker in tickers]
