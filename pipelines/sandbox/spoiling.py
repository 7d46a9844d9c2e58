"""Answers gone wrong: statuses out of nowhere, spoiled bodies, surprises inside rows."""

from __future__ import annotations

import json
from typing import Any

from pipelines.sandbox.faults import Faults, Malformation
from pipelines.sandbox.refusal import Refused

_HTML = b"<!DOCTYPE html><html><body><h1>We will be back soon</h1></body></html>"
_NAMES = {500: "internal_server_error", 502: "bad_gateway", 503: "service_unavailable"}


def outage(status: int) -> Refused:
    """The refusal behind a status that was ordered as a fault."""
    if status == 429:
        return Refused(429, "too_many_requests", "too many requests", envelope="string")
    return Refused(status, _NAMES.get(status, "gateway_timeout"), "service in fail-fast")


def surprise(rows: list[dict[str, Any]], faults: Faults) -> None:
    """Change listed rows in place: a field nobody announced, a status nobody knows."""
    if faults.unknown_field is not None:
        for row in rows:
            row[faults.unknown_field] = {"since": "3.35.0"}
    if faults.unknown_status is not None and rows:
        rows[0]["status"] = faults.unknown_status


def spoil(content: bytes, how: Malformation, list_name: str) -> tuple[bytes, str]:
    """What arrives instead of a list body, and its content type."""
    if how == "html":
        return _HTML, "text/html; charset=utf-8"
    if how == "truncated":
        return content[: len(content) // 2], "application/json"
    if how == "not_json":
        return b"upstream connect error", "application/json"
    body = json.loads(content)
    if how == "missing_list":
        del body[list_name]
    else:
        body[list_name] = None
    return json.dumps(body).encode(), "application/json"
