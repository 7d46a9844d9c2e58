"""The page at `/`: who can connect and how, what is going on, and every switch."""

from __future__ import annotations

import html
import time
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from pipelines.sandbox.fault_route import FAULTS_PATH
from pipelines.sandbox.market import Market
from pipelines.sandbox.operations import BASE_PATH
from pipelines.sandbox.routes import Front
from pipelines.sandbox.shapes import Shape
from pipelines.sandbox.switches import HEAD, switch_rows

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
