"""What happened on the exchange, one entry per transition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pipelines.sandbox.rows import Quote, Rfq


@dataclass(frozen=True, slots=True)
class Event:
    """One transition as it happened, whoever may see it.

    `party_id` is the communications id of the quote's maker, or else of the RFQ's requester.
    """

    at_us: int
    kind: str
    rfq_id: str
    quote_id: str | None
    party_id: str

    @classmethod
    def of(cls, at_us: int, kind: str, row: Rfq | Quote) -> Self:
        if isinstance(row, Rfq):
            return cls(at_us, kind, row.id, None, row.requester.communications_id)
        return cls(at_us, kind, row.rfq.id, row.id, row.maker.communications_id)
