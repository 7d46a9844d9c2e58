"""What the operations send and expect: paths, parameters, the shape of an answer."""

import re
from decimal import Decimal
from typing import Any

from pipelines.kalshi.client.errors import CursorRefused, RequestRefused
from pipelines.kalshi.client.json_body import json_object, list_page
from pipelines.kalshi.client.session import Check

_LONGEST_CURSOR = 4096
_LONGEST_ID = 200
UUID = re.compile(r"[0-9a-fA-F-]{36}")
# A page may hold more rows than asked for, as limits change; not so many that reading it hurts.
MOST_ROWS_PER_ROW_ASKED = 10


def given(**fields: Any) -> dict[str, Any]:
    """What was given, without what was not. Raises CursorRefused for what cannot be a cursor."""
    cursor = fields.get("cursor")
    if cursor and not _is_cursor(cursor):
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
    if not UUID.fullmatch(value):
        raise RequestRefused("An id is not a UUID of 36 characters; nothing was sent")
    return value


def lists(key: str, limit: int) -> Check:
    """A check that a body is a page of at most ten times *limit* objects under *key*."""

    def check(body: bytes) -> None:
        page = list_page(body, key)
        if page.n_rows > MOST_ROWS_PER_ROW_ASKED * limit:
            raise ValueError(f"the page held {page.n_rows:,} {key} where {limit:,} were asked for")
        if page.cursor and not _is_cursor(page.cursor):
            raise ValueError("the page's cursor was no text that could be one")

    return check


def holds(key: str) -> Check:
    """A check that a body is a JSON object with an object under *key*."""

    def check(body: bytes) -> None:
        if not isinstance(json_object(body).get(key), dict):
            raise ValueError(f"the body had no object under {key!r}")

    return check


def _is_cursor(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_CURSOR and value.isascii()


def text_under(body: bytes, key: str) -> str:
    """The text under *key* of a JSON body. Raises ValueError."""
    value = json_object(body).get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"the body had no text under {key!r}")
    if len(value) > _LONGEST_ID or not value.isprintable():
        raise ValueError(f"the text under {key!r} was no id")
    return value
