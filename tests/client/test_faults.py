"""The HTTP fault matrix over real sockets: what a read does when the exchange misbehaves."""

import gzip
import itertools
import json
import random
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from pipelines.kalshi.client.errors import (
    ExchangeDown,
    ExchangeError,
    ExchangeUnavailable,
    TryLater,
)
from pipelines.kalshi.client.reader import ExchangeReader
from tests.client.conftest import Clock
from tests.client.fault_server import (
    FaultServer,
    FaultStep,
    drips,
    http,
    resets,
    says,
    sends,
    serve_faults,
    stays_silent,
    streams,
)

QUOTES = json.dumps({"quotes": [{"id": "1"}], "cursor": ""}).encode()
GOOD = sends(http(200, QUOTES))
WINDOW = {"min_ts": 0, "max_ts": 1, "user_filter": "self"}
MEBIBYTE = b"\0" * (1 << 20)
GZIP = {"Content-Encoding": "gzip"}


def endless_zeros() -> Iterator[bytes]:
    for _ in range(300):
        yield MEBIBYTE


def gibibyte_of_zeros() -> Iterator[bytes]:
    """A gzip body of one GiB in 1 MB: a fully flushed block can be repeated as it is."""
    zipper = zlib.compressobj(9, wbits=31)
    yield zipper.compress(b"") + zipper.flush(zlib.Z_FULL_FLUSH)
    block = zipper.compress(MEBIBYTE) + zipper.flush(zlib.Z_FULL_FLUSH)
    for _ in range(1024):
        yield block


def sized_as(length: str) -> bytes:
    return http(200, QUOTES, {"Content-Length": length})


CHUNKED = {"Transfer-Encoding": "chunked"}
CURSOR = "the page's cursor was no text that could be one"
BROKE = "the answer broke off or was not HTTP"
RESET = "Connection reset by peer"
NOT_JSON = "the body was not JSON"
NO_LIST = "the body had no list under 'quotes'"
GZIP_END = "the gzip body was cut short or went on after its end"
TOO_LARGE = "HTTP 200, but the body was larger than 12,582,912 bytes"
# What the server does, and what the error says when it goes on doing it.
TRANSIENT: dict[str, tuple[FaultStep, str]] = {
    "cut short of its content length": (sends(http(200, QUOTES)[:-5]), BROKE),
    "cut short in a chunk": (sends(http(200, b"ff\r\n" + QUOTES, CHUNKED, sized=False)), BROKE),
    "cut short without a length": (sends(http(200, QUOTES[:-5], sized=False)), NOT_JSON),
    "reset in the body": (resets(http(200, QUOTES)[:-5]), RESET),
    "reset in the headers": (resets(http(200, QUOTES)[:20]), RESET),
    "closed without an answer": (sends(b""), BROKE),
    "not HTTP": (sends(b"SSH-2.0-OpenSSH_9.9\r\n"), BROKE),
    "endless headers": (sends(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 30_000), BROKE),
    "an HTML page": (
        sends(http(200, b"<html>maintenance</html>", {"Content-Type": "text/html"})),
        "a body that is text/html",
    ),
    "HTML that claims to be JSON": (sends(http(200, b"<html>maintenance</html>")), NOT_JSON),
    "an empty body": (sends(http(200, b"")), NOT_JSON),
    "no content": (sends(http(204)), "HTTP 204, where only 200 says that this is all"),
    "part of the list": (sends(http(206, QUOTES)), "HTTP 206, where only 200"),
    "somebody's copy of the list": (sends(http(203, QUOTES)), "HTTP 203, where only 200"),
    "another protocol": (sends(http(101, QUOTES)), BROKE),
    "a status of two digits": (sends(http(20, QUOTES)), BROKE),
    "a status of four digits": (sends(http(2000, QUOTES)), BROKE),
    "a status in words": (sends(b"HTTP/1.1 OK\r\n\r\n"), BROKE),
    "no status": (sends(b"HTTP/1.1\r\n\r\n"), BROKE),
    "HTTP/2": (sends(b"HTTP/2 200\r\n\r\n"), BROKE),
    "status 999": (sends(http(999, QUOTES)), "HTTP 999"),
    "a length that is too long": (sends(sized_as(str(len(QUOTES) + 1))), BROKE),
    "a length that is too short": (sends(sized_as("20")), NOT_JSON),
    "a length of nothing": (sends(sized_as("0")), NOT_JSON),
    "a negative length": (sends(sized_as("-1")), BROKE),
    "a length in words": (sends(sized_as("many")), BROKE),
    "a length without end": (sends(sized_as("9" * 5000)), BROKE),
    "two lengths": (sends(sized_as(f"{len(QUOTES)}\r\nContent-Length: 5")), BROKE),
    "a chunk of no length": (sends(http(200, b"zz\r\n" + QUOTES, CHUNKED, sized=False)), BROKE),
    "a chunk of negative length": (sends(http(200, b"-5\r\nab", CHUNKED, sized=False)), BROKE),
    "no last chunk": (sends(http(200, b"2\r\n{}\r\n", CHUNKED, sized=False)), BROKE),
    "a coding of the transfer that nobody knows": (
        sends(http(200, QUOTES, {"Transfer-Encoding": "bogus"}, sized=False)),
        BROKE,
    ),
    "a header of 1 MB": (sends(http(200, QUOTES, {"X-A": "a" * 1_000_000})), BROKE),
    "a header without a name": (sends(http(200, QUOTES, {"": "a"})), BROKE),
    "a header with a zero byte": (sends(http(200, QUOTES, {"X-A": "\0"})), BROKE),
    "ten times the rows asked for": (
        says(200, {"quotes": [{}] * 5001}),
        "the page held 5,001 quotes where 500 were asked for",
    ),
    "a million rows": (says(200, {"quotes": [None] * 1_000_000}), "more than 300,000 values"),
    "a million fields in a row": (
        sends(http(200, b'{"quotes": [{' + b'"a": 1, ' * 1_000_000)),
        "more than 300,000 values",
    ),
    "rows 300 deep": (
        sends(http(200, b'{"quotes": [' + b'{"a": [' * 150 + b"]}" * 150 + b"]}")),
        "nested too deeply (more than 64 levels)",
    ),
    "a cursor of 10 MB": (says(200, {"quotes": [], "cursor": "c" * 10_000_000}), CURSOR),
    "a cursor that is not ASCII": (says(200, {"quotes": [], "cursor": "\xe9"}), CURSOR),
    "a cursor that is a list": (says(200, {"quotes": [], "cursor": ["c"]}), CURSOR),
    "an error with 200": (says(200, {"error": {"code": "internal"}}), NO_LIST),
    "a null list": (says(200, {"quotes": None}), NO_LIST),
    "an object for a list": (says(200, {"quotes": {}}), NO_LIST),
    "another list": (says(200, {"rfqs": []}), NO_LIST),
    "a bare list": (says(200, []), "the JSON was not an object"),
    "JSON nested 200,000 deep": (
        sends(http(200, b'{"quotes":' + b"[" * 200_000)),
        "nested too deeply",
    ),
    "invalid UTF-8": (sends(http(200, b'{"quotes": ["\xff"]}')), NOT_JSON),
    "broken gzip": (sends(http(200, b"\x1f\x8bnonsense", GZIP)), "the body was not gzip"),
    "gzip cut short": (sends(http(200, gzip.compress(QUOTES)[:-9], GZIP)), GZIP_END),
    "gzip with a tail": (sends(http(200, gzip.compress(QUOTES) + b"tail", GZIP)), GZIP_END),
    "a coding we did not ask for": (
        sends(http(200, QUOTES, {"Content-Encoding": "br"})),
        "neither gzip nor identity",
    ),
    "300 MB of body": (streams(http(200, sized=False), endless_zeros), TOO_LARGE),
    "a gzip bomb": (streams(http(200, headers=GZIP, sized=False), gibibyte_of_zeros), TOO_LARGE),
    "408": (says(408, {}), "HTTP 408 "),
    "425": (says(425, {}), "HTTP 425 "),
    "500": (says(500, {"error": {"code": "internal"}}), "HTTP 500 "),
    "502": (
        sends(http(502, b"<html>bad gateway</html>", {"Content-Type": "text/html"})),
        "HTTP 502 ",
    ),
    "503": (says(503, {"error": "service in fail-fast"}), "HTTP 503 "),
    "504": (says(504, {}), "HTTP 504 "),
    "524": (says(524, {}), "HTTP 524 "),
}


@pytest.mark.parametrize(("fault", "_"), TRANSIENT.values(), ids=TRANSIENT.keys())
def test_a_transient_fault_is_asked_again_and_forgotten(
    exchange: FaultServer, reader: ExchangeReader, clock: Clock, fault: FaultStep, _: str
) -> None:
    exchange.answers(fault, GOOD)

    page = reader.get_quotes(**WINDOW)

    assert page.body == QUOTES
    assert len(exchange.seen) == 2
    assert clock.waits == [0.5]


@pytest.mark.parametrize(("fault", "why"), TRANSIENT.values(), ids=TRANSIENT.keys())
def test_a_fault_that_stays_ends_as_unavailable_and_never_as_no_rows(
    exchange: FaultServer, reader_of: Callable[..., ExchangeReader], fault: FaultStep, why: str
) -> None:
    exchange.answers(fault)

    with pytest.raises(ExchangeUnavailable) as caught:
        reader_of(exchange, attempts=2).get_quotes(**WINDOW)

    assert str(caught.value).startswith("GET /communications/quotes: ")
    assert why in str(caught.value)
    assert "(2 attempts). Run again" in str(caught.value)


def test_one_absurd_number_is_no_bad_page(exchange: FaultServer, reader: ExchangeReader) -> None:
    """It is one bad row, which the reader of the rows sets aside."""
    body = b'{"quotes": [{"id": ' + b"9" * 5000 + b', "x": 1e999}, {"id": NaN}]}'
    exchange.answers(sends(http(200, body)))

    assert reader.get_quotes(**WINDOW).body == body


def test_brackets_and_commas_in_texts_are_no_structure(
    exchange: FaultServer, reader: ExchangeReader
) -> None:
    odd = {"id": '\\"[{' * 5000 + ",", "{[": ["}]", '"', "\\"]}
    exchange.answers(says(200, {"quotes": [odd] * 5, "cursor": None}))

    assert json.loads(reader.get_quotes(**WINDOW).body)["quotes"] == [odd] * 5


def test_whatever_comes_over_the_wire_is_an_answer_or_unavailable(
    exchange: FaultServer, reader_of: Callable[..., ExchangeReader]
) -> None:
    """Answers with a few bytes replaced, doubled or left out, the same ones each time."""
    dice = random.Random(11)
    whole = http(200, QUOTES, {"Retry-After": "1", "Content-Encoding": "identity"})
    reader = reader_of(exchange, attempts=1, breaker_faults=10_000)

    for _ in range(60):
        corrupted = bytearray(whole)
        for _ in range(dice.choice((1, 1, 2, 8))):
            at = dice.randrange(len(corrupted))
            corrupted[at : at + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
        exchange.answers(sends(bytes(corrupted)))

        with suppress(ExchangeError):
            reader.get_quotes(**WINDOW)


def test_a_name_that_is_not_found_in_time_is_unavailable(
    exchange: FaultServer,
    reader_of: Callable[..., ExchangeReader],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No timeout ends a lookup, so that it is left behind."""
    let_go = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [] if let_go.wait(60) else None)

    with pytest.raises(ExchangeUnavailable, match="no complete answer in time"):
        reader_of(exchange, attempts=1, attempt_s=0.2).get_quotes(**WINDOW)

    let_go.set()


def nobody_knows(*_: object, **__: object) -> list[object]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (nobody_knows, "ConnectError: .* Name or service not known"),
        (lambda *_, **__: [], "ConnectError: the name has no address"),
    ],
)
def test_a_name_without_an_address_is_unavailable(
    exchange: FaultServer,
    reader_of: Callable[..., ExchangeReader],
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[..., list[object]],
    told: str,
) -> None:
    """Whether nobody knows it or it is known and leads nowhere."""
    monkeypatch.setattr(socket, "getaddrinfo", answer)

    with pytest.raises(ExchangeUnavailable, match=told):
        reader_of(exchange, attempts=1).get_quotes(**WINDOW)

    assert exchange.connections == 0


def after(seconds: float, clock: Clock) -> FaultStep:
    """A 503 that takes so long to come."""

    def act(connection: socket.socket, server: FaultServer) -> None:
        clock.now += seconds
        connection.sendall(http(503, b"{}"))

    return act


def test_the_last_fault_is_told_when_time_is_up(
    exchange: FaultServer, reader_of: Callable[..., ExchangeReader], clock: Clock
) -> None:
    """Slow answers spend it; whether the exchange asks to wait is then of no matter."""
    exchange.answers(after(200, clock))

    with pytest.raises(ExchangeUnavailable, match=r"HTTP 503 \(1 attempt\)"):
        reader_of(exchange).get_quotes(**WINDOW)


def test_the_last_attempt_has_what_is_left_of_the_time(
    exchange: FaultServer, reader_of: Callable[..., ExchangeReader], clock: Clock
) -> None:
    """The first has spent all of it but a second, half of which passes before the next."""
    exchange.answers(after(179, clock), drips(http(200, QUOTES), 0.2))

    with pytest.raises(ExchangeUnavailable, match=r"no complete answer in time \(2 attempts\)"):
        reader_of(exchange, budget_s=180.0, attempt_s=120.0).get_quotes(**WINDOW)


def test_five_attempts_wait_longer_and_longer(
    exchange: FaultServer, reader: ExchangeReader, clock: Clock
) -> None:
    exchange.answers(says(500, {}))

    with pytest.raises(ExchangeUnavailable, match="5 attempts"):
        reader.get_quotes(**WINDOW)

    assert clock.waits == [0.5, 1.0, 2.0, 4.0]
    assert len(exchange.seen) == 5


def test_a_wait_has_a_ceiling(
    exchange: FaultServer, reader_of: Callable[..., ExchangeReader], clock: Clock
) -> None:
    exchange.answers(says(500, {}))

    with pytest.raises(ExchangeUnavailable):
        reader_of(exchange, attempts=9, budget_s=1e9).get_quotes(**WINDOW)

    assert clock.waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_all_attempts_together_stay_within_the_budget(
    exchange: FaultServer, reader_of: Callable[..., ExchangeReader], clock: Clock
) -> None:
    exchange.answers(says(500, {}))

    with pytest.raises(ExchangeUnavailable, match="3 attempts"):
        reader_of(exchange, budget_s=3.0).get_quotes(**WINDOW)

    assert sum(clock.waits) < 3.0


EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\n\r\n"
DRIPPING = {
    "headers": drips(http(200, QUOTES), 0.2),
    "body": drips(http(200, QUOTES), 0.2, after=len(http(200, QUOTES)) - len(QUOTES)),
    "nothing": stays_silent,
    # Never silent and never large, so that neither a timeout nor a cap ends it.
    "early hints for ever": streams(b"", lambda: itertools.repeat(EARLY_HINTS)),
}


@pytest.mark.parametrize("fault", DRIPPING.values(), ids=DRIPPING.keys())
def test_an_answer_that_drips_in_is_ended_by_the_deadline(
    exchange: FaultServer, reader_of: Callable[..., ExchangeReader], fault: FaultStep
) -> None:
    """Each byte comes well within any read timeout; only a deadline ends it."""
    exchange.answers(fault)
    reader = reader_of(exchange, attempts=1, attempt_s=0.4)

    # Nothing but the deadline can end it: the answer has no end.
    with pytest.raises(ExchangeUnavailable, match="no complete answer in time"):
        reader.get_quotes(**WINDOW)


def test_nobody_listening_is_unavailable(reader_of: Callable[..., ExchangeReader]) -> None:
    with serve_faults() as gone:
        pass

    with pytest.raises(ExchangeUnavailable, match="Connection refused"):
        reader_of(gone, attempts=2).get_communications_id()


def test_twenty_faults_in_a_row_open_the_breaker_until_it_is_to_be_tried_again(
    exchange: FaultServer, reader: ExchangeReader
) -> None:
    exchange.answers(says(500, {}))
    for _ in range(3):
        with pytest.raises(ExchangeUnavailable):
            reader.get_quotes(**WINDOW)

    with pytest.raises(ExchangeDown, match="20 attempts in a row failed, the last with: HTTP 500"):
        reader.get_quotes(**WINDOW)

    exchange.answers(GOOD)
    with pytest.raises(ExchangeDown):
        reader.get_quotes(**WINDOW)
    assert len(exchange.seen) == 20
    reader.try_again()
    assert reader.get_quotes(**WINDOW).body == QUOTES


def test_twenty_times_too_many_requests_are_no_outage(
    exchange: FaultServer, reader_of: Callable[..., ExchangeReader]
) -> None:
    exchange.answers(says(429, {}))

    with pytest.raises(TryLater) as caught:
        reader_of(exchange, attempts=30, budget_s=1e9).get_quotes(**WINDOW)

    assert caught.value.exit_code == 75


def test_a_success_between_faults_keeps_the_breaker_closed(
    exchange: FaultServer, reader: ExchangeReader
) -> None:
    for _ in range(6):
        exchange.answers(*[says(500, {})] * 4, GOOD)

        assert reader.get_quotes(**WINDOW).body == QUOTES

    assert len(exchange.seen) == 30
