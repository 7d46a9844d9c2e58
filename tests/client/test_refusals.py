"""What each status of the exchange becomes, and what a message may show of it."""

import base64
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.kalshi.client import transport
from pipelines.kalshi.client.errors import (
    CredentialsRefused,
    CursorRefused,
    ExchangeUnavailable,
    NotFound,
    RequestRefused,
    TryLater,
)
from pipelines.kalshi.client.reader import ExchangeReader, ExchangeWriter, open_reader
from pipelines.kalshi.client.refusals import redacted
from pipelines.kalshi.client.transport import http_date
from tests.client.conftest import KEY_ID, Clock
from tests.client.fault_server import FaultServer, http, says, sends, serve_faults

ID = "7b4b2c5e-4b0c-4d6f-9b1a-0c2d3e4f5a6b"
EMPTY = says(200, {"rfqs": []})


def nested(code: str, message: str = "", **more: str) -> dict[str, object]:
    return {"error": {"code": code, "message": message, **more}}


def from_now(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308, 400, 402, 405, 409, 410, 422])
def test_any_other_refusal_is_permanent_and_asked_once(
    exchange: FaultServer, reader: ExchangeReader, status: int
) -> None:
    exchange.answers(says(status, nested("some_code", "some text")), EMPTY)

    with pytest.raises(RequestRefused, match=f"HTTP {status} some_code: some text") as caught:
        reader.get_rfqs()

    assert type(caught.value) is RequestRefused
    assert (caught.value.status, caught.value.code) == (status, "some_code")
    assert len(exchange.seen) == 1


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (nested("expired", "too late", details="by 2 s"), "HTTP 409 expired: too late; by 2 s."),
        ({"code": "expired", "message": "too late"}, "HTTP 409 expired: too late."),
        ({"msg": "Parameter validation failed"}, "HTTP 409 Parameter validation failed."),
        ({"error": "too many requests"}, "HTTP 409 too many requests."),
        ({"error": None}, "HTTP 409 None."),
        ({}, "HTTP 409."),
    ],
)
def test_all_four_envelopes_are_read(
    exchange: FaultServer, reader: ExchangeReader, body: object, shown: str
) -> None:
    exchange.answers(says(409, body))

    with pytest.raises(RequestRefused) as caught:
        reader.get_rfqs()

    assert f"GET /communications/rfqs: {shown}" in str(caught.value)


def test_a_refused_cursor_says_to_start_again(
    exchange: FaultServer, reader: ExchangeReader
) -> None:
    exchange.answers(says(400, nested("invalid_parameters", "bad cursor")))

    with pytest.raises(CursorRefused, match="from its first page"):
        reader.get_rfqs(cursor="abc")
    with pytest.raises(RequestRefused) as caught:
        reader.get_rfqs(cursor="")

    assert type(caught.value) is RequestRefused
    assert "cursor" not in exchange.seen[-1].target


@pytest.mark.parametrize("cursor", ["x" * 4097, "naïve", "\ud800"])
def test_what_cannot_be_a_cursor_is_not_sent(
    exchange: FaultServer, reader: ExchangeReader, cursor: str
) -> None:
    exchange.answers(EMPTY)

    with pytest.raises(CursorRefused, match="nothing was sent"):
        reader.get_rfqs(cursor=cursor)

    assert exchange.seen == []


def test_not_found_is_for_one_id_and_a_missing_list_is_a_wrong_address(
    exchange: FaultServer, reader: ExchangeReader
) -> None:
    exchange.answers(says(404, nested("not_found")))

    with pytest.raises(NotFound, match=r"GET /communications/rfqs/\*: HTTP 404 not_found"):
        reader.get_rfq(ID)
    with pytest.raises(NotFound):
        reader.get_quote(ID, rfq_id=ID)
    with pytest.raises(RequestRefused, match="Check the base URL") as caught:
        reader.get_rfqs()

    assert type(caught.value) is RequestRefused


def test_a_refused_signature_is_signed_once_more_and_no_more(
    exchange: FaultServer, reader: ExchangeReader, clock: Clock
) -> None:
    refused = nested("authentication_error", details="INCORRECT_API_KEY_SIGNATURE")
    exchange.answers(says(401, refused))

    with pytest.raises(CredentialsRefused) as caught:
        reader.get_rfqs()

    assert "authentication_error: INCORRECT_API_KEY_SIGNATURE. Check" in str(caught.value)
    assert "clock" not in str(caught.value)
    assert len(exchange.seen) == 2
    assert clock.waits == []
    assert caught.value.exit_code == 77


@pytest.mark.parametrize(
    ("ahead_s", "said"), [(-61, "6[012] s ahead of"), (61, "(59|6[01]) s behind"), (8, "[678] s")]
)
def test_a_refused_signature_names_the_clock_when_it_is_off(
    exchange: FaultServer, reader: ExchangeReader, ahead_s: float, said: str
) -> None:
    expired = nested("header_timestamp_expired")
    exchange.answers(says(401, expired, {"Date": from_now(ahead_s)}))

    with pytest.raises(CredentialsRefused, match=rf"clock skew: this machine is {said}"):
        reader.get_rfqs()

    assert reader.clock_skew_s == pytest.approx(ahead_s, abs=1.5)


def test_a_missing_scope_is_named_and_never_means_no_rows(
    exchange: FaultServer, reader: ExchangeReader
) -> None:
    exchange.answers(says(403, nested("forbidden", "missing scope read::communications")))

    with pytest.raises(CredentialsRefused, match="missing scope read::communications") as caught:
        reader.get_rfqs()

    assert "create a key that has it" in str(caught.value)
    assert len(exchange.seen) == 1


def test_no_redirect_is_followed_and_no_signature_leaves_the_origin(
    exchange: FaultServer, reader: ExchangeReader
) -> None:
    with serve_faults() as elsewhere:
        elsewhere.answers(EMPTY)
        for status in (301, 302, 303, 307, 308):
            target = f"{elsewhere.base_url}/communications/rfqs"
            exchange.answers(says(status, {}, {"Location": target}))

            with pytest.raises(RequestRefused, match="Check the base URL"):
                reader.get_rfqs()

        assert elsewhere.connections == 0


def test_rate_limits_end_as_try_later(
    exchange: FaultServer, reader: ExchangeReader, clock: Clock
) -> None:
    exchange.answers(says(429, {"error": "too many requests"}))

    with pytest.raises(TryLater, match=r"HTTP 429 \(5 attempts\)") as caught:
        reader.get_rfqs()

    assert caught.value.exit_code == 75
    assert len(exchange.seen) == 5


@pytest.mark.parametrize(
    ("retry_after", "waited_s"),
    [
        ("7", 7.5),
        ("0", 0.5),
        ("-3", 0.5),
        ("+7", 0.5),
        ("1_0", 0.5),
        ("\xb2", 0.5),
        ("1e400", 0.5),
        ("9" * 400, 0.5),
        ("2592001", 0.5),
        ("Fri, 31 Dec 9999 23:59:59 -0100", 0.5),
        ("Mon, 01 Jan 0001 00:00:00 GMT", 0.5),
        ("Fri, 31 Dec 2060 23:59:59 GMT", 0.5),
        ("1.5", 2.0),
        ("nan", 0.5),
        ("inf", 0.5),
        ("soon", 0.5),
        ("", 0.5),
        ("Fri, 99 Foo 2026", 0.5),
    ],
)
def test_retry_after_is_a_floor_under_our_own_wait(
    exchange: FaultServer,
    reader: ExchangeReader,
    clock: Clock,
    retry_after: str,
    waited_s: float,
) -> None:
    exchange.answers(says(429, {}, {"Retry-After": retry_after}), EMPTY)

    reader.get_rfqs()

    assert clock.waits == [waited_s]


def test_retry_after_as_a_date_goes_by_the_exchange_clock(
    exchange: FaultServer, reader: ExchangeReader, clock: Clock
) -> None:
    """Both dates are an hour off; what counts is that they lie ten seconds apart."""
    off = {"Date": from_now(3600), "Retry-After": from_now(3610)}
    exchange.answers(says(503, {}, off), EMPTY)

    reader.get_rfqs()

    (waited_s,) = clock.waits
    assert waited_s in (10.5, 11.5)


def test_a_wait_beyond_the_budget_is_left_to_the_next_run(
    exchange: FaultServer, reader: ExchangeReader, clock: Clock
) -> None:
    exchange.answers(says(503, {}, {"Retry-After": "9999"}))

    with pytest.raises(TryLater, match="HTTP 503, and the exchange asks to wait 9999 s"):
        reader.get_rfqs()

    assert len(exchange.seen) == 1
    assert clock.waits == []


def test_proxies_and_certificates_of_the_environment_are_ignored(
    exchange: FaultServer,
    reader_of: Callable[..., ExchangeReader],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serve_faults() as proxy:
        proxy.answers(EMPTY)
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.origin)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")
        # As in a process that has read none yet.
        transport.certificates.cache_clear()
        exchange.answers(EMPTY)

        reader_of(exchange).get_rfqs()

        assert len(exchange.seen) == 1
        assert proxy.connections == 0


def test_no_cookie_is_ever_sent_back(exchange: FaultServer, reader: ExchangeReader) -> None:
    exchange.answers(says(200, {"rfqs": []}, {"Set-Cookie": "session=abc; Path=/"}))

    reader.get_rfqs()
    reader.get_rfqs()

    assert "cookie" not in exchange.seen[1].headers


def test_a_page_says_when_it_was_served(exchange: FaultServer, reader: ExchangeReader) -> None:
    date = {"Date": "Sun, 06 Nov 2094 08:49:60 GMT"}
    nonsense = says(200, {"rfqs": []}, {"Date": "nonsense"})
    exchange.answers(nonsense, says(200, {"rfqs": []}, date), nonsense)

    undated, dated, later = reader.get_rfqs(), reader.get_rfqs(), reader.get_rfqs()

    assert undated.served_ts is None
    assert dated.served_ts == datetime(2094, 11, 6, 8, 49, 59, tzinfo=UTC)
    assert later.served_ts is not None
    assert timedelta(0) <= later.served_ts - dated.served_ts < timedelta(seconds=30)
    assert (datetime.now(UTC) - undated.received_ts).total_seconds() < 5
    assert dated.status == 200
    assert "rfqs" not in repr(dated)


@given(st.text() | st.from_regex(r"\w{3}, \d{1,3} \w{3} \d{1,5} \d\d:\d\d:\d\d [+-]\d{1,6}"))
def test_no_date_header_can_break_a_read(text: str) -> None:
    date = http_date(text)

    assert date is None or date.utcoffset() == timedelta(0)


@given(st.text())
def test_redacted_text_is_one_short_line_that_cannot_steer_a_terminal(text: str) -> None:
    line = redacted(text)

    assert len(line) <= 201
    assert all(unicodedata.category(character)[0] != "C" for character in line)


@given(st.uuids(), st.binary(min_size=48), st.text("abcdef0123456789", min_size=64, max_size=64))
def test_redacted_text_holds_no_id_hash_or_signature(uuid, signature: bytes, digest: str) -> None:
    encoded = base64.b64encode(signature).decode()

    line = redacted(f"user {uuid} maker={digest} sig:{encoded}, key {KEY_ID}.", KEY_ID)

    assert not any(secret in line for secret in (str(uuid), digest, encoded, KEY_ID))
    assert "user <hidden>" in line


HTML = {"Content-Type": "text/html; charset=utf-8"}
NOT_OF_THE_EXCHANGE = {
    "HTML": (http(403, b"<html>Access denied</html>", HTML), "text/html"),
    "HTML that claims to be JSON": (
        http(403, b"<html>Access denied</html>"),
        "no JSON object",
    ),
    "plain text": (http(403, b"denied", {"Content-Type": "text/plain"}), "text/plain"),
    "nothing": (http(403, headers={"Content-Type": ""}), "of no type"),
    "a bare list": (http(403, b'["?"]'), "no JSON object"),
    "broken JSON": (http(403, b'{"error":'), "no JSON object"),
}


@pytest.mark.parametrize(
    ("answer", "kind"), NOT_OF_THE_EXCHANGE.values(), ids=NOT_OF_THE_EXCHANGE.keys()
)
@pytest.mark.parametrize("status", [b"302", b"400", b"401", b"403", b"404", b"407", b"451"])
def test_what_refuses_in_anything_but_json_is_not_the_exchange(
    exchange: FaultServer, reader: ExchangeReader, answer: bytes, kind: str, status: bytes
) -> None:
    """Least of all does it say that a key is refused, a cursor expired or a record gone."""
    exchange.answers(sends(answer.replace(b"403", status, 1)))

    for read in (lambda: reader.get_rfqs(cursor="abc"), lambda: reader.get_rfq(ID)):
        with pytest.raises(ExchangeUnavailable) as caught:
            read()

        assert f"HTTP {status.decode()} with a body that is {kind}" in str(caught.value)
        assert "as the exchange never refuses: something in front of it does" in str(caught.value)
        assert "It says nothing of the key" in str(caught.value)


def test_a_refusal_that_is_no_json_is_shown_cut_and_cleaned(
    exchange: FaultServer, reader: ExchangeReader
) -> None:
    page = f"<html>\x1b[31m {ID}\r\nfake log line</html>".encode() + b"x" * 5000
    exchange.answers(sends(http(409, page, HTML)))

    with pytest.raises(ExchangeUnavailable) as caught:
        reader.get_rfqs()

    shown = str(caught.value)
    assert "<html> [31m <hidden> fake log line</html>" in shown
    assert len(shown) < 500


@pytest.mark.parametrize("length", [200, 201])
def test_what_a_refusal_says_is_shown_up_to_200_characters(
    exchange: FaultServer, reader: ExchangeReader, length: int
) -> None:
    said = ("a " * 101)[: length - 1] + "a"
    exchange.answers(sends(http(409, said.encode(), HTML)))

    with pytest.raises(ExchangeUnavailable) as caught:
        reader.get_rfqs()

    assert said[:200] in str(caught.value)
    assert ("…" in str(caught.value)) == (length > 200)


@pytest.mark.parametrize("answer", [http(200, b"<html>log in</html>", HTML), http(403, b"", HTML)])
def test_a_write_answered_by_a_proxy_may_have_happened(
    exchange: FaultServer, writer: ExchangeWriter, answer: bytes
) -> None:
    """A write that something else answered may have been carried out."""
    exchange.answers(sends(answer))

    with pytest.raises(ExchangeUnavailable, match="It may or may not have been carried out"):
        writer.confirm_quote(ID)

    assert len(exchange.seen) == 1


def test_an_endless_message_is_cut_before_it_is_searched(
    exchange: FaultServer, reader: ExchangeReader
) -> None:
    exchange.answers(says(409, nested("a" * 500_000, "b" * 500_000)))

    with pytest.raises(RequestRefused) as caught:
        reader.get_rfqs()

    assert len(str(caught.value)) < 600


def test_an_unreadable_communications_id_is_no_id(
    exchange: FaultServer, reader_of: Callable[..., ExchangeReader]
) -> None:
    for broken in (None, "", 5, "x" * 201, "a\x1bb"):
        exchange.answers(says(200, {"communications_id": broken}))

        with pytest.raises(ExchangeUnavailable, match="text under 'communications_id'"):
            reader_of(exchange, attempts=1).get_communications_id()


def test_every_attempt_is_reported(exchange: FaultServer, signer, clock: Clock) -> None:
    told: list[tuple[str, int | None]] = []
    exchange.answers(says(500, {}), sends(b""), says(200, {"rfqs": []}))

    with open_reader(
        exchange.base_url,
        signer,
        on_request=lambda path, status: told.append((path, status)),
        retry_policy=clock.retry_policy(),
    ) as reader:
        reader.get_rfqs(market_ticker="PRIVATE")

    path = "/trade-api/v2/communications/rfqs"
    assert told == [(path, 500), (path, None), (path, 200)]
