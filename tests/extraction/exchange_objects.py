"""Builders of RFQs and quotes on an exchange in this process, and the state that a store shows."""

from dataclasses import replace

from pipelines.kalshi.versions import GONE
from pipelines.sandbox import ManualClock, Market
from pipelines.sandbox.accounts import Party
from tests.extraction.loading import SMALL, Store

MARKET = replace(SMALL, scope="market")
BY_TWOS = replace(SMALL, rfqs_per_page=2, quotes_per_page=2)


def create_rfq(market: Market, who: Party, n: int = 0) -> str:
    return market.create_rfq(who, market_ticker=f"KX-{n}", contracts_fp="1.00")


def create_quote(market: Market, maker: Party, rfq_id: str) -> str:
    return market.create_quote(maker, rfq_id=rfq_id, yes_bid="0.4000", no_bid="0.5500")


def create_rfqs(market: Market, clock: ManualClock, who: Party, times: int) -> list[str]:
    ids = []
    for n in range(times):
        ids.append(create_rfq(market, who, n))
        clock.advance(1)
    return ids


def create_quotes(
    market: Market, clock: ManualClock, me: Party, other: Party, times: int
) -> list[str]:
    quotes = []
    for rfq_id in create_rfqs(market, clock, me, times):
        quotes.append(create_quote(market, other, rfq_id))
        clock.advance(1)
    return quotes


def status(store: Store, entity: str, id_: str) -> str | None:
    row = store.current(entity).get(id_)
    return row[0] if row else None


def gone(store: Store, resource: str) -> set[str]:
    return {
        row[0]
        for row in store.rows(
            GONE.format(
                tombstones="raw.tombstones", resource=resource, since="'-infinity'::timestamptz"
            )
        )
    }
