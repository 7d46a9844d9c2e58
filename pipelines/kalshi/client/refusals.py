"""What a refusal of the exchange says, in words that are safe to print.

Refusals come in four envelopes: `{"error": {"code", "message", "details"}}`, the same three fields
without the envelope, `{"msg": …}`, and `{"error": "…"}`.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from pipelines.kalshi.client.errors import (
    ClockRefused,
    CredentialsRefused,
    CursorRefused,
    ExchangeError,
    ExchangeUnavailable,
    NotFound,
    RequestRefused,
)
from pipelines.kalshi.client.json_body import json_object
from pipelines.kalshi.client.rate_budget import path_shape
from pipelines.kalshi.client.transport import Reply

LARGEST_SKEW_S = 5.0
_LONGEST_TEXT = 200
# Redaction shortens, so more is read than shown; never the 32 MiB that a body may have.
_LONGEST_READ = 2000
# Ids, hashes, signatures: long runs with a digit in them, which error codes do not have.
_TOKEN = re.compile(r"(?=[A-Za-z_\-+/=]*\d)[\w\-+/=]{16,}|[\w\-+/=]{64,}")
_SCOPE_ADVICE = (
    "Where the exchange names a missing scope, create a key that has it: reading needs read, "
    "RFQs and quotes are written with write::trade."
)

_BETWEEN_ADVICE = (
    "It says nothing of the key: check the way to the exchange and the base URL, then run again."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """The request a refusal answers; *hidden* is text that no message may repeat."""

    method: str
    path: str
    hidden: str = field(repr=False)
    has_cursor: bool = False

    @property
    def name(self) -> str:
        return f"{self.method} /{path_shape(self.path)}"


def refusal(reply: Reply, asked: Asked, unclear: str = "") -> ExchangeError:
    """The error for a status that no further attempt will change.

    The exchange refuses in JSON. What refuses in anything else stands between us and it, and says
    nothing of the key, the cursor or the record; *unclear* is what it leaves open.
    """
    try:
        said = json_object(reply.body)
    except ValueError:
        return _refused_in_between(reply, asked, unclear)
    code, text = _code_and_text(said)
    code, text = (redacted(part, asked.hidden) for part in (code, text))
    what = f"{asked.name}: HTTP {reply.status} {code or ''}{': ' if code and text else ''}{text}"
    status = reply.status
    if status == 401:
        note = _skew_note(reply)
        return ClockRefused(what.rstrip() + note) if note else CredentialsRefused(what.rstrip())
    if status == 403:
        return CredentialsRefused(what.rstrip(), advice=_SCOPE_ADVICE)
    kind: type[RequestRefused] = RequestRefused
    advice = None
    if status == 400 and asked.has_cursor:
        kind = CursorRefused
    elif status == 404 and "*" in path_shape(asked.path):
        kind = NotFound
    elif status == 404 or 300 <= status < 400:
        advice = "Check the base URL: this is not how the exchange answers there."
    return kind(what.rstrip(), status=status, code=code or None, advice=advice)


def redacted(text: str, hidden: str = "") -> str:
    """*text* on one short line, without ids, keys, signatures and control characters."""
    # Formatting characters too (category Cf): they can reorder what a terminal shows.
    kept = text[:_LONGEST_READ]
    line = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in kept)
    if hidden:
        line = line.replace(hidden, "<hidden>")
    line = _TOKEN.sub("<hidden>", line)
    line = " ".join(line.split())
    return line if len(line) <= _LONGEST_TEXT else line[:_LONGEST_TEXT] + "…"


def is_json(reply: Reply) -> bool:
    """Whether *reply* says that its body is JSON."""
    return _content_type(reply) == "application/json"


def body_type(reply: Reply, asked: Asked) -> str:
    """The content type that *reply* claims, fit to be shown."""
    return redacted(reply.headers.get("content-type", ""), asked.hidden) or "of no type"


def _content_type(reply: Reply) -> str:
    kind: str = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind


def _refused_in_between(reply: Reply, asked: Asked, unclear: str) -> ExchangeUnavailable:
    kind = "that is no JSON object" if is_json(reply) else f"that is {body_type(reply, asked)}"
    text = redacted(reply.body[:_LONGEST_READ].decode("utf-8", "replace"), asked.hidden)
    return ExchangeUnavailable(
        f"{asked.name}: HTTP {reply.status} with a body {kind}, as the exchange never refuses: "
        f"something in front of it does (proxy, firewall, login){': ' if text else ''}{text}",
        advice=f"{_BETWEEN_ADVICE} {unclear}".strip(),
    )


def _code_and_text(said: dict[str, Any]) -> tuple[str, str]:
    envelope = said.get("error", said)
    if not isinstance(envelope, dict):
        return "", str(envelope)
    parts = (envelope.get(key) for key in ("message", "msg", "details"))
    text = "; ".join(part for part in parts if isinstance(part, str) and part)
    code = envelope.get("code")
    return code if isinstance(code, str) else "", text


def _skew_note(reply: Reply) -> str:
    """Names the clock where it is the likely reason: signatures carry the time."""
    # A sandbox dates by its market's clock and checks signatures by this machine's.
    if reply.date is None or "sandbox-market" in reply.headers:
        return ""
    skew_s = (reply.received_ts - reply.date).total_seconds()
    if abs(skew_s) <= LARGEST_SKEW_S:
        return ""
    side = "ahead of" if skew_s > 0 else "behind"
    return f" (clock skew: this machine is {abs(skew_s):.0f} s {side} the exchange; correct it)"
