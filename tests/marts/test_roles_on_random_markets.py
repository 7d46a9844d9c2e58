"""The tables for makers and desks on 1,000 random markets: nothing is left over, nothing claimed.

A third of the markets are our own, a third strangers', and in a third we are the maker A.
"""

import random
from collections import Counter
from datetime import timedelta

import polars as pl
import pytest

from tests.marts.roles import TABLES, Row, seen
from tests.metrics.comparison import is_same
from tests.metrics.markets import MIDNIGHT, ExchangeObject, Market, random_market
from transforms.marts import MARTS, data_quality, data_quality_by_day
from transforms.metrics.rates import rates
from transforms.metrics.sample import Sample
from transforms.settings import Settings

MARKETS = 1000
SETTINGS = Settings(as_of=MIDNIGHT + timedelta(seconds=330), viewer_id="desk", maturity_s=40)
PASSES = [(side, seconds) for side in ("made", "received") for seconds in (60, 150, 240)]
PEOPLE: tuple[dict[str, str], ...] = ({}, {"desk": "stranger"}, {"desk": "stranger", "A": "desk"})
REQUESTER = {
    *("executed_in_time", "executed_later", "confirm_pending", "stuck", "accept_pending", "open"),
    *("vanished", "failed", "lapsed", "abandoned", "quoted_after_end", "unquoted", "unwatched"),
}
MAKER = {
    *("executed", "confirm_pending", "stuck", "accept_pending", "failed", "lapsed", "withdrawn"),
    *("open", "closed_unknown", "quoted_after_end", "not_quoted", "unwatched"),
}
REASONS = {
    *("after_accept", "withdrawn", "replaced", "lapsed_first", "failed_first", "unknown"),
    *("crossed", "no_bid_on_side", "worse_price", "tied", "better_price"),
}
FATES = {"done", "pending", "lapsed", "failed", "replaced", "withdrawn", "live"}


def peopled(number: int, market: Market) -> Market:
    """The market among these people, under a ticker that it shares with the next."""
    people = PEOPLE[number % 3]

    def change(each: ExchangeObject) -> ExchangeObject:
        named = {name: people.get(each[name], each[name]) for name in each if "creator" in name}
        return each | named | {"market_ticker": f"KXM{number // 6}-26-A"}

    return market.mapped(change)


def failing(chance: random.Random, each: ExchangeObject) -> ExchangeObject:
    """The quote, now and then cancelled by the exchange after it was confirmed."""
    if each["status"] != "confirmed" or chance.random() < 0.5:
        return each
    return each | {"status": "cancelled", "cancelled_ts": each["updated_ts"]}


@pytest.fixture(scope="module")
def marts() -> dict[str, list[Row]]:
    chance = random.Random(20260504)
    made = [peopled(n, random_market(chance, f"m{n}r")) for n in range(MARKETS)]
    rfqs = [each for market in made for each in market.rfqs]
    quotes = [failing(chance, each) for market in made for each in market.quotes]
    gone = [("rfqs", each["id"], 320.0) for each in rfqs if chance.random() < 0.1]
    gone += [("quotes", each["id"], 320.0) for each in quotes if chance.random() < 0.05]
    tables = TABLES | {mart: MARTS[mart] for mart in (data_quality_by_day, data_quality)}
    return seen(rfqs, quotes, SETTINGS, PASSES, gone, tables)


def test_outcomes_leave_no_remainder(marts: dict[str, list[Row]]) -> None:
    rfqs = Counter(
        "requester" if row["visibility"] == "own" else "maker" for row in marts["rfq_facts"]
    )
    held: Counter[str] = Counter()
    for row in marts["outcomes"]:
        held[row["role"]] += row["n_rfq"]

    assert held == rfqs
    assert min(rfqs.values()) > 500
    for role, buckets in (("requester", REQUESTER), ("maker", MAKER)):
        # As a set: none is NULL, and each of them occurs.
        assert {row["bucket"] for row in marts["outcomes"] if row["role"] == role} == buckets


def test_the_remainder_is_shown_among_the_checks(marts: dict[str, list[Row]]) -> None:
    (shown,) = (row for row in marts["data_quality"] if "rfq_in_no_outcome" in row.values())

    assert (shown["count"], shown["n_checked"]) == (0, len(marts["rfq_facts"]))


def test_executions_are_in_their_buckets_whoever_counts(marts: dict[str, list[Row]]) -> None:
    buckets = Counter(row["outcome_bucket"] for row in marts["rfq_facts"])
    own = [row for row in marts["rfq_facts"] if row["visibility"] == "own"]
    filled = [row for row in own if row["state"] == "executed"]
    won = {
        row["rfq_id"] for row in marts["my_quotes"] if row["executed_ts"] and not row["is_orphan"]
    }

    assert buckets["executed_in_time"] + buckets["executed_later"] == len(filled)
    assert buckets["executed"] == len(won)


def test_a_makers_tables_hold_every_quote_of_its_own_and_no_place(
    marts: dict[str, list[Row]],
) -> None:
    """Not even where a rival's quote is in the record."""
    mine = {row["quote_id"] for row in marts["quote_facts"] if row["is_made_by_viewer"]}
    rivals = {
        row["rfq_id"]
        for row in marts["quote_facts"]
        if row["visibility"] == "quoted" and not row["is_made_by_viewer"]
    }

    assert {row["quote_id"] for row in marts["my_quotes"]} == mine
    assert {row["outcome"] for row in marts["my_quotes"]} == FATES | {"not_done_unknown", None}
    assert rivals & {row["rfq_id"] for row in marts["my_quotes"]}


def test_every_quote_on_an_executed_own_rfq_won_is_undecided_or_lost(
    marts: dict[str, list[Row]],
) -> None:
    executed = {
        row["rfq_id"]
        for row in marts["rfq_facts"]
        if row["visibility"] == "own" and row["state"] == "executed"
    }
    others = {
        row["quote_id"]
        for row in marts["quote_facts"]
        if row["rfq_id"] in executed and row["outcome"] not in ("done", "pending")
    }

    assert {row["quote_id"] for row in marts["lost_quotes"]} == others
    assert len(marts["lost_quotes"]) == len(others)
    assert {row["reason"] for row in marts["lost_quotes"]} == REASONS


def test_by_how_much_a_quote_lost_has_the_sign_of_its_reason(marts: dict[str, list[Row]]) -> None:
    signs = {"worse_price": 1, "tied": 0, "better_price": -1}
    compared = [row for row in marts["lost_quotes"] if row["reason"] in signs]

    for row in compared:
        assert row["lost_by_cents"].compare(0) == signs[row["reason"]], row["quote_id"]
    assert all(
        row["lost_by_cents"] is None
        for row in marts["lost_quotes"]
        if row["reason"] == "no_bid_on_side"
    )


def test_the_days_of_a_maker_add_up_to_its_metrics(marts: dict[str, list[Row]]) -> None:
    sample = Sample(
        pl.DataFrame(marts["rfq_facts"], infer_schema_length=None),
        pl.DataFrame(marts["quote_facts"], infer_schema_length=None),
        SETTINGS,
    )
    (live,) = (row for row in marts["my_day"] if row["capture"] == "live")

    metrics = rates(sample)

    assert is_same(live["quoted_rate"], metrics["my_quote_rate"])
    assert is_same(live["hit_ratio"], metrics["my_hit_ratio"])
    for name in ("size", "series", "legs", "latency"):
        cut = live[f"hit_ratio_by_{name}"]
        assert sum(row["n_decided"] for row in cut) == live["n_rfq_decided"]
        assert sum(row["n_won"] for row in cut) == live["n_rfq_won"]


def test_the_league_adds_up_to_the_makers_answers(marts: dict[str, list[Row]]) -> None:
    answered = {
        (row["rfq_id"], row["maker_id"])
        for row in marts["quote_facts"]
        if row["visibility"] == "own" and row["is_valid_response"] and not row["is_self_quote"]
    }

    assert sum(row["n_rfq_quoted"] for row in marts["maker_league"]) == len(answered)
