"""A market that goes on by itself, and the proof that the simulated past obeys the same rules."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.sandbox import (
    Behavior,
    ManualClock,
    Market,
    Refused,
    ScaledClock,
    Shape,
    simulate,
    unfold,
)
from pipelines.sandbox.listing_pages import QuoteFilters

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TIMES = ("created_ts", "updated_ts", "accepted_ts", "confirmed_ts", "executed_ts", "cancelled_ts")


def market_at(clock: ManualClock, behavior: Behavior | None = None) -> Market:
    """A market whose accounts have keys that cost no time to make."""
    market = Market(clock=clock, behavior=behavior)
    for name in ("desk", "maker"):
        market.add_account(name, key="ed25519")
    return market


def all_pages(page_at) -> list[dict]:
    rows, cursor = [], None
    while True:
        page = page_at(cursor)
        rows += page.rows
        cursor = page.cursor
        if cursor is None:
            return rows


def without_ids(rows: list[dict]) -> Counter:
    """Rows as a multiset, with ids left out: they are random where the rules made the rows."""
    kept = [
        {k: str(v) for k, v in row.items() if not (k in ("id", "rfq_id") or "order_id" in k)}
        for row in rows
    ]
    return Counter(tuple(sorted(row.items())) for row in kept)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_simulated_past_is_what_the_rules_make_of_the_plan(seed):
    """Both ways to the same instant: settled in columns, and acted out call by call."""
    behavior = Behavior(quotes_of_deleted_rfq="cancel", max_open_rfqs=10_000)
    shape = Shape(vanished_share=0, desk_trade_share=0.5)
    length = timedelta(hours=6)
    settled = market_at(ManualClock(NOON + length), behavior)
    simulate(settled, seed=seed, days=0.25, rfqs_per_day=2_000, shape=shape)
    clock = ManualClock(NOON)
    acted = market_at(clock, behavior)
    unfold(acted, seed=seed, rfqs_per_day=2_000, ahead=length, shape=shape)
    clock.advance(length.total_seconds())

    for market in (settled, acted):
        market.account("desk")
    desks = [market.account("desk") for market in (settled, acted)]
    makers = [market.account("maker") for market in (settled, acted)]
    past, live = (
        {
            "rfqs": all_pages(lambda c, m=market, d=desk: m.get_rfqs(d, cursor=c)),
            "requested": all_pages(
                lambda c, m=market, d=desk: m.get_quotes(
                    d, QuoteFilters(requester=d.user_id), cursor=c
                )
            ),
            "made": all_pages(
                lambda c, m=market, k=maker: m.get_quotes(
                    k, QuoteFilters(maker=k.user_id), cursor=c
                )
            ),
        }
        for market, desk, maker in zip((settled, acted), desks, makers, strict=True)
    )

    assert len(past["rfqs"]) == 500
    assert len(past["requested"]) > 1_000
    assert {row["status"] for row in past["requested"]} >= {"accepted", "executed", "cancelled"}
    for name in ("rfqs", "requested", "made"):
        assert without_ids(past[name]) == without_ids(live[name])


def test_a_market_goes_on_stretch_by_stretch():
    clock = ManualClock(NOON)
    market = market_at(clock)
    unfold(market, seed=3, rfqs_per_day=2_400, ahead=timedelta(minutes=30))
    desk = market.account("desk")
    counts = []

    for _ in range(3):
        clock.advance(3600)
        counts.append(len(all_pages(lambda c: market.get_rfqs(desk, cursor=c))))

    # The last stretch is planned as it begins, so its RFQs are still to come.
    assert counts == pytest.approx([100, 200, 300], abs=50)


def test_a_holder_of_the_desk_key_can_interfere():
    """A holder of the desk key can interfere with the play."""
    clock = ManualClock(NOON)
    market = market_at(clock)
    unfold(market, seed=3, rfqs_per_day=24_000)
    desk = market.account("desk")
    deleted: set[str] = set()

    for _ in range(60):
        clock.advance(20)
        for row in market.get_rfqs(desk).rows:
            if row["status"] == "open" and "creator_user_id" in row:
                with suppress(Refused):  # one that is just executing cannot be deleted
                    market.delete_rfq(desk, row["id"])
                    deleted.add(row["id"])

    assert len(deleted) > 20
    kinds = Counter(event.kind for event in market.events if event.rfq_id in deleted)
    assert kinds["rfq_deleted"] == len(deleted)
    assert kinds["rfq_executed"] == 0


def test_scaled_time_runs_faster():
    clock = ScaledClock(speed=3600, start=NOON)
    first = clock.now()

    while clock.now() < NOON + timedelta(minutes=10):
        pass

    assert NOON <= first < clock.now()
    with pytest.raises(ValueError, match="above zero"):
        ScaledClock(speed=0)
