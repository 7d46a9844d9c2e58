"""Moving the market's clock over HTTP: `GET` and `POST /sandbox/clock`.

Everything the exchange dates follows that clock: rows, the Date header, timers and retention. Only
signatures are checked against the machine's, as clients sign by theirs.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from pipelines.sandbox.clock import to_us
from pipelines.sandbox.fixed_point import timestamp
from pipelines.sandbox.market import Market
from pipelines.sandbox.refusal import invalid

CLOCK_PATH = "/sandbox/clock"
FARTHEST = timedelta(days=366)

Body = dict[str, Any]


def shown(market: Market) -> Body:
    """What time it is on the exchange."""
    return {"now": timestamp(to_us(market.clock.now()))}


def change(market: Market, content: bytes) -> Body:
    """Move the clock on by `advance_s` of a JSON body; 400 for a step back or no number."""
    try:
        wanted = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise invalid(f"the body is not JSON: {error}") from error
    if not isinstance(wanted, dict) or wanted.keys() != {"advance_s"}:
        raise invalid('the body must be an object with advance_s, as in {"advance_s": 3600}')
    market.advance(_seconds(wanted["advance_s"]))
    return shown(market)


def _seconds(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise invalid(f"advance_s cannot be {value!r}")
    if value < 0:
        raise invalid(f"the market's clock goes forward only, advance_s was {value}")
    if not value <= FARTHEST.total_seconds():
        raise invalid(f"advance_s can be {FARTHEST.total_seconds():.0f} at the most, was {value}")
    return value
