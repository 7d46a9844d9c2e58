"""What belongs to the sandbox and not to the exchange: status page, document, faults, clock.

All of it answers loopback callers only, and only under a loopback name, so that no web page can
reach it. Faults are set at `/sandbox/faults`, the market's clock is moved at `/sandbox/clock`.
"""

from __future__ import annotations

import html
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from pipelines.sandbox.book import Book
from pipelines.sandbox.clock import to_us
from pipelines.sandbox.faults import MALFORMATIONS, ErrorOrder
from pipelines.sandbox.listing_pages import LiveT
from pipelines.sandbox.market import Market
from pipelines.sandbox.openapi import document
from pipelines.sandbox.operations import BASE_PATH, OPERATIONS
from pipelines.sandbox.refusal import Envelope, Refused, invalid
from pipelines.sandbox.routes import Endpoint, Front, json_response
from pipelines.sandbox.rows import timestamp
from pipelines.sandbox.simulation.shapes import Shape
from pipelines.sandbox.switches import HEAD, switch_rows


def _close_oldest_rfq(book: Book, now_us: int) -> None:
    for rfq in _oldest(book.rfqs.after(None)):
        book.close_rfq(rfq, now_us, "expired")


def _cancel_oldest_quote(book: Book, now_us: int) -> None:
    for quote in _oldest(book.quotes.after(None)):
        book.cancel_quote(quote, now_us)


def _oldest(rows: Iterable[LiveT]) -> list[LiveT]:
    """The last open row of a list, if one is open."""
    return [row for row in rows if row.status == "open"][-1:]


SCRIPTS: dict[str, Callable[[Book, int], None]] = {
    "close_oldest_rfq": _close_oldest_rfq,
    "cancel_oldest_quote": _cancel_oldest_quote,
}
"""Each moves a row from the end of a list to its top, so that whoever pages there misses it."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A named script that waits for its page."""

    name: str
    market: Market

    def __str__(self) -> str:
        return self.name

    def __call__(self) -> None:
        self.market.drive(SCRIPTS[self.name])


FAULTS_PATH = "/sandbox/faults"

Body = dict[str, Any]


def _faults_shown(market: Market) -> Body:
    """The faults in force, in the form in which they are set."""
    faults = market.faults
    values = {item.name: getattr(faults, item.name) for item in fields(faults)}
    return values | {
        "statuses": list(faults.statuses),
        "errors": [asdict(order) for order in faults.errors],
        "malformed": list(faults.malformed),
        "before_page": {
            str(page): script.name if isinstance(script, Drift) else "set by code"
            for page, script in faults.before_page.items()
        },
        "vanished": sorted(faults.vanished),
    }


def _faults_set(market: Market, content: bytes) -> Body:
    """Set the faults named in a JSON body, or none of them if one makes no sense (400)."""
    try:
        wanted = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise invalid(f"the body is not JSON: {error}") from error
    if not isinstance(wanted, dict):
        raise invalid(f"the body must be an object with some of {list(_READERS)}")
    values = {name: _read(market, name, value) for name, value in wanted.items()}
    for name, value in values.items():
        setattr(market.faults, name, value)
    if values.get("stale_reads"):
        market.fall_behind(values["stale_reads"])
    return _faults_shown(market)


def _faults_cleared(market: Market) -> Body:
    """Behave again."""
    market.faults.clear()
    return _faults_shown(market)


class _Senseless(Exception):
    """A value that is none for its fault."""


def _read(market: Market, name: str, value: Any) -> Any:
    if name not in _READERS:
        raise invalid(f"{name} is no fault; there are {list(_READERS)}")
    try:
        return _READERS[name](market, value)
    except _Senseless:
        raise invalid(f"{name} cannot be {value!r}") from None


def _number(_market: Market, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > 1e9:
        raise _Senseless
    return value


def _seconds(market: Market, value: Any) -> float:
    if not 0 <= _number(market, value) <= 3600:
        raise _Senseless
    return float(value)


def _count(_market: Market, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _Senseless
    return value


def _page(market: Market, value: Any) -> Any:
    if value is not None and _count(market, value) == 0:
        raise _Senseless
    return value


def _text(_market: Market, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise _Senseless
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _Senseless
    return value


def _status(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 400 <= value < 600:
        raise _Senseless
    return value


def _statuses(_market: Market, value: Any) -> deque[int]:
    return deque(0 if status == 0 else _status(status) for status in _list(value))


def _errors(_market: Market, value: Any) -> list[ErrorOrder]:
    return [_error(order) for order in _list(value)]


def _error(value: Any) -> ErrorOrder:
    try:
        order = ErrorOrder(**value)
    except TypeError as error:
        raise _Senseless from error
    _status(order.status)
    names = {operation.name for operation in OPERATIONS} | {None}
    is_known = order.operation in names and order.envelope in get_args(Envelope)
    if not (is_known and isinstance(order.code, str)):
        raise _Senseless
    return order


def _malformations(_market: Market, value: Any) -> deque[Any]:
    if not all(how in MALFORMATIONS for how in _list(value)):
        raise _Senseless
    return deque(value)


def _scripts(market: Market, value: Any) -> dict[int, Callable[[], None]]:
    if not isinstance(value, dict) or not all(name in SCRIPTS for name in value.values()):
        raise _Senseless
    if not all(page.isascii() and page.isdigit() and page[0] != "0" for page in value):
        raise _Senseless
    return {int(page): Drift(name, market) for page, name in value.items()}


def _ids(_market: Market, value: Any) -> set[str]:
    if not all(isinstance(row_id, str) for row_id in _list(value)):
        raise _Senseless
    return set(value)


_READERS: dict[str, Callable[[Market, Any], Any]] = {
    "latency_s": _seconds,
    "statuses": _statuses,
    "errors": _errors,
    "malformed": _malformations,
    "before_page": _scripts,
    "cursor_expires_after_page": _page,
    "cursor_loops_at_page": _page,
    "repeated_page": _page,
    "empty_page": _page,
    "late_visibility_s": _seconds,
    "clock_step_s": _number,
    "unknown_field": _text,
    "unknown_status": _text,
    "vanished": _ids,
    "stale_reads": _count,
    "failing_executions": _count,
}


CLOCK_PATH = "/sandbox/clock"
FARTHEST = timedelta(days=366)


def _time_shown(market: Market) -> Body:
    """What time it is on the exchange."""
    return {"now": timestamp(to_us(market.clock.now()))}


def _clock_moved(market: Market, content: bytes) -> Body:
    """Move the clock on by `advance_s` of a JSON body; 400 for a step back or no number."""
    try:
        wanted = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise invalid(f"the body is not JSON: {error}") from error
    if not isinstance(wanted, dict) or wanted.keys() != {"advance_s"}:
        raise invalid('the body must be an object with advance_s, as in {"advance_s": 3600}')
    market.advance(_advance_s(wanted["advance_s"]))
    return _time_shown(market)


def _advance_s(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise invalid(f"advance_s cannot be {value!r}")
    if value < 0:
        raise invalid(f"the market's clock goes forward only, advance_s was {value}")
    if not value <= FARTHEST.total_seconds():
        raise invalid(f"advance_s can be {FARTHEST.total_seconds():.0f} at the most, was {value}")
    return value


_RATE_SPAN_S = 60
_HOURS = 24
_NOW = (*HEAD[:2], "now", HEAD[3])
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Sandbox exchange</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
table{{border-collapse:collapse}}td,th{{border:1px solid #ccc;padding:.2rem .6rem;text-align:left}}
code{{background:#f3f3f3;padding:.1rem .3rem}}</style></head><body>
<h1>Sandbox exchange</h1>
<p>{name}</p>
<p>Exchange time {now} &middot; {open_rfqs} open RFQs &middot; {traded} trades in the last {hours}
hours &middot; {recent} requests in the last minute
&middot; <a href="{base_path}/openapi.json">OpenAPI document</a></p>
<h2>Accounts</h2>{accounts}
<h2>Trades an hour</h2>{trades}
<h2>Requests in the last minute</h2>{requests}
<h2>Connect</h2>
<p>Base URL <code>{base_url}</code>. Sign each call with the account's private key: RSA-PSS with
SHA-256 and a 32-byte salt, or Ed25519, over the millisecond timestamp, the method and the path
without its query, in base64. Send key id, timestamp and signature in the headers
<code>KALSHI-ACCESS-KEY</code>, <code>KALSHI-ACCESS-TIMESTAMP</code> and
<code>KALSHI-ACCESS-SIGNATURE</code>. The first line that <code>rfq sandbox</code> printed says
where the key files are. Signatures follow the wall clock, whatever the exchange time is.</p>
<h2>Misbehave</h2>
<p><code>curl -X POST {origin}{faults_path} -d '{{"statuses": [429, 503]}}'</code>, and
<code>curl -X DELETE {origin}{faults_path}</code> to behave again.</p>{faults}
<h2>Behavior</h2>{behavior}
<h2>Simulated market</h2>{shape}
</body></html>
"""


def page(front: Front, origin: str) -> str:
    """The page as HTML, for a server reached at *origin*."""
    market = front.market
    since_s = time.monotonic() - _RATE_SPAN_S
    now = market.clock.now()
    trades = _trades_by_hour(market, now)
    recent = Counter(status for at_s, status in list(front.arrivals) if at_s >= since_s)
    return _PAGE.format(
        name=html.escape(market.name),
        now=now.isoformat(timespec="seconds"),
        hours=_HOURS,
        traded=sum(count for _, count in trades),
        trades=_table(("hour (UTC)", "trades"), trades),
        open_rfqs=market.open_rfq_count(),
        recent=recent.total(),
        base_path=BASE_PATH,
        accounts=_accounts(front),
        requests=_table(("status", "count"), sorted(recent.items())),
        base_url=origin + BASE_PATH,
        origin=origin,
        faults_path=FAULTS_PATH,
        faults=_table(_NOW, switch_rows(market.faults)),
        behavior=_table(_NOW, switch_rows(market.behavior)),
        shape=_table(HEAD, switch_rows(Shape())),
    )


def _accounts(front: Front) -> str:
    """What the starter was told of each account, where it was told anything."""
    if front.printed:
        return _table(tuple(front.printed[0]), (tuple(each.values()) for each in front.printed))
    known = ((each.name, each.api_key_id) for each in front.market.accounts)
    return _table(("name", "api_key_id"), known)


def _trades_by_hour(market: Market, now: datetime) -> list[tuple[str, int]]:
    """How many trades went through in each of the last hours, without whose and at what price."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    hours = [this_hour - timedelta(hours=ago) for ago in range(_HOURS)]
    times = market.executions_since(hours[-1])
    counts = Counter(at.replace(minute=0, second=0, microsecond=0) for at in times)
    return [(f"{hour:%Y-%m-%d %H}:00", counts[hour]) for hour in hours]


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    def line(cells: Iterable[object], tag: str) -> str:
        return "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells)

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><tr>{line(head, 'th')}</tr>{body}</table>"


_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


Answer = Callable[[Front, Request, bytes], Response]


def routes(front: Front) -> list[Route]:
    """The sandbox's own paths; the exchange has none of them."""
    paths: dict[str, dict[str, Answer]] = {
        "/": {"GET": _status_page},
        BASE_PATH + "/openapi.json": {"GET": _document},
        FAULTS_PATH: {
            "GET": _show_faults,
            "POST": _set_faults,
            "DELETE": _clear_faults,
        },
        CLOCK_PATH: {"GET": _show_clock, "POST": _move_clock},
    }
    return [
        Route(path, _endpoint(front, by_method), methods=list(by_method))
        for path, by_method in paths.items()
    ]


def _endpoint(front: Front, by_method: dict[str, Answer]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        try:
            _check_local(request)
            return by_method[method](front, request, await request.body())
        except Refused as refused:
            return json_response(refused.status, refused.body())

    return endpoint


def _check_local(request: Request) -> None:
    peer = request.client.host if request.client else ""
    if peer not in _LOOPBACK_NAMES or request.url.hostname not in _LOOPBACK_NAMES:
        raise Refused(403, "forbidden", "the sandbox is run from its own machine only")


def _origin(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _status_page(front: Front, request: Request, _content: bytes) -> Response:
    # Nothing on the page comes from elsewhere, and nothing on it could run.
    policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return HTMLResponse(page(front, _origin(request)), headers=policy)


def _document(_front: Front, request: Request, _content: bytes) -> Response:
    return json_response(200, document(_origin(request) + BASE_PATH))


def _show_faults(front: Front, _request: Request, _content: bytes) -> Response:
    return json_response(200, _faults_shown(front.market))


def _set_faults(front: Front, _request: Request, content: bytes) -> Response:
    return json_response(200, _faults_set(front.market, content))


def _show_clock(front: Front, _request: Request, _content: bytes) -> Response:
    return json_response(200, _time_shown(front.market))


def _move_clock(front: Front, _request: Request, content: bytes) -> Response:
    return json_response(200, _clock_moved(front.market, content))


def _clear_faults(front: Front, _request: Request, _content: bytes) -> Response:
    return json_response(200, _faults_cleared(front.market))
