"""A body as a JSON object, once its structure is known to be of a size that can be held.

Python needs up to a hundred bytes for a value that takes two in JSON. So values and depth are
counted on the bytes, which takes milliseconds, and only what may be an answer is parsed. The rows
of a list are cut out and stay bytes: that takes a tenth of the time.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

# The largest documented page, 100 RFQs with 40 legs each, has 22,000 values.
MOST_VALUES = 300_000
# The documented answers are four deep; the parsers behind this one recurse.
DEEPEST = 64

_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_TEXT = re.compile(rb'"[^"]*"')
_NEITHER_BRACKET_NOR_QUOTE = bytes(byte for byte in range(256) if byte not in b'[]{}"')


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list. Rows of equal bytes say the same; other bytes may say it too."""

    n_rows: int
    cursor: str | None
    rows: tuple[bytes, ...] | None
    """None for a page that only a forgiving parser takes (NaN, a byte order mark)."""


def list_page(body: bytes, key: str) -> ListPage:
    """*body* as a page of the list under *key*. Raises ValueError, in words of ours only.

    So it does for a list with a row that is no object, as that shows no id to find it by.
    """
    _demand_bounded(body)
    cut = _cut(body, key)
    if cut is not None:
        return ListPage(len(cut.rows), cut.cursor, tuple(map(bytes, cut.rows)))
    page = _parsed(body)
    rows, cursor = page.get(key), page.get("cursor")
    if not isinstance(rows, list):
        raise ValueError(f"the body had no list under {key!r}")
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"a row under {key!r} was no object")
    if not (cursor is None or isinstance(cursor, str)):
        raise ValueError("the page's cursor was no text that could be one")
    return ListPage(len(rows), cursor, None)


def json_object(body: bytes) -> dict[str, Any]:
    """*body* as a JSON object. Raises ValueError, in words of ours only, for anything else."""
    _demand_bounded(body)
    return _parsed(body)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body, parse_int=_whole_number)
    except (ValueError, RecursionError):
        raise ValueError("the body was not JSON") from None
    if not isinstance(parsed, dict):
        raise ValueError("the JSON was not an object")
    return parsed


def _cut(body: bytes, key: str) -> Any:
    """The rows and the cursor of a sound page; None for one that may be none."""
    try:
        page = _decoder(key).decode(body)
        # What is skipped is not checked for being text.
        body.decode()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return page if all(row.startswith(b"{") for row in map(bytes, page.rows)) else None


@cache
def _decoder(key: str) -> "msgspec.json.Decoder[Any]":
    rows = ("rows", list[msgspec.Raw], msgspec.field(name=key))
    return msgspec.json.Decoder(msgspec.defstruct("_Page", [rows, ("cursor", str | None, None)]))


def _demand_bounded(body: bytes) -> None:
    # Each value but the first follows a comma or an opening bracket; more in texts do no harm.
    values = body.count(b",") + body.count(b"[") + body.count(b"{")
    if values > MOST_VALUES:
        raise ValueError(f"the JSON held more than {MOST_VALUES:,} values")
    brackets = _brackets(body)
    for _ in range(DEEPEST):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    if len(brackets) > DEEPEST:
        raise ValueError(f"the JSON was nested too deeply (more than {DEEPEST} levels) or cut off")


def _brackets(body: bytes) -> bytes:
    """The brackets of *body* that are not part of a text."""
    structure = _ESCAPED.sub(b"", body) if b"\\" in body else body
    structure = structure.translate(None, _NEITHER_BRACKET_NOR_QUOTE).replace(b'""', b"")
    return _TEXT.sub(b"", structure) if b'"' in structure else structure


def _whole_number(digits: str) -> float:
    # Python refuses to read thousands of digits: a bad field of one row, not a bad page.
    return int(digits) if len(digits) < 20 else float(digits)
