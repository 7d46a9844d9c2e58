"""Answers that are not what was asked, and what a run makes of them: through the real command."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import duckdb
import pytest

from pipelines.kalshi.client.session import RetryPolicy
from pipelines.sandbox import Account, ManualClock, Market, visibility
from pipelines.store.database import Database
from tests.running import Command, Ended, read

pytestmark = pytest.mark.usefixtures("few_marts")

Rfq = Callable[[], Ended]
Corrupt = Callable[..., None]
BIDS = {"yes_bid": "0.4000", "no_bid": "0.5500"}
FILTER = "no list of quotes has shown for 7 days or longer that it filters by update"


@pytest.fixture
def rfq_run(rfq: Command, key: Any, exchange: Any, database: Database) -> Rfq:
    """`rfq run` against the sandbox."""
    return lambda: rfq("run", "--base-url", exchange.base_url, "--database", database.path)


@pytest.fixture
def corrupt(monkeypatch: pytest.MonkeyPatch) -> Corrupt:
    """Let the rows of some ids, or of all, be served changed; nothing given ends it."""

    def corrupt(change: Callable[[dict[str, Any]], Any] | None = None, *ids: str) -> None:
        for name in ("visible_rfq", "visible_quote"):
            real = getattr(visibility, name)

            def served(record: Any, *rest: Any, real: Any = real) -> Any:
                row = real(record, *rest)
                is_meant = change and (not ids or record.id in ids)
                return change(row) if change and is_meant else row

            monkeypatch.setattr(f"pipelines.sandbox.market.{name}", served)

    return corrupt


def private(database: Database, query: str) -> list[Any]:
    with duckdb.connect(database.private_path, read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_pages_with_rows_that_are_no_objects_end_a_run_and_lose_nothing(
    rfq_run: Rfq,
    corrupt: Corrupt,
    market: Market,
    desk: Account,
    maker: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hurried = partial(RetryPolicy, pause=lambda seconds: None)
    monkeypatch.setattr("pipelines.kalshi.client.session.RetryPolicy", hurried)
    asked = [market.create_rfq(desk, market_ticker=f"KX-{n}", contracts_fp="1.00") for n in (1, 2)]
    quotes = [market.create_quote(maker, rfq_id=rfq_id, **BIDS) for rfq_id in asked]
    corrupt(lambda row: None, asked[0], quotes[0])

    ended = rfq_run()

    assert ended.code == 69
    assert "quotes: HTTP 200, but a row under 'quotes' was no object (5 attempts)" in ended.err, (
        ended.err
    )
    corrupt()
    assert rfq_run().code == 0
    assert {id_ for (id_,) in read(database, "select quote_id from staging.quotes")} == set(quotes)
    assert {id_ for (id_,) in read(database, "select rfq_id from staging.rfqs")} == set(asked)


def test_fills_are_held_where_quotes_are_listed_by_creation(
    rfq_run: Rfq,
    market: Market,
    desk: Account,
    maker: Account,
    clock: ManualClock,
    database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Though every list is verified: open, accepted and confirmed quotes that execute later."""
    market.behavior = replace(market.behavior, quote_window_of="created_ts")

    def trade(name: str) -> str:
        asked = market.create_rfq(desk, market_ticker=f"KX-{name}", contracts_fp="1.00")
        return market.create_quote(maker, rfq_id=asked, **BIDS)

    opened, accepted, confirmed, lapsed = (trade(n) for n in ("o", "a", "c", "l"))
    clock.advance(600)
    for quote in (accepted, confirmed, lapsed):
        market.accept_quote(desk, quote, "no")
    market.confirm_quote(maker, confirmed)
    assert rfq_run().code == 0
    market.confirm_quote(maker, accepted)
    market.accept_quote(desk, opened, "no")
    market.confirm_quote(maker, opened)
    clock.advance(600)

    ended = rfq_run()

    assert ended.code == 0
    assert FILTER in caplog.text
    status = dict(read(database, "select quote_id, status from staging.quotes"))
    assert [status[q] for q in (opened, accepted, confirmed)] == ["executed"] * 3
    assert status[lapsed] == "accepted"
    counted = "select sum(rows_created_before_window), count(rows_created_before_window)"
    assert read(database, f"{counted} from raw.extraction_runs") == [(0, 4)]


def test_impossible_values_are_kept_counted_and_not_believed(
    rfq_run: Rfq,
    corrupt: Corrupt,
    market: Market,
    desk: Account,
    maker: Account,
    database: Database,
) -> None:
    sound, dear, short = (
        market.create_rfq(desk, market_ticker=f"KXMVE-{n}", contracts_fp="1.00") for n in range(3)
    )
    quotes = [market.create_quote(maker, rfq_id=r, **BIDS) for r in (sound, dear, short)]
    impossible = {
        quotes[1]: {"yes_bid_dollars": "1.4000", "no_contracts_fp": "-1.00"},
        quotes[2]: {"no_bid_dollars": "-0.5500", "rfq_target_cost_dollars": "-0.000001"},
        dear: {"mve_selected_legs": [{"side": "yes", "yes_settlement_value_dollars": "1.01"}]},
        short: {"contracts_fp": "-1.00"},
    }
    corrupt(lambda row: row | impossible.get(row["id"], {}))

    ended = rfq_run()

    assert ended.code == 0
    bids = dict(
        read(database, "select quote_id, (yes_bid_dollars, no_bid_dollars) from staging.quotes")
    )
    assert [tuple(map(str, bids[q])) for q in quotes] == [
        ("0.400000", "0.550000"),
        ("None", "0.550000"),
        ("0.400000", "None"),
    ]
    assert read(database, "select count(quote_spread) from marts.quote_facts") == [(1,)]
    assert read(
        database, "select rfq_id, contracts::varchar from staging.rfqs where contracts is null"
    ) == [(short, None)]
    legs = f"select yes_settlement_value_dollars from staging.rfq_legs where rfq_id = '{dear}'"
    assert read(database, legs) == [(None,)]
    counted = "select check_name, count from marts.data_quality where count > 0 and"
    assert dict(
        read(database, f"{counted} (check_name like '%out_of_bounds' or check_name like 'price%')")
    ) == {
        "price_above_one": 2,
        "quote_yes_bid_dollars_out_of_bounds": 1,
        "quote_no_bid_dollars_out_of_bounds": 1,
        "quote_no_contracts_fp_out_of_bounds": 1,
        "quote_rfq_target_cost_dollars_out_of_bounds": 1,
        "rfq_contracts_fp_out_of_bounds": 1,
        "rfq_yes_settlement_value_dollars_out_of_bounds": 1,
    }
    kept = private(
        database, "select id, reason, is_read_again from raw.rejected_rows order by reason"
    )
    assert kept == [
        (short, "contracts_fp out of bounds", False),
        (quotes[2], "no_bid_dollars and rfq_target_cost_dollars out of bounds", False),
        (quotes[1], "yes_bid_dollars and no_contracts_fp out of bounds", False),
        (dear, "yes_settlement_value_dollars out of bounds", False),
    ]
    assert read(database, "select sum(rejected_rows) from raw.extraction_runs") == [(0,)]


def test_fields_that_are_sent_with_nothing_in_them_are_missed_like_absent_ones(
    rfq_run: Rfq,
    corrupt: Corrupt,
    market: Market,
    desk: Account,
    maker: Account,
    database: Database,
) -> None:
    for n in range(10):
        asked = market.create_rfq(desk, market_ticker=f"KX-{n}", contracts_fp="1.00")
        market.create_quote(maker, rfq_id=asked, **BIDS)
    corrupt(lambda row: row | dict.fromkeys(("yes_bid_dollars", "no_bid_dollars"), "0.0000"))

    ended = rfq_run()

    assert ended.code == 65
    assert "10 of 20 new rows came without a bid, which every row has" in ended.err
    assert not database.path.exists()
