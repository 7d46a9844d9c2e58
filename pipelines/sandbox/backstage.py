"""What belongs to the sandbox and not to the exchange: the status page, the document, the faults.

All of it answers loopback callers only, and only under a loopback name, so that no web page can
reach it through a browser on this machine.
"""

from __future__ import annotations

import html
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from pipelines.sandbox.faults import MALFORMATIONS, Faults
from pipelines.sandbox.market import Market
from pipelines.sandbox.openapi import document
from pipelines.sandbox.operations import BASE_PATH
from pipelines.sandbox.refusal import Refused, invalid
from pipelines.sandbox.routes import Front, json_response

FAULTS_PATH = "/sandbox/faults"

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
_RATE_SPAN_S = 60
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Sandbox exchange</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
table{{border-collapse:collapse}}td,th{{border:1px solid #ccc;padding:.2rem .6rem;text-align:left}}
code{{background:#f3f3f3;padding:.1rem .3rem}}</style></head><body>
<h1>Sandbox exchange</h1>
<p>Exchange time {now} &middot; {open_rfqs} open RFQs &middot; {recent} requests in the last minute
&middot; <a href="{base_path}/openapi.json">OpenAPI document</a></p>
<h2>Accounts</h2>{accounts}
<h2>Requests in the last minute</h2>{requests}
<h2>Connect</h2>
<p>Base URL <code>{base_url}</code>. Sign each call with the account's private key: RSA-PSS with
SHA-256 and a 32-byte salt, or Ed25519, over the millisecond timestamp, the method and the path
without its query, in base64. Send key id, timestamp and signature in the headers
<code>KALSHI-ACCESS-KEY</code>, <code>KALSHI-ACCESS-TIMESTAMP</code> and
<code>KALSHI-ACCESS-SIGNATURE</code>. The first line that <code>rfq sandbox</code> printed says
where the key files are.</p>
<h2>Misbehave</h2>
<p><code>curl -X POST {origin}{faults_path} -d '{{"statuses": [429, 503]}}'</code>, and
<code>curl -X DELETE {origin}{faults_path}</code> to behave again.</p>
</body></html>
"""


def routes(front: Front) -> list[Route]:
    """The sandbox's own paths; the exchange has none of them."""

    def local(answer: Callable[[Front, Request, bytes], Response]) -> Callable[..., Any]:
        async def endpoint(request: Request) -> Response:
            try:
                _check_local(request)
                return answer(front, request, await request.body())
            except Refused as refused:
                return json_response(refused.status, refused.body())

        return endpoint

    return [
        Route("/", local(_status_page)),
        Route(BASE_PATH + "/openapi.json", local(_document)),
        Route(FAULTS_PATH, local(_show_faults), methods=["GET"]),
        Route(FAULTS_PATH, local(_set_faults), methods=["POST"]),
        Route(FAULTS_PATH, local(_clear_faults), methods=["DELETE"]),
    ]


def _check_local(request: Request) -> None:
    peer = request.client.host if request.client else ""
    if peer not in _LOOPBACK_NAMES or request.url.hostname not in _LOOPBACK_NAMES:
        raise Refused(403, "forbidden", "the sandbox is run from its own machine only")


def _document(_front: Front, request: Request, _content: bytes) -> Response:
    return json_response(200, document(str(request.base_url).rstrip("/") + BASE_PATH))


def _show_faults(front: Front, _request: Request, _content: bytes) -> Response:
    return json_response(200, _as_json(front.market.faults))


def _clear_faults(front: Front, _request: Request, _content: bytes) -> Response:
    front.market.faults.clear()
    return json_response(200, _as_json(front.market.faults))


def _set_faults(front: Front, _request: Request, content: bytes) -> Response:
    try:
        wanted = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise invalid(f"the body is not JSON: {error}") from error
    if not isinstance(wanted, dict):
        raise invalid(f"the body must be an object with some of {list(_READERS)}")
    values = {name: _value(name, value) for name, value in wanted.items()}
    for name, value in values.items():
        _apply(front.market, name, value)
    return json_response(200, _as_json(front.market.faults))


def _apply(market: Market, name: str, value: Any) -> None:
    faults = market.faults
    if name == "stale_reads":
        market.fall_behind(value)
    elif name in ("statuses", "malformed"):
        queue = getattr(faults, name)
        queue.clear()
        queue.extend(value)
    elif name == "vanished":
        faults.vanished = set(value)
    else:
        setattr(faults, name, value)


def _value(name: str, value: Any) -> Any:
    if name not in _READERS:
        raise invalid(f"{name} is no fault; there are {list(_READERS)}")
    if not _READERS[name](value):
        raise invalid(f"{name} cannot be {value!r}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_seconds(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 3600


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_page(value: Any) -> bool:
    return value is None or (_is_count(value) and value > 0)


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_statuses(value: Any) -> bool:
    return isinstance(value, list) and all(
        _is_count(status) and (status == 0 or 400 <= status < 600) for status in value
    )


def _is_malformations(value: Any) -> bool:
    return isinstance(value, list) and all(how in MALFORMATIONS for how in value)


def _is_ids(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row_id, str) for row_id in value)


_READERS: dict[str, Callable[[Any], bool]] = {
    "latency_s": _is_seconds,
    "statuses": _is_statuses,
    "malformed": _is_malformations,
    "cursor_expires_after_page": _is_page,
    "cursor_loops_at_page": _is_page,
    "repeated_page": _is_page,
    "empty_page": _is_page,
    "late_visibility_s": _is_seconds,
    "clock_step_s": _is_number,
    "unknown_field": _is_text,
    "unknown_status": _is_text,
    "vanished": _is_ids,
    "stale_reads": _is_count,
    "failing_executions": _is_count,
}
"""The faults that can be set over HTTP; page scripts need code."""


def _as_json(faults: Faults) -> dict[str, Any]:
    values = {name: getattr(faults, name) for name in _READERS}
    return {name: v if _is_plain(v) else sorted(v, key=str) for name, v in values.items()}


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, int | float | str)


def _status_page(front: Front, request: Request, _content: bytes) -> Response:
    market = front.market
    origin = str(request.base_url).rstrip("/")
    since_s = time.monotonic() - _RATE_SPAN_S
    recent = Counter(status for at_s, status in list(front.arrivals) if at_s >= since_s)
    return HTMLResponse(
        _PAGE.format(
            now=market.clock.now().isoformat(timespec="seconds"),
            open_rfqs=market.open_rfq_count(),
            recent=recent.total(),
            base_path=BASE_PATH,
            accounts=_table(("name", "key id"), ((a.name, a.api_key_id) for a in market.accounts)),
            requests=_table(("status", "count"), sorted(recent.items())),
            base_url=origin + BASE_PATH,
            origin=origin,
            faults_path=FAULTS_PATH,
        )
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    def line(cells: Iterable[object], tag: str) -> str:
        return "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells)

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><tr>{line(head, 'th')}</tr>{body}</table>"
