"""Makers with limits and hours off, requests that come in bursts, and what a seed decides."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from pipelines.sandbox import Behavior, Ledger, ManualClock, Market, Shape, simulate, unfold
from pipelines.sandbox.simulation.shapes import makers

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def simulated(behavior: Behavior | None = None, **shape: float) -> Ledger:
    market = Market(clock=ManualClock(NOON), behavior=behavior)
    for name in ("desk", "maker"):
        market.add_account(name, key="ed25519")
    return simulate(market, seed=5, days=1, rfqs_per_day=1_000, shape=Shape(**shape))


def maker_hours(ledger: Ledger) -> int:
    hour = pl.col("created_ts").dt.truncate("1h")
    return len(ledger.quotes.select("maker_id", hour).unique())


def test_a_maker_that_is_away_quotes_nothing_for_the_whole_hour():
    always, often_away, never = (simulated(downtime_share=share) for share in (0, 0.5, 1))

    assert maker_hours(often_away) / maker_hours(always) == pytest.approx(0.5, abs=0.08)
    assert never.quote_count == 0


def test_no_maker_quotes_more_contracts_than_it_will_take():
    limits = {maker.number: maker.max_contracts for maker in makers(5, 2)}
    ledger = simulated(target_cost_share=0)

    rfqs = ledger.rfq_columns.select(rfq="number", size="contracts_hundredths")
    quoted = ledger.quote_columns.join(rfqs, on="rfq")

    largest = quoted.group_by("maker").agg(pl.col("size").max() / 100)
    assert len(set(limits.values())) > 2
    assert all(size <= limits[maker] for maker, size in largest.iter_rows())
    assert largest["size"].max() > min(limits.values())


def test_requests_in_bursts_follow_each_other_closely():
    def within_a_second(ledger: Ledger) -> float:
        created = ledger.rfq_columns["created_us"].sort()
        return (created.diff().drop_nulls() < 1_000_000).mean()

    assert within_a_second(simulated(burst_share=0)) < 0.05
    assert within_a_second(simulated(burst_share=0.5)) > 0.3


def test_with_a_quote_window_the_past_has_no_later_quote_on_a_combo():
    ledger = simulated(Behavior(quote_window_s=0.7))

    rfqs = ledger.rfq_columns.select("market", rfq="number", asked_us="created_us")
    late = pl.col("created_us") - pl.col("asked_us") > 700_000
    quotes = ledger.quote_columns.join(rfqs, on="rfq").filter(late)

    assert quotes.filter(pl.col("market") >= 0).is_empty()
    assert len(quotes) > 0


def test_what_follows_a_past_is_new_and_by_the_same_makers():
    clock = ManualClock(NOON)
    market = Market(clock=clock)
    for name in ("desk", "maker"):
        market.add_account(name, key="ed25519")
    ledger = simulate(market, seed=5, days=1 / 144, rfqs_per_day=14_400)
    unfold(market, seed=5, rfqs_per_day=14_400)
    clock.advance(599)

    rows = market.get_rfqs(market.account("desk")).rows

    past = ledger.rfqs.filter(pl.col("target_cost_dollars") > 0)
    known = set(past["market_ticker"].to_list())
    later = [row for row in rows if row["created_ts"] > "2026-11-20T12"]
    assert len(later) > 50
    assert sum(row["market_ticker"] in known for row in later) < len(later) / 2
