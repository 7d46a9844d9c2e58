"""What must not matter: names, order, repetition, the calendar, which side is called YES.

Each holds on 250 random markets (500 in the nightly profile), known whole or, where that can be,
half of them as one account saw them: with passes now and then, quotes that vanished, names that an
execution reveals.
"""

import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.metrics.markets import (
    MIDNIGHT,
    STAGES,
    ExchangeObject,
    Market,
    as_it_stood,
    many_markets,
    many_watched_markets,
    moment,
    plain,
    stamp,
)
from tests.profile import IS_NIGHTLY

TIMES = ("created_ts", "updated_ts", "observed_ts", "served_ts", *STAGES)
BY_DAY = ("ttfq_p50_by_day_s", "ttfq_sum_count_by_day")
SAMPLES = 4 if IS_NIGHTLY else 2


@pytest.fixture(scope="module", params=range(SAMPLES))
def number(request: pytest.FixtureRequest) -> int:
    """Which 125 markets."""
    return int(request.param)


@pytest.fixture(scope="module")
def whole(number: int) -> Market:
    """Everything that happened."""
    return many_markets(number)


@pytest.fixture(scope="module")
def market(whole: Market, number: int) -> Market:
    """Everything, or what the desk saw of it."""
    return whole if number % 2 else many_watched_markets(number)


@pytest.fixture(scope="module")
def metrics(market: Market) -> dict[str, Any]:
    return market.metrics()


def test_the_markets_hold_what_makes_figures_hard(
    market: Market, metrics: dict[str, Any], number: int
) -> None:
    """Some of each kind: else what holds on these markets says nothing of the kind."""
    vanished = [each for each in market.quotes if each["status"] == "open" and lost(each, market)]
    orphans = {each["rfq_id"] for each in market.quotes} - {each["id"] for each in market.rfqs}

    assert len(orphans) > 10
    assert sum(is_after_the_end(each, market) for each in market.quotes) > 10
    if market.passes is not None:
        captures = list(metrics["rfq_capture"].values())
        assert min(captures.count(each) for each in ("live", "late")) > 10
        assert len(vanished) > 2
        assert metrics["n_foreign_revealed"] > 5


def test_neither_order_nor_repetition_of_rows_matters(
    market: Market, metrics: dict[str, Any], number: int
) -> None:
    """Every object once more, older states of it too, all in another order."""
    rfqs = [*market.rfqs, *market.rfqs, *older_states(market)]
    quotes = [*market.quotes, *market.quotes]
    chance = random.Random(number)
    chance.shuffle(rfqs)
    chance.shuffle(quotes)

    shuffled = replace(market, rfqs=tuple(rfqs), quotes=tuple(quotes))

    assert plain(shuffled.metrics()) == plain(metrics)


def test_nothing_after_the_as_of_time_is_seen(whole: Market) -> None:
    """The whole history seen at T shows what a history that ends at T shows."""
    then = whole.as_of
    truncated = Market(
        tuple(as_it_stood(each, then) for each in known(whole.rfqs, stamp(then))),
        tuple(as_it_stood(each, then) for each in known(whole.quotes, stamp(then))),
        then,
    )

    assert plain(truncated.metrics()) == plain(whole.metrics())


def test_yes_and_no_may_trade_places(market: Market, metrics: dict[str, Any]) -> None:
    mirrored = market.mapped(with_sides_swapped).metrics()

    bid, ask = "best_yes_bid", "best_yes_ask"
    assert mirrored[bid] == complements(metrics[ask])
    assert mirrored[f"{ask}_at_accept"] == complements(metrics[f"{bid}_at_accept"])
    assert mirrored["requester_side"] == {
        rfq_id: {"buy_yes": "buy_no", "buy_no": "buy_yes"}[side]
        for rfq_id, side in metrics["requester_side"].items()
    }
    sided = {bid, ask, f"{bid}_at_accept", f"{ask}_at_accept", "requester_side", "rel_spread"}
    sided |= {"derived_target_contracts"}
    assert plain(without(mirrored, sided)) == plain(without(metrics, sided))


def test_names_are_only_names(market: Market, metrics: dict[str, Any], number: int) -> None:
    makers = random.Random(number).sample("ABCD", 4)
    new_name = {"desk": "counter", **dict(zip("ABCD", makers, strict=True))}

    renamed = market.mapped(lambda each: with_names(each, new_name)).metrics(
        viewer_id=new_name.get(market.viewer_id or "")
    )

    by_maker = {name for name in metrics if name.endswith("_by_maker")}
    assert plain(without(renamed, by_maker)) == plain(
        {name: with_prefix(value) for name, value in without(metrics, by_maker).items()}
    )
    for name in by_maker:
        assert renamed[name] == {new_name[maker]: value for maker, value in metrics[name].items()}


def test_the_calendar_does_not_matter(market: Market, metrics: dict[str, Any], number: int) -> None:
    shift = timedelta(days=1 + 99 * number)

    later = market.mapped(
        lambda each: (
            each | {name: stamp(moment(each[name]) + shift) for name in TIMES if name in each}
        )
    )

    shifted = replace(later, as_of=market.as_of + shift).metrics()
    assert plain(without(shifted, {*BY_DAY})) == plain(without(metrics, {*BY_DAY}))
    for name in BY_DAY:
        assert [*shifted[name].values()] == [*metrics[name].values()]


def test_ten_times_the_size_is_ten_times_the_money_at_the_same_rates(
    market: Market, metrics: dict[str, Any]
) -> None:
    large = market.mapped(ten_times_larger).metrics()

    exact = ("executed_contracts", "cover_savings_dollars", "executed_payout_notional_dollars")
    for rfq_id, contracts in metrics["executed_contracts"].items():
        # The size that a target cost buys is rounded down, so it scales only up to that.
        assert abs(large["executed_contracts"][rfq_id] - 10 * contracts) < 0.1 + 1e-9
    sized = {*exact, "executed_premium_requester_dollars", "derived_target_contracts"}
    sized |= {"hhi_executed_contracts"}
    assert plain(without(large, sized)) == plain(without(metrics, sized))


def test_a_requester_sees_all_there_is_of_its_own_rfqs(whole: Market) -> None:
    """Every RFQ is the desk's, so its view is the whole, and a stranger's is none of it."""
    metrics = whole.metrics()
    desk, stranger = (whole.metrics(viewer_id=who) for who in ("desk", "nobody"))

    assert plain(desk) == plain(metrics)
    assert stranger["n_rfq_foreign"] == metrics["n_rfq_own"]
    assert stranger["fill_rate_all"] is None
    assert set(stranger["cover_bid"].values()) <= {None}


def older_states(market: Market) -> list[ExchangeObject]:
    """What stood half-way; what one account saw holds its older states already."""
    if market.passes is not None:
        return []
    half_way = MIDNIGHT + (market.as_of - MIDNIGHT) / 2
    return [as_it_stood(each, half_way) for each in known(market.rfqs, stamp(half_way))]


def is_after_the_end(each: ExchangeObject, market: Market) -> bool:
    """Accepted although its RFQ is said to have ended before."""
    ends = {request["id"]: request.get("cancelled_ts") for request in market.rfqs}
    end_ts, accepted_ts = ends.get(each["rfq_id"]), each.get("accepted_ts")
    return bool(end_ts and accepted_ts and moment(accepted_ts) > moment(end_ts))


def lost(each: ExchangeObject, market: Market) -> bool:
    """Read last while it stood open, on an RFQ that has ended since."""
    ends = {request["id"]: request.get("cancelled_ts") for request in market.rfqs}
    end_ts = ends.get(each["rfq_id"])
    seen_ts = each.get("observed_ts")
    return bool(end_ts and seen_ts and moment(seen_ts) < moment(end_ts))


def known(objects: tuple[ExchangeObject, ...], then: str) -> list[ExchangeObject]:
    return [each for each in objects if moment(each["created_ts"]) <= moment(then)]


def with_sides_swapped(each: ExchangeObject) -> ExchangeObject:
    if "yes_bid_dollars" not in each:
        return each
    side = {"yes": "no", "no": "yes"}.get(each.get("accepted_side", ""))
    return each | {
        "yes_bid_dollars": each["no_bid_dollars"],
        "no_bid_dollars": each["yes_bid_dollars"],
        **({"accepted_side": side} if side else {}),
    }


def with_names(each: ExchangeObject, new_name: dict[str, str]) -> ExchangeObject:
    """New names for everybody; ids keep their order, which decides between simultaneous quotes."""
    ids = {key: f"id of {each[key]}" for key in ("id", "rfq_id") if key in each}
    people = {
        key: new_name.get(each[key], each[key])
        for key in ("creator_id", "rfq_creator_id")
        if key in each
    }
    return each | ids | people


def with_prefix(value: Any) -> Any:
    is_map = isinstance(value, dict) and any(str(key).startswith("m") for key in value)
    return {f"id of {key}": of for key, of in value.items()} if is_map else value


def ten_times_larger(each: ExchangeObject) -> ExchangeObject:
    sizes = ("contracts_fp", "target_cost_dollars")
    return each | {name: str(10 * Decimal(each[name])) for name in sizes if name in each}


def complements(prices: dict[str, float | None]) -> dict[str, float | None]:
    return {
        key: None if value is None else float(1 - Decimal(str(value)))
        for key, value in prices.items()
    }


def without(metrics: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name not in names}
