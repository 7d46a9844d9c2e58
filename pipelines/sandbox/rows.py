"""RFQs and quotes as the exchange holds them, with every private field, in exact integers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal

from pipelines.sandbox.accounts import Party
from pipelines.sandbox.listings import Listing

TICKS_PER_DOLLAR = 10_000
HUNDREDTHS_PER_CONTRACT = 100

_DOLLARS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,4})?", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,2})?", re.ASCII)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (isoformat without an offset; we add the Z)


def parse_dollars(text: str) -> int | None:
    """Ticks in *text* ("0.4070" is 4070), or None if it is no fixed-point dollar amount."""
    return _scaled(text, 4) if _DOLLARS.fullmatch(text) else None


def parse_count(text: str) -> int | None:
    """Hundredths in *text* ("8.19" is 819), or None if it is no fixed-point count."""
    return _scaled(text, 2) if _COUNT.fullmatch(text) else None


def _scaled(text: str, digits: int) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(digits, "0"))


def dollars(ticks: int) -> str:
    """Four decimals, as the exchange writes RFQ and quote prices."""
    return f"{ticks // 10_000}.{ticks % 10_000:04d}"


def count(hundredths: int) -> str:
    """Two decimals, as the exchange writes every size."""
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def timestamp(moment_us: int) -> str:
    """RFC 3339 in UTC with trailing zeros of the fraction trimmed, as Go writes it."""
    second, fraction_us = divmod(moment_us, 1_000_000)
    if not fraction_us:
        return _second(second) + "Z"
    return f"{_second(second)}.{fraction_us:06d}".rstrip("0") + "Z"


@lru_cache(maxsize=10_000)
def _second(second: int) -> str:
    # Rows of one page share most of their seconds, and formatting is what a page costs most.
    return (_NAIVE_EPOCH + timedelta(seconds=second)).isoformat()


def quoted_hundredths(target_cost_ticks: int, bid_ticks: int, excludes_fees: bool) -> int:
    """Contracts (in hundredths) that *target_cost* buys from a maker who bids *bid*.

    The requester pays p = 1 - bid. With T dollars: floor to 0.01 of T / (p + 0.07 p (1 - p)),
    the 0.07 p (1 - p) being the taker fee; of T / p where the target cost excludes fees.
    """
    price = TICKS_PER_DOLLAR - bid_ticks
    if excludes_fees:
        return target_cost_ticks * HUNDREDTHS_PER_CONTRACT // price
    # p + 0.07 p (1-p) = price * (10^6 + 7 * bid) / 10^10, so nothing is rounded before the floor.
    return target_cost_ticks * 10**8 // (price * (10**6 + 7 * bid_ticks))


Side = Literal["yes", "no"]
RfqStatus = Literal["open", "closed"]
QuoteStatus = Literal["open", "accepted", "confirmed", "executed", "cancelled"]


@dataclass(slots=True, eq=False)
class Rfq:
    """One request for quotes: either *contracts* or *target cost* is set, the other is 0."""

    id: str
    requester: Party
    listing: Listing
    contracts_hundredths: int
    target_cost_ticks: int
    created_us: int
    updated_us: int
    status: RfqStatus = "open"
    excludes_fees: bool = False
    obscured: bool = False
    rest_remainder: bool = False
    subaccount: int | None = None
    executed: bool = False
    cancelled_us: int | None = None
    cancellation_reason: str | None = None


@dataclass(slots=True, eq=False)
class Quote:
    """One maker's offer on one RFQ. A bid of 0 ticks means the side is not offered."""

    id: str
    rfq: Rfq
    maker: Party
    yes_bid_ticks: int
    no_bid_ticks: int
    created_us: int
    updated_us: int
    status: QuoteStatus = "open"
    rest_remainder: bool = False
    post_only: bool = False
    subaccount: int | None = None
    accepted_side: Side | None = None
    accepted_us: int | None = None
    confirmed_us: int | None = None
    executed_us: int | None = None
    cancelled_us: int | None = None
    cancellation_reason: str | None = None

    def bid_ticks(self, side: Side) -> int:
        return self.yes_bid_ticks if side == "yes" else self.no_bid_ticks

    def size_hundredths(self, bid_ticks: int) -> int:
        """Contracts (in hundredths) offered at *bid_ticks*; a quote is for the whole RFQ."""
        if not self.rfq.target_cost_ticks:
            return self.rfq.contracts_hundredths
        return quoted_hundredths(self.rfq.target_cost_ticks, bid_ticks, self.rfq.excludes_fees)
