"""What the operations send and expect: paths, parameters, the shape of an answer."""

import re
from decimal import Decimal
from typing import Any

from pipelines.kalshi.errors import CursorRefused, RequestRefused
from pipelines.kalshi.session import Check
from pipelines.kalshi.transport import json_object

_LONGEST_CURSOR = 4096


def given(**fields: Any) -> dict[str, Any]:
    """What was given, without what was not. Raises CursorRefused for what cannot be a cursor."""
    cursor = fields.get("cursor")
    if cursor and not (len(cursor) <= _LONGEST_CURSOR and cursor.isascii()):
        raise CursorRefused("The cursor is longer than any or not ASCII; nothing was sent")
    # An empty cursor is a first page. An empty filter is sent: dropped, it would read everything.
    absent = {"cursor"} if not cursor else set()
    return {name: v for name, v in fields.items() if v is not None and name not in absent}


def exact(amount: Decimal | str | None) -> str | None:
    """*amount* in plain digits, no exponent."""
    return f"{amount:f}" if isinstance(amount, Decimal) else amount


def rfq_path(rfq_id: str) -> str:
    """Raises RequestRefused for an id that is not a UUID."""
    return f"/communications/rfqs/{_id(rfq_id)}"


def quote_path(quote_id: str, rfq_id: str | None) -> str:
    """Below its RFQ where that is known, the form that the exchange prefers."""
    scope = rfq_path(rfq_id) if rfq_id else "/communications"
    return f"{scope}/quotes/{_id(quote_id)}"


def _id(value: str) -> str:
    # httpx would tidy up an id with dots and slashes into another path.
    if not re.fullmatch(r"[0-9a-fA-F-]{36}", value):
        raise RequestRefused("An id is not a UUID of 36 characters; nothing was sent")
    return value


def holds(key: str, kind: type[list[Any]] | type[dict[str, Any]]) -> Check:
    """A check that a body is a JSON object with a list or an object under *key*."""

    def check(body: bytes) -> None:
        if not isinstance(json_object(body).get(key), kind):
            what = "list" if kind is list else "object"
            raise ValueError(f"the body had no {what} under {key!r}")

    return check


def text_under(body: bytes, key: str) -> str:
    """The text under *key* of a JSON body. Raises ValueError."""
    value = json_object(body).get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"the body had no text under {key!r}")
    return value
