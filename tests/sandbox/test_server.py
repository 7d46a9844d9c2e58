"""The sandbox's pages for people, and servers beside each other."""

from __future__ import annotations

from dataclasses import fields

import pytest

from pipelines.sandbox import Behavior, Faults, Market, Shape, serve
from pipelines.sandbox.drift import Drift


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
