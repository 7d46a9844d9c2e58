"""List queries: which rows are asked for, and where the next page begins."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Protocol, Self

from pipelines.sandbox.refusal import invalid
from pipelines.sandbox.rows import Quote, Rfq

Key = tuple[int, str]
"""Place of a row in a list: (-updated_us, id), ascending, so last updated comes first."""

ALWAYS_US = 1 << 61


class Placed(Protocol):
    """Anything with a place in a list."""

    @property
    def id(self) -> str: ...

    @property
    def updated_us(self) -> int: ...


@dataclass(frozen=True, slots=True)
class RfqFilters:
    """What a getRFQs call asks for. `requester` is a user id."""

    status: str | None = None
    market_ticker: str | None = None
    event_ticker: str | None = None
    subaccount: int | None = None
    requester: str | None = None

    def admits(self, rfq: Rfq) -> bool:
        return (
            (self.status is None or rfq.status == self.status)
            and (self.requester is None or rfq.requester.user_id == self.requester)
            and (self.market_ticker is None or rfq.listing.ticker == self.market_ticker)
            and (self.event_ticker is None or rfq.listing.event_ticker == self.event_ticker)
            and (self.subaccount is None or (rfq.subaccount or 0) == self.subaccount)
        )


@dataclass(frozen=True, slots=True)
class QuoteFilters:
    """What a getQuotes call asks for. Times are inclusive bounds on updated_ts, or created_ts."""

    status: str | None = None
    rfq_id: str | None = None
    maker: str | None = None
    requester: str | None = None
    low_us: int = -ALWAYS_US
    high_us: int = ALWAYS_US
    by_creation: bool = False

    def admits(self, quote: Quote) -> bool:
        moment_us = quote.created_us if self.by_creation else quote.updated_us
        return (
            self.low_us <= moment_us <= self.high_us
            and (self.maker is None or quote.maker.user_id == self.maker)
            and (self.requester is None or quote.rfq.requester.user_id == self.requester)
            and (self.status is None or quote.status == self.status)
            and (self.rfq_id is None or quote.rfq.id == self.rfq_id)
        )


@dataclass(frozen=True, slots=True)
class Cursor:
    """An opaque place in one list of one caller: page *number* begins behind *key*,
    the first page at the top."""

    number: int
    key: Key | None

    def text(self, binding: str) -> str:
        payload = json.dumps([binding, self.number, self.key], separators=(",", ":"))
        return base64.urlsafe_b64encode(payload.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str, binding: str) -> Self:
        """Read what `text` wrote; 400 if it is malformed or belongs to another query."""
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            payload: Any = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            bound_to, number, key = payload
            place = None if key is None else (_within_time(int(key[0])), str(key[1]))
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise invalid("invalid cursor") from error
        if bound_to != binding or not isinstance(number, int):
            raise invalid("invalid cursor")
        return cls(number, place)


def _within_time(updated: int) -> int:
    if abs(updated) > ALWAYS_US:
        raise ValueError(updated)
    return updated


def binding(caller_id: str, filters: RfqFilters | QuoteFilters) -> str:
    """What ties a cursor to its caller and filters."""
    return hashlib.sha256(f"{caller_id} {filters!r}".encode()).hexdigest()[:16]
