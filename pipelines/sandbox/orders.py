"""What a requester or a maker may ask for: sizes, prices and their limits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipelines.sandbox.listings import Listing
from pipelines.sandbox.refusal import invalid
from pipelines.sandbox.rows import TICKS_PER_DOLLAR, parse_count, parse_dollars

MAX_SUBACCOUNT = 63

_TICKER = re.compile(r"[A-Za-z0-9._-]{1,120}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RfqOrder:
    """A new RFQ as asked for. Exactly one of contracts and target cost is above zero."""

    market_ticker: str
    contracts_hundredths: int
    target_cost_ticks: int
    excludes_fees: bool = False
    obscured: bool = False
    rest_remainder: bool = False
    subaccount: int | None = None


@dataclass(frozen=True, slots=True)
class QuoteOrder:
    """A new quote as asked for; a bid of 0 leaves that side out."""

    yes_bid_ticks: int
    no_bid_ticks: int
    rest_remainder: bool = False
    post_only: bool = False
    subaccount: int | None = None


def requested_contracts(contracts: int | None, contracts_fp: str | None) -> int:
    """Hundredths of contracts; 0 if neither form is given. Both must agree."""
    whole = None if contracts is None else contracts * 100
    exact = None if contracts_fp is None else parse_count(contracts_fp)
    if contracts_fp is not None and exact is None:
        raise invalid("contracts_fp must be a count with up to 2 decimals")
    if whole is not None and exact is not None and whole != exact:
        raise invalid("contracts and contracts_fp must match")
    return whole if whole is not None else exact or 0


def requested_target_cost(centi_cents: int | None, target_cost_dollars: str | None) -> int:
    """Ticks of target cost (a centi-cent is one tick); 0 if neither form is given."""
    exact = None if target_cost_dollars is None else parse_dollars(target_cost_dollars)
    if target_cost_dollars is not None and exact is None:
        raise invalid("target_cost_dollars must be an amount with up to 4 decimals")
    if centi_cents is not None and exact is not None and centi_cents != exact:
        raise invalid("target_cost_centi_cents and target_cost_dollars must match")
    return centi_cents if centi_cents is not None else exact or 0


def check_rfq(order: RfqOrder) -> None:
    """Refuse an order without a size, with two sizes, or with a negative one."""
    if not _TICKER.fullmatch(order.market_ticker):
        raise invalid("market_ticker must be letters, digits, dots, dashes and underscores")
    if min(order.contracts_hundredths, order.target_cost_ticks) < 0:
        raise invalid("size must be positive")
    if (order.contracts_hundredths > 0) == (order.target_cost_ticks > 0):
        raise invalid("exactly one of contracts and target cost must be given")
    if order.excludes_fees and not order.target_cost_ticks:
        raise invalid("target_cost_excludes_fees needs a target cost")
    _check_subaccount(order.subaccount)


def bid_ticks(name: str, text: str) -> int:
    """Ticks of a bid below one dollar."""
    ticks = parse_dollars(text)
    if ticks is None or ticks >= TICKS_PER_DOLLAR:
        raise invalid(f"{name} must be a price below 1 dollar with up to 4 decimals")
    return ticks


def check_quote(order: QuoteOrder, listing: Listing, enforce_price_grid: bool) -> None:
    """Refuse a quote that offers nothing, crosses itself or is off the market's grid."""
    bids = (order.yes_bid_ticks, order.no_bid_ticks)
    if not any(bids):
        raise invalid("yes_bid and no_bid cannot both be zero")
    if sum(bids) > TICKS_PER_DOLLAR:
        raise invalid("yes_bid and no_bid cannot add up to more than 1 dollar")
    if enforce_price_grid and any(bid % price_step_ticks(bid, listing.is_combo) for bid in bids):
        raise invalid("price is not on the market's grid")
    _check_subaccount(order.subaccount)


def price_step_ticks(ticks: int, is_combo: bool) -> int:
    """Grid step at a price: one cent, on combos $0.001 and $0.0001 within a cent of 0 and 1."""
    if not is_combo:
        return 100
    return 1 if ticks < 100 or ticks > 9_900 else 10


def _check_subaccount(subaccount: int | None) -> None:
    if subaccount is not None and not 0 <= subaccount <= MAX_SUBACCOUNT:
        raise invalid(f"subaccount must be between 0 and {MAX_SUBACCOUNT}")
