"""Whole runs: what changed on the exchange is loaded, and nothing else."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from pipelines.job import Outcome
from pipelines.kalshi.extraction import LoadSettings
from pipelines.sandbox import Account, ManualClock, Market
from pipelines.store.database import Database
from tests.running import read

pytestmark = pytest.mark.usefixtures("few_marts")

Run = Callable[..., Outcome]
NOTHING_NEW = {"rfq_versions": 0, "quote_versions": 0}


def list_calls(exchange: Any) -> list[str]:
    lists = ("/communications/rfqs", "/communications/quotes")
    return [request[1] for request in exchange.requests if request[1].endswith(lists)]


def test_a_first_run_publishes_what_the_exchange_holds(
    run: Run, market: Market, desk: Account, maker: Account, database: Database
) -> None:
    rfq = market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")
    quote = market.create_quote(maker, rfq_id=rfq, yes_bid="0.4000", no_bid="0.5500")

    outcome = run()

    assert outcome.new_versions == {"rfq_versions": 1, "quote_versions": 1}
    assert read(database, "select rfq_id, state, visibility from marts.rfq_facts") == [
        (rfq, "open", "own")
    ]
    assert read(database, "select quote_id, quote_spread from marts.quote_facts") == [
        (quote, Decimal("0.05"))
    ]


def test_a_second_run_with_no_changes_adds_nothing_and_lists_each_pass_once(
    run: Run, exchange: Any, market: Market, desk: Account, maker: Account, clock: ManualClock
) -> None:
    for n in range(250):
        rfq = market.create_rfq(desk, market_ticker=f"KXONE-26-{n}", contracts_fp="10.00")
        market.create_quote(maker, rfq_id=rfq, yes_bid="0.4000", no_bid="0.5500")
        market.delete_rfq(desk, rfq)
        clock.advance(10)
        if n >= 150:
            market.create_rfq(desk, market_ticker=f"KXTWO-26-{n}", contracts_fp="10.00")
    run()
    clock.advance(600)
    exchange.requests.clear()

    outcome = run()

    assert outcome.new_versions == NOTHING_NEW
    assert sorted(path.rsplit("/", 1)[1] for path in list_calls(exchange)) == [
        "quotes",
        "quotes",
        "rfqs",
    ]


def test_a_changed_rfq_adds_its_new_version_and_nothing_else(
    run: Run, market: Market, desk: Account, clock: ManualClock, database: Database
) -> None:
    first = market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")
    market.create_rfq(desk, market_ticker="KXONE-26-B", contracts_fp="10.00")
    run()
    clock.advance(30)
    market.delete_rfq(desk, first)

    outcome = run()

    assert outcome.new_versions == {"rfq_versions": 1, "quote_versions": 0}
    states = dict(read(database, "select rfq_id, state from marts.rfq_facts"))
    assert states[first] == "closed_unfilled"
    assert sorted(states.values()) == ["closed_unfilled", "open"]


def test_a_changed_quote_adds_its_new_version_and_nothing_else(
    run: Run, market: Market, desk: Account, maker: Account, database: Database
) -> None:
    """Though it changed within the second in which it was read."""
    rfq = market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")
    quote = market.create_quote(maker, rfq_id=rfq, yes_bid="0.4000", no_bid="0.5500")
    run()
    market.accept_quote(desk, quote, accepted_side="no")

    outcome = run()

    assert outcome.new_versions == {"rfq_versions": 0, "quote_versions": 1}
    assert read(database, "select outcome from marts.quote_facts") == [("pending",)]


def test_an_executed_quote_has_the_requesters_price_and_side(
    run: Run, market: Market, desk: Account, maker: Account, clock: ManualClock, database: Database
) -> None:
    """A NO bid of 0.55 that is hit sells YES at 0.45; a YES bid of 0.40 sells NO at 0.60."""
    for side in ("no", "yes"):
        rfq = market.create_rfq(desk, market_ticker=f"KXONE-26-{side}", contracts_fp="10.00")
        quote = market.create_quote(maker, rfq_id=rfq, yes_bid="0.4000", no_bid="0.5500")
        clock.advance(2)
        market.accept_quote(desk, quote, accepted_side=side)
        clock.advance(1)
        market.confirm_quote(maker, quote)
    clock.advance(60)

    run()

    assert read(
        database,
        "select market_ticker, requester_side, requester_price_dollars, executed_contracts, state"
        " from marts.rfq_facts order by 1",
    ) == [
        ("KXONE-26-no", "buy_yes", Decimal("0.450000"), Decimal("10.00"), "executed"),
        ("KXONE-26-yes", "buy_no", Decimal("0.600000"), Decimal("10.00"), "executed"),
    ]


def test_a_lapsed_accept_is_not_a_fill(
    run: Run, market: Market, desk: Account, maker: Account, clock: ManualClock, database: Database
) -> None:
    rfq = market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")
    quote = market.create_quote(maker, rfq_id=rfq, yes_bid="0.4000", no_bid="0.5500")
    market.accept_quote(desk, quote, accepted_side="no")
    clock.advance(600)
    market.delete_rfq(desk, rfq)
    clock.advance(600)

    run()

    assert read(database, "select outcome from marts.quote_facts") == [("lapsed",)]
    assert read(
        database,
        "select sum(fill_rate_matured_numerator), sum(fill_rate_matured_denominator)"
        " from marts.fill_rates",
    ) == [(0, 1)]


def test_a_makers_run_sees_its_own_quotes_only(
    run: Run, market: Market, desk: Account, maker: Account, database: Database
) -> None:
    rival = market.add_account("rival", key="ed25519")
    rfq = market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")
    market.create_quote(maker, rfq_id=rfq, yes_bid="0.4000", no_bid="0.5500")
    quote = market.create_quote(rival, rfq_id=rfq, yes_bid="0.4100", no_bid="0.5500")

    run(rival)

    assert read(database, "select quote_id from marts.quote_facts") == [(quote,)]
    assert read(database, "select visibility from marts.rfq_facts") == [("quoted",)]


def test_scope_self_loads_only_our_own_rfqs(
    run: Run, market: Market, desk: Account, maker: Account, database: Database
) -> None:
    own = market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")
    market.create_rfq(maker, market_ticker="KXONE-26-A", contracts_fp="10.00")

    run(reach=LoadSettings(scope="self"))

    assert read(database, "select rfq_id from staging.rfqs") == [(own,)]
    assert read(database, "select scope from marts.build_info") == [("self",)]
    run()
    assert read(database, "select scope from marts.build_info") == [("market",)]


def test_an_rfq_that_only_a_quote_names_is_read_by_id(
    run: Run, market: Market, desk: Account, maker: Account, database: Database
) -> None:
    """Quoted by us, asked by a stranger: with scope self no list shows it."""
    rfq = market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")
    market.create_quote(maker, rfq_id=rfq, yes_bid="0.4000", no_bid="0.5500")

    run(maker, reach=LoadSettings(scope="self"))

    assert read(database, "select rfq_id, visibility from marts.rfq_facts") == [(rfq, "quoted")]


def test_the_market_wide_list_is_read_only_down_to_what_is_known(
    run: Run, exchange: Any, market: Market, desk: Account, clock: ManualClock
) -> None:
    for n in range(350):
        market.create_rfq(
            market.add_account(f"a{n}", key="ed25519"),
            market_ticker="KXONE-26-A",
            contracts_fp="10.00",
        )
        clock.advance(10)
    run()
    clock.advance(30)
    market.create_rfq(desk, market_ticker="KXONE-26-B", contracts_fp="10.00")
    exchange.requests.clear()

    outcome = run()

    assert outcome.new_versions == {"rfq_versions": 1, "quote_versions": 0}
    assert sum(path.endswith("/rfqs") for path in list_calls(exchange)) == 1


def test_a_long_first_load_is_kept_in_slices(
    run: Run, market: Market, desk: Account, database: Database, clock: ManualClock
) -> None:
    for n in range(450):
        rfq = market.create_rfq(desk, market_ticker=f"KXONE-26-{n}", contracts_fp="1.00")
        market.delete_rfq(desk, rfq)
        clock.advance(1)

    run(reach=LoadSettings(rows_per_load=100))

    assert read(database, "select count(*) from staging.rfqs") == [(450,)]
    parts = "select count(*) from raw.extraction_runs where pass = 'rfqs_market'"
    ((loads,),) = read(database, parts)
    assert loads > 1
