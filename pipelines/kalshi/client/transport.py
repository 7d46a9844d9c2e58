"""One signed request over the wire, and what came back: a Reply or a Fault, never an exception.

No httpx.Client: it keeps cookies, reads proxies and certificates from the environment, prepares
redirects even when told not to follow them, and logs URLs. The transport under it does none of it.
Faults are values so that no exception carries the frames, and with them the headers, of a request.
"""

import logging
import re
import ssl
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from types import TracebackType
from typing import Self

import httpcore
import httpx

from pipelines.kalshi.client.deadline import Deadline, DeadlineBackend
from pipelines.kalshi.client.origin import origin_of
from pipelines.kalshi.client.rate_budget import API_PREFIX
from pipelines.kalshi.client.signing import Signer

# The largest documented page (100 RFQs with 40 legs each) has 1 MB, and one odd row may be long.
LARGEST_PAGE_BYTES = 12 * 1024 * 1024
# Of every refusal, and of what the account is told about itself: a few hundred bytes.
LARGEST_ANSWER_BYTES = 1024 * 1024
CONNECT_S = 10.0
# A silence; the whole attempt has a deadline of its own.
SILENCE_S = 20.0
# This exchange is younger: an earlier date is that of a server without a clock.
LATEST = datetime(2100, 12, 31, tzinfo=UTC)
EARLIEST_DATE = datetime(2020, 1, 1, tzinfo=UTC)
_INFLATE_BYTES = 256 * 1024

_ID = "[0-9a-fA-F-]{36}"
_QUOTE = rf"communications/(rfqs/{_ID}/)?quotes/{_ID}"
READS = {
    "GET": rf"communications/(id|rfqs|quotes|rfqs/{_ID})|{_QUOTE}"
    "|account/(limits|endpoint_costs)|api_keys"
}
WRITES = {
    "POST": "communications/(rfqs|quotes)",
    "DELETE": rf"communications/rfqs/{_ID}|{_QUOTE}",
    "PUT": rf"{_QUOTE}/(accept|confirm)",
}


_LISTS = re.compile(rf"{API_PREFIX}/communications/(rfqs|quotes)\b")


class NotAllowed(RuntimeError):
    """Our own code asked for a request that this transport must never send: a bug, nothing sent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer, whatever its status; `date` is what it says, unjudged."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)
    date: datetime | None
    received_ts: datetime
    served_ts: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """An attempt that failed in a way that another attempt may not."""

    what: str
    retry_after_s: float | None = None
    is_throttled: bool = False


@cache
def certificates() -> ssl.SSLContext:
    """Return the packaged roots, which are read once in a process: that takes 17 ms of CPU."""
    return httpx.create_ssl_context(trust_env=False)


class SignedTransport:
    """Signs and sends what its allowlist admits to one origin, and nothing else.

    *allowed* maps a method to a pattern of the path below the API prefix.
    """

    def __init__(self, base_url: httpx.URL, signer: Signer, allowed: dict[str, str]) -> None:
        # It logs response headers, which can echo ours.
        logging.getLogger("httpcore.http11").setLevel(logging.INFO)
        self._origin = origin_of(base_url)
        self._signer = signer
        self._allowed = allowed
        self._deadline = Deadline()
        self._http = httpx.HTTPTransport(verify=certificates(), trust_env=False)
        # httpx has no parameter for httpcore's network backend.
        self._http._pool = httpcore.ConnectionPool(
            ssl_context=certificates(),
            keepalive_expiry=30.0,
            network_backend=DeadlineBackend(self._deadline),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def send(self, request: httpx.Request, within_s: float) -> Reply | Fault:
        """Check, sign and send *request*; a Fault unless all of the answer came in *within_s*.

        Raises NotAllowed, before signing, for a request that is not on the allowlist.
        """
        self._admit(request)
        path = request.url.raw_path.partition(b"?")[0].decode("ascii")
        request.headers.update(self._signer.headers(request.method, path))
        request.extensions["timeout"] = {
            "connect": CONNECT_S,
            "read": SILENCE_S,
            "write": SILENCE_S,
            "pool": SILENCE_S,
        }
        self._deadline.at_s = time.monotonic() + within_s
        try:
            response = self._http.handle_request(request)
            try:
                return _read(response, _largest_body_bytes(response.status_code, path))
            except _BadBody as error:
                return Fault(f"HTTP {response.status_code}, but {error}")
            finally:
                response.close()
        except httpx.TransportError as error:
            return Fault(_describe(error))

    def _admit(self, request: httpx.Request) -> None:
        path = request.url.raw_path.partition(b"?")[0].decode("ascii")
        pattern = self._allowed.get(request.method)
        if pattern is None or not re.fullmatch(f"{API_PREFIX}/({pattern})", path):
            raise NotAllowed(f"{request.method} is not allowed on this path; nothing was sent")
        if origin_of(request.url) != self._origin or request.headers["host"] != _host(request.url):
            raise NotAllowed(f"requests go to {self._origin} only; nothing was sent")


def _host(url: httpx.URL) -> str:
    return url.netloc.decode("ascii")


def _describe(error: httpx.TransportError) -> str:
    # The text of a protocol error quotes what the other side sent.
    if isinstance(error, httpx.ProtocolError):
        return "the answer broke off or was not HTTP"
    if isinstance(error, httpx.TimeoutException):
        return "no complete answer in time"
    return f"{type(error).__name__}: {error}"


def _largest_body_bytes(status: int, path: str) -> int:
    is_page = status < 300 and _LISTS.match(path)
    return LARGEST_PAGE_BYTES if is_page else LARGEST_ANSWER_BYTES


def _read(response: httpx.Response, largest_bytes: int) -> Reply:
    return Reply(
        status=response.status_code,
        headers=response.headers,
        body=_body(response, largest_bytes),
        date=http_date(response.headers.get("date")),
        received_ts=datetime.now(UTC),
    )


class _BadBody(Exception):
    """Says why a body cannot be used, in words of ours only."""


def _body(response: httpx.Response, largest_bytes: int) -> bytes:
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    chunks = _capped(response.iter_raw(), largest_bytes)
    if coding == "gzip":
        chunks = _capped(_inflated(chunks), largest_bytes)
    elif coding != "identity":
        raise _BadBody("the body's Content-Encoding was neither gzip nor identity")
    return b"".join(chunks)


def _capped(chunks: Iterator[bytes], largest_bytes: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > largest_bytes:
            raise _BadBody(f"the body was larger than {largest_bytes:,} bytes")
        yield chunk


def _inflated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The plain bytes in steps of bounded size, whatever the compression ratio."""
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    is_empty = True
    for chunk in chunks:
        is_empty = False
        while True:
            try:
                plain = unzip.decompress(chunk, _INFLATE_BYTES)
            except zlib.error:
                raise _BadBody("the body was not gzip") from None
            yield plain
            if len(plain) < _INFLATE_BYTES:
                break
            chunk = unzip.unconsumed_tail
    # A 204 has no body, and so no gzip frame either.
    if not is_empty and (not unzip.eof or unzip.unused_data):
        raise _BadBody("the gzip body was cut short or went on after its end")


def http_date(text: str | None) -> datetime | None:
    """An HTTP date in UTC; None when there is none, it cannot be read or is of no real time."""
    # A leap second, which HTTP allows and datetime does not know.
    readable = (text or "").replace(":60 ", ":59 ")
    try:
        date = parsedate_to_datetime(readable)
        utc = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
    return utc if EARLIEST_DATE <= utc <= LATEST else None
