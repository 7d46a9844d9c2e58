"""Misbehavior on demand: everything is off until set; counters run down as they are used.

Statuses out of nowhere, malformed bodies, unknown fields and statuses inside rows.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

from pipelines.sandbox.refusal import Envelope, Refused
from pipelines.sandbox.switches import Switch

Malformation = Literal["html", "truncated", "not_json", "missing_list", "null_list"]
MALFORMATIONS: tuple[Malformation, ...] = (
    "html",
    "truncated",
    "not_json",
    "missing_list",
    "null_list",
)


@dataclass(frozen=True, slots=True)
class ErrorOrder:
    """One refusal to come, for the next signed call or the next one of *operation*."""

    status: int
    code: str
    operation: str | None = None
    envelope: Envelope = "nested"

    def refusal(self) -> Refused:
        message = self.code.replace("_", " ")
        return Refused(self.status, self.code, message, envelope=self.envelope)


@dataclass(slots=True)
class Faults:
    """Set fields at any time, from a test or through `POST /sandbox/faults`. Pages count from 1."""

    latency_s: Annotated[
        float, Switch("Seconds to wait before each answer.", "80 to 100 ms observed")
    ] = 0.0
    statuses: Annotated[
        deque[int],
        Switch(
            "Answer the next calls with these instead, one call each, before looking at the "
            "signature; 0 lets a call through.",
            "429 without headers, 500, 503 and 504 observed",
        ),
    ] = field(default_factory=deque)
    errors: Annotated[
        list[ErrorOrder],
        Switch(
            "Refuse the next calls with any status and error code, one each, once their signature "
            "passed; with an "
            "`operation`, the next call of that name.",
            "codes observed: `insufficient_balance`, `quote_timed_out`, `rfq_closed`, `expired`",
        ),
    ] = field(default_factory=list)
    malformed: Annotated[
        deque[Malformation],
        Switch(
            "Spoil the bodies of the next list answers, one each: "
            + ", ".join(MALFORMATIONS)
            + ".",
            "assumed",
        ),
    ] = field(default_factory=deque)
    before_page: Annotated[
        dict[int, Callable[[], None]],
        Switch(
            "Page drift: run once before page N of the next list that reaches it. Any function in "
            "a test, a named script over HTTP.",
            "follows from the observed order, last updated first",
        ),
    ] = field(default_factory=dict)
    cursor_expires_after_page: Annotated[
        int | None,
        Switch("Cursors of later pages are refused with 400.", "lifetime of cursors unknown"),
    ] = None
    cursor_loops_at_page: Annotated[
        int | None, Switch("The cursor on this page leads back to this page.", "assumed")
    ] = None
    repeated_page: Annotated[
        int | None, Switch("The page after this one holds the same rows again.", "assumed")
    ] = None
    empty_page: Annotated[
        int | None,
        Switch(
            "This page is empty but has a cursor; the rows follow on the next.",
            "lists that ended early were documented in June 2026",
        ),
    ] = None
    late_visibility_s: Annotated[
        float,
        Switch(
            "New rows show up in lists only this long after their `created_ts`.",
            "about 0.5 s observed on demo",
        ),
    ] = 0.0
    clock_step_s: Annotated[
        float,
        Switch(
            "Seconds added to the Date header and to the clock of the signature check.",
            "assumed",
        ),
    ] = 0.0
    unknown_field: Annotated[
        str | None,
        Switch(
            "A field of this name on every listed row.", "32 versions of the document in ten months"
        ),
    ] = None
    unknown_status: Annotated[
        str | None, Switch("The status of the first row of every page.", "assumed")
    ] = None
    vanished: Annotated[
        set[str],
        Switch(
            "Ids of RFQs and quotes that nobody can find any more.",
            "documented: open and cancelled quotes are best effort",
        ),
    ] = field(default_factory=set)
    stale_reads: Annotated[
        int,
        Switch(
            "How many of the next list calls are answered by a replica that stopped at "
            "`Market.fall_behind`.",
            "observed: demo is eventually consistent",
        ),
    ] = 0
    failing_executions: Annotated[
        int,
        Switch(
            'How many of the next executions end as cancelled with reason "execution failed".',
            "observed three times",
        ),
    ] = 0

    def clear(self) -> None:
        """Behave again."""
        fresh = Faults()
        for item in fields(self):
            setattr(self, item.name, getattr(fresh, item.name))

    def next_status(self) -> int:
        """The status to answer the present call with, 0 for none."""
        return self.statuses.popleft() if self.statuses else 0

    def next_error(self, operation: str) -> ErrorOrder | None:
        """The refusal that waits for a call of *operation*, if one does."""
        for place, order in enumerate(self.errors):
            if order.operation in (None, operation):
                return self.errors.pop(place)
        return None

    def next_malformation(self) -> Malformation | None:
        return self.malformed.popleft() if self.malformed else None

    def reach_page(self, number: int) -> None:
        """Run the script that waits for this page."""
        script = self.before_page.pop(number, None)
        if script is not None:
            script()


_HTML = b"<!DOCTYPE html><html><body><h1>We will be back soon</h1></body></html>"
_NAMES = {500: "internal_server_error", 502: "bad_gateway", 503: "service_unavailable"}


def outage(status: int) -> Refused:
    """The refusal behind a status that was ordered as a fault."""
    if status == 429:
        return Refused(429, "too_many_requests", "too many requests", envelope="string")
    return Refused(status, _NAMES.get(status, "gateway_timeout"), "service in fail-fast")


def with_unknowns(rows: list[dict[str, Any]], faults: Faults) -> None:
    """Change listed rows in place: a field nobody announced, a status nobody knows."""
    if faults.unknown_field is not None:
        for row in rows:
            row[faults.unknown_field] = {"since": "3.35.0"}
    if faults.unknown_status is not None and rows:
        rows[0]["status"] = faults.unknown_status


def malform(content: bytes, how: Malformation, list_name: str) -> tuple[bytes, str]:
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
