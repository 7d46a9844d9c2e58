"""HTTP in and out: who calls, may they, what do they want, and the answer in the right envelope.

Signatures are checked as the exchange checks them, and tokens are spent on real time.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pipelines.sandbox.accounts import Account, PublicKey
from pipelines.sandbox.behavior import Behavior, Bucket
from pipelines.sandbox.clock import to_us
from pipelines.sandbox.faults import malform, outage, with_unknowns
from pipelines.sandbox.market import Market
from pipelines.sandbox.operations import (
    BASE_PATH,
    OPERATIONS,
    Body,
    Call,
    Operation,
    Values,
    check_uuid,
    read_body,
    read_query,
)
from pipelines.sandbox.refusal import Refused

KEY_HEADER = "KALSHI-ACCESS-KEY"
TIMESTAMP_HEADER = "KALSHI-ACCESS-TIMESTAMP"
SIGNATURE_HEADER = "KALSHI-ACCESS-SIGNATURE"

_SALT_BYTES = 32


def caller(market: Market, headers: Mapping[str, str], method: str, path: str) -> Account:
    """The account that signed this call; 401 if the headers do not prove one."""
    key_id = headers.get(KEY_HEADER)
    sent_ms = headers.get(TIMESTAMP_HEADER)
    signature = headers.get(SIGNATURE_HEADER)
    if not (key_id and sent_ms and signature):
        raise Refused(401, "signature_is_missing_from_headers", "signature is missing from headers")
    account = market.account_of_key(key_id)
    if account is None:
        raise _unauthenticated("NOT_FOUND")
    _check_age(market, sent_ms)
    # Timestamp, method and path without the query; nothing between them, the body is not signed.
    if not _is_genuine(account.public_key, signature, f"{sent_ms}{method}{path}".encode()):
        raise _unauthenticated("INCORRECT_API_KEY_SIGNATURE")
    return account


def _check_age(market: Market, sent_ms: str) -> None:
    behavior = market.behavior
    now_s = time.time()
    if behavior.signature_follows_market_clock:
        now_s = to_us(market.clock.now()) / 1e6
    now_s += market.faults.clock_step_s
    is_number = sent_ms.isascii() and sent_ms.isdigit() and len(sent_ms) <= 19
    if not is_number or abs(now_s - int(sent_ms) / 1000) > behavior.signature_window_s:
        raise Refused(401, "header_timestamp_expired", "header timestamp expired")


def _is_genuine(public_key: PublicKey, signature: str, message: bytes) -> bool:
    try:
        raw = base64.b64decode(signature, validate=True)
        if isinstance(public_key, rsa.RSAPublicKey):
            scheme = padding.PSS(padding.MGF1(hashes.SHA256()), _SALT_BYTES)
            public_key.verify(raw, message, scheme, hashes.SHA256())
        else:
            public_key.verify(raw, message)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _unauthenticated(details: str) -> Refused:
    return Refused(
        401, "authentication_error", "the request could not be authenticated", details=details
    )


class Budget:
    """The tokens left to each account in its read and its write bucket."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._levels: dict[tuple[str, bool], tuple[float, float]] = {}

    def spend(self, user_id: str, is_read: bool, cost: int, behavior: Behavior) -> bool:
        """Take *cost* tokens if the bucket holds them; a refused call costs nothing."""
        if not behavior.rate_limits:
            return True
        bucket: Bucket = behavior.read_bucket if is_read else behavior.write_bucket
        now_s = self._monotonic()
        level, since_s = self._levels.get((user_id, is_read), (bucket.capacity, now_s))
        level = min(bucket.capacity, level + (now_s - since_s) * bucket.refill_per_s)
        is_enough = level >= cost
        self._levels[user_id, is_read] = (level - cost if is_enough else level, now_s)
        return is_enough


KEPT_REQUESTS = 100_000

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class Served(NamedTuple):
    """One request that was answered."""

    method: str
    path: str
    query: dict[str, str]
    status: int


@dataclass(slots=True)
class Front:
    """One market behind HTTP, with what belongs to the server and not to the market."""

    market: Market
    budget: Budget = field(default_factory=Budget)
    requests: deque[Served] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))
    arrivals: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))
    """When each request was answered (monotonic seconds) and its status."""
    printed: list[dict[str, str]] = field(default_factory=list)
    """What whoever started the server was told of each account; paths of keys, and no keys."""

    async def answer(self, operation: Operation, request: Request) -> Response:
        content = await request.body()
        if self.market.faults.latency_s:
            await asyncio.sleep(self.market.faults.latency_s)
        try:
            body = self._answer(operation, request, content)
            response = self._response(operation, body)
        except Refused as refused:
            response = json_response(refused.status, refused.body())
        return self.finish(request, response)

    def _answer(self, operation: Operation, request: Request, content: bytes) -> Body | None:
        status = self.market.faults.next_status()
        if status:
            raise outage(status)
        account = None if operation.is_public else self._admit(operation, request)
        order = self.market.faults.next_error(operation.name)
        if order is not None:
            raise order.refusal()
        ids = {name: unquote(value) for name, value in request.path_params.items()}
        if self.market.has_uuids_only:
            for name, value in ids.items():
                check_uuid(name, value)
        sent = request.query_params.multi_items()
        query = read_query(operation.query, sent, check_uuids=self.market.has_uuids_only)
        body = self._read_body(operation, request, content)
        return operation.answer(Call(self.market, account, ids, query, body))

    def _admit(self, operation: Operation, request: Request) -> Account:
        raw_path: bytes = request.scope["raw_path"]
        account = caller(self.market, request.headers, request.method, raw_path.decode("latin-1"))
        if not set(operation.scopes) & set(account.scopes):
            raise Refused(403, "forbidden", f"missing scope {operation.scopes[0]}")
        cost = operation.cost(self.market.behavior)
        if not self.budget.spend(account.user_id, operation.is_read, cost, self.market.behavior):
            raise outage(429)
        return account

    def _read_body(self, operation: Operation, request: Request, content: bytes) -> Values:
        if operation.body is None:
            return {}
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and self.market.behavior.require_json_content_type:
            message = "Content-Type must be application/json"
            raise Refused(400, "invalid_content_type", message, envelope="flat")
        if not operation.body and not content:
            return {}
        return read_body(operation.body, content)

    def _response(self, operation: Operation, body: Body | None) -> Response:
        if body is None:
            return Response(status_code=operation.success)
        if operation.rows is None:
            return json_response(operation.success, body)
        with_unknowns(body[operation.rows], self.market.faults)
        how = self.market.faults.next_malformation()
        if how is None:
            return json_response(operation.success, body)
        content, media_type = malform(_dumps(body), how, operation.rows)
        return Response(content, operation.success, media_type=media_type)

    def finish(self, request: Request, response: Response) -> Response:
        """Stamp time and market on the answer and remember the request."""
        now = self.market.clock.now().replace(microsecond=0)
        dated = now + timedelta(seconds=self.market.faults.clock_step_s)
        response.headers["Date"] = format_datetime(dated.replace(microsecond=0), usegmt=True)
        # The exchange has no such headers: they let a loader tell one pretend market from another,
        # and what time it is there, whatever the faults have made of the Date.
        response.headers["Sandbox-Market"] = self.market.name
        response.headers["Sandbox-Clock"] = now.isoformat()
        self.arrivals.append((time.monotonic(), response.status_code))
        query = dict(request.query_params)
        self.requests.append(Served(request.method, request.url.path, query, response.status_code))
        return response


def json_response(status: int, body: Any) -> Response:
    """Compact JSON, as the exchange sends it."""
    return Response(_dumps(body), status, media_type="application/json")


def _dumps(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def routes(front: Front) -> list[Route]:
    """The exchange's own paths, each with its methods, so that a 405 can name them all."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    return [
        Route(BASE_PATH + path, _endpoint(front, by_method), methods=list(by_method))
        for path, by_method in by_path.items()
    ]


def _endpoint(front: Front, by_method: dict[str, Operation]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await front.answer(by_method[method], request)

    return endpoint


def unrouted(front: Front) -> Callable[[Request, Exception], Awaitable[Response]]:
    """What answers paths and methods that the exchange does not have."""

    async def refuse(request: Request, error: Exception) -> Response:
        status, allowed = 500, ""
        if isinstance(error, HTTPException):
            status, allowed = error.status_code, (error.headers or {}).get("Allow", "")
        code = {404: "not_found", 405: "method_not_allowed"}.get(status, "bad_request")
        refused = Refused(status, code, code.replace("_", " "), envelope="flat")
        response = json_response(status, refused.body())
        if allowed:
            response.headers["Allow"] = ", ".join(sorted(allowed.split(", ")))
        return front.finish(request, response)

    return refuse


def split_before_decoding(app: ASGIApp) -> ASGIApp:
    """*app*, told the path as it was sent: an encoded slash is part of an id and ends none."""

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["path"] = scope["raw_path"].decode("latin-1")
        await app(scope, receive, send)

    return asked
