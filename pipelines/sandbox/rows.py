"""RFQs and quotes as the exchange holds them, with every private field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines.sandbox.fixed_point import offered_hundredths
from pipelines.sandbox.listings import Listing
from pipelines.sandbox.parties import Party

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
        return offered_hundredths(self.rfq.target_cost_ticks, bid_ticks, self.rfq.excludes_fees)
