"""A body as a JSON object, once its structure is known to be of a size that can be held.

Python needs up to a hundred bytes for a value that takes two in JSON. So values and depth are
counted on the bytes, which takes milliseconds, and only what may be an answer is parsed.
"""

import json
import re
from typing import Any

# The largest documented page, 100 RFQs with 40 legs each, has 22,000 values.
MOST_VALUES = 300_000
# The documented answers are four deep; the parsers behind this one recurse.
DEEPEST = 64

_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_TEXT = re.compile(rb'"[^"]*"')
_NEITHER_BRACKET_NOR_QUOTE = bytes(byte for byte in range(256) if byte not in b'[]{}"')


def json_object(body: bytes) -> dict[str, Any]:
    """*body* as a JSON object. Raises ValueError, in words of ours only, for anything else."""
    _demand_bounded(body)
    try:
        parsed = json.loads(body, parse_int=_whole_number)
    except (ValueError, RecursionError):
        raise ValueError("the body was not JSON") from None
    if not isinstance(parsed, dict):
        raise ValueError("the JSON was not an object")
    return parsed


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
