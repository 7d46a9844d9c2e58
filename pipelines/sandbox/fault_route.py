"""Setting faults over HTTP: `GET`, `POST` and `DELETE /sandbox/faults`."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any, get_args

from pipelines.sandbox.drift import SCRIPTS, Drift
from pipelines.sandbox.faults import MALFORMATIONS, ErrorOrder
from pipelines.sandbox.market import Market
from pipelines.sandbox.operations import OPERATIONS
from pipelines.sandbox.refusal import Envelope, invalid

FAULTS_PATH = "/sandbox/faults"

Body = dict[str, Any]


def shown(market: Market) -> Body:
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


def change(market: Market, content: bytes) -> Body:
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
    return shown(market)


def clear(market: Market) -> Body:
    """Behave again."""
    market.faults.clear()
    return shown(market)


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
