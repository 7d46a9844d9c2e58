"""The sandbox's pages for people, and servers beside each other."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import fields
from datetime import timedelta

import polars as pl
import pytest

from pipelines.sandbox import Behavior, Faults, ManualClock, Market, Shape, serve, simulate
from pipelines.sandbox.control import Drift
from tests.sandbox.conftest import NOON

COMBO = "KXMVECROSSCATEGORY-S2026ABCDEF0123-0123456789A"


def test_the_status_page_tells_who_can_connect_and_how(market, parties):
    parties.desk.create_rfq()
    origin = parties.exchange.base_url.removesuffix("/trade-api/v2")

    page = parties.http.get(origin + "/")

    assert page.status_code == 200
    assert parties.desk.account.api_key_id in page.text
    assert parties.exchange.base_url in page.text
    assert "1 open RFQs" in page.text
    assert "<td>201</td><td>1</td>" in page.text
    assert "PRIVATE KEY" not in page.text


def test_the_status_page_shows_trades_by_the_hour(serving):
    """Those of the past and of the present, by the market's clock, from 12 to 15 o'clock."""
    clock = ManualClock(NOON + timedelta(hours=1))
    market = Market(clock=clock, behavior=Behavior(rate_limits=False))
    for name in ("desk", "maker"):
        market.add_account(name, key="ed25519")
    ledger = simulate(market, seed=1, days=1 / 24, rfqs_per_day=20_000)
    desk, maker = market.account("desk"), market.account("maker")
    for hour in (13, 14, 14):
        rfq_id = market.create_rfq(desk, market_ticker=f"{COMBO}{hour}", contracts=1)
        quote_id = market.create_quote(maker, rfq_id=rfq_id, yes_bid="0.1234", no_bid="0.5")
        market.accept_quote(desk, quote_id, "yes")
        market.confirm_quote(maker, quote_id)
        clock.advance(1_801)
    here = serving(market)
    origin = here.exchange.base_url.removesuffix("/trade-api/v2")
    past = ledger.quotes.filter(pl.col("status") == "executed")["executed_ts"].to_list()
    by_hour = Counter(moment.hour for moment in past) + Counter([13, 13, 14])

    page = here.http.get(origin + "/").text

    for hour in (12, 13, 14):
        assert f"<td>2026-11-20 {hour}:00</td><td>{by_hour[hour]}</td>" in page
    assert len(past) > 5
    assert "2026-11-20T14:30:03" in page
    assert desk.communications_id not in page
    assert "0.1234" not in page


def test_the_status_page_runs_no_scripts(parties):
    """A browser runs nothing of the status page and no other host shows it."""
    origin = parties.exchange.base_url.removesuffix("/trade-api/v2")

    page = parties.http.get(origin + "/")
    rebound = parties.http.get(origin + "/", headers={"Host": "example.com"})

    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "<script" not in page.text
    assert re.findall(r"""(?:src|href)=["'](?!/)""", page.text) == []
    assert rebound.status_code == 403


def test_two_sandboxes_do_not_share_anything(http):
    with serve(Market()) as one, serve(Market()) as two:
        http.get(one.base_url + "/account/endpoint_costs")

        assert one.base_url != two.base_url
        assert (len(one.requests), len(two.requests)) == (1, 0)


def test_an_account_name_is_used_once_and_fits_a_file():
    market = Market()
    market.add_account("desk", key="ed25519")

    for name in ("desk", "", "../escape", "With Space"):
        with pytest.raises(ValueError, match="name"):
            market.add_account(name, key="ed25519")


def test_the_status_page_shows_every_switch_as_it_is_now(market, parties):
    market.behavior = Behavior(rate_limits=False, confirm_window_s=12.5)
    market.faults.before_page[2] = Drift("close_oldest_rfq", market)
    origin = parties.exchange.base_url.removesuffix("/trade-api/v2")

    page = parties.http.get(origin + "/").text

    for settings in (Behavior(), Faults(), Shape()):
        for item in fields(settings):
            assert f"<td>{item.name}</td>" in page
    assert "<td>12.5</td>" in page
    assert "<td>2 close_oldest_rfq</td>" in page
