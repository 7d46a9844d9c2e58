"""What may be sent at all: by method, path and origin, decided below httpx and before signing."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.kalshi.client.errors import ConfigurationError, RequestRefused
from pipelines.kalshi.client.origin import KNOWN_HOSTS, checked_base_url, origin_of
from pipelines.kalshi.client.reader import ExchangeReader, open_reader
from pipelines.kalshi.client.signing import Signer
from pipelines.kalshi.client.transport import READS, WRITES, NotAllowed, SignedTransport
from tests.client.fault_server import FaultServer, says

BASE = "http://127.0.0.1:9/trade-api/v2"
ID = "7b4b2c5e-4b0c-4d6f-9b1a-0c2d3e4f5a6b"

ADMITTED_READS = {
    ("GET", f"/{path}")
    for path in (
        "communications/id",
        "communications/rfqs",
        f"communications/rfqs/{ID}",
        "communications/quotes",
        f"communications/quotes/{ID}",
        f"communications/rfqs/{ID}/quotes/{ID}",
        "account/limits",
        "account/endpoint_costs",
        "api_keys",
    )
}
QUOTE_PATHS = (f"/communications/quotes/{ID}", f"/communications/rfqs/{ID}/quotes/{ID}")
ADMITTED_WRITES = {
    ("POST", "/communications/rfqs"),
    ("POST", "/communications/quotes"),
    ("DELETE", f"/communications/rfqs/{ID}"),
    *(("DELETE", path) for path in QUOTE_PATHS),
    *(("PUT", f"{path}/{verb}") for path in QUOTE_PATHS for verb in ("accept", "confirm")),
}

segments = st.sampled_from(
    "communications rfqs quotes id account limits endpoint_costs accept confirm portfolio balance "
    f"orders api_keys block-trade-proposals rfq_batches .. . %2e%2e %2F {ID} {ID}x".split()
) | st.text(max_size=5)
paths = st.lists(segments, max_size=6).map(lambda parts: "/" + "/".join(parts))
methods = st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "get"])


class SignedSomething(Exception):
    """The transport went past its checks and asked for a signature."""


def tripwire(message: bytes) -> bytes:
    raise SignedSomething


@contextmanager
def transport(allowed: dict[str, str]) -> Iterator[SignedTransport]:
    with SignedTransport(httpx.URL(BASE), Signer("id", tripwire), allowed) as opened:
        yield opened


def is_admitted(opened: SignedTransport, request: httpx.Request) -> bool:
    try:
        opened.send(request, 1.0)
    except SignedSomething:
        return True
    except NotAllowed:
        return False
    raise AssertionError("sent without a signature")


@pytest.mark.parametrize(
    ("allowed", "admitted"),
    [(READS, ADMITTED_READS), (WRITES, ADMITTED_WRITES)],
    ids=["reads", "writes"],
)
def test_the_allowlist_decides_every_method_and_path(
    allowed: dict[str, str], admitted: set[tuple[str, str]]
) -> None:
    """Every combination of known methods and paths is decided by the list."""
    paths = {path for _, path in ADMITTED_READS | ADMITTED_WRITES}

    with transport(allowed) as opened:
        let_through = {
            (method, path)
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
            for path in paths
            if is_admitted(opened, httpx.Request(method, BASE + path))
        }

    assert let_through == admitted


def test_no_other_method_or_path_is_signed() -> None:
    with transport(READS) as opened:

        @given(methods, paths)
        def only_listed_reads(method: str, path: str) -> None:
            try:
                request = httpx.Request(method, BASE + path)
            except httpx.InvalidURL:
                return
            sent = request.url.raw_path.decode().partition("?")[0]
            expected = (request.method, sent.removeprefix("/trade-api/v2")) in ADMITTED_READS
            assert is_admitted(opened, request) == expected

        only_listed_reads()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8/trade-api/v2/communications/id",
        "https://127.0.0.1:9/trade-api/v2/communications/id",
        "http://localhost:9/trade-api/v2/communications/id",
        "http://127.0.0.1:9@evil.example/trade-api/v2/communications/id",
        "http://evil.example:9/trade-api/v2/communications/id",
        "http://127.0.0.1:9/trade-api/v2/../v2/portfolio/balance",
        "http://127.0.0.1:9//trade-api/v2/communications/id",
        "http://127.0.0.1:9/trade-api/v2/communications/id/",
        "http://127.0.0.1:9/trade-api/v2/communications/id%0a",
        "http://127.0.0.1:9/trade-api/v2/communications/%69d",
    ],
)
def test_another_origin_or_spelling_is_never_signed(url: str) -> None:
    with transport(READS) as opened:
        assert not is_admitted(opened, httpx.Request("GET", url))


def test_another_host_header_is_never_signed() -> None:
    url = f"{BASE}/communications/id"

    with transport(READS) as opened:
        assert is_admitted(opened, httpx.Request("GET", url))
        assert not is_admitted(opened, httpx.Request("GET", url, headers={"Host": "evil.example"}))


def test_an_id_that_is_no_uuid_never_becomes_a_path() -> None:
    with open_reader(BASE, Signer("id", tripwire)) as reader:

        @given(st.text() | st.text(min_size=36, max_size=36))
        def never_sent(rfq_id: str) -> None:
            assume(not re.fullmatch("[0-9a-fA-F-]{36}", rfq_id))
            with pytest.raises(RequestRefused):
                reader.get_rfq(rfq_id)

        never_sent()


@pytest.mark.parametrize(
    "bad", ["", "..", f"{ID}\n", f"{ID}/", "../../portfolio/balance", "x" * 36]
)
def test_a_malformed_id_is_refused_before_anything_is_sent(
    exchange: FaultServer, reader: ExchangeReader, writer, bad: str
) -> None:
    for call in (
        lambda: reader.get_rfq(bad),
        lambda: reader.get_quote(bad),
        lambda: reader.get_quote(ID, rfq_id=bad or "x"),
        lambda: writer.delete_rfq(bad),
        lambda: writer.delete_quote(bad),
        lambda: writer.accept_quote(bad, accepted_side="yes"),
        lambda: writer.confirm_quote(bad, rfq_id=ID),
    ):
        with pytest.raises(RequestRefused, match="nothing was sent"):
            call()

    assert exchange.connections == 0


def test_a_reader_has_no_way_to_write(exchange: FaultServer, reader: ExchangeReader) -> None:
    public = {name for name in dir(reader) if not name.startswith("_")}
    exchange.answers(says(200, {}))

    with pytest.raises(NotAllowed):
        reader._session.write("DELETE", f"/communications/rfqs/{ID}", None)

    known = {"budget", "clock_skew_s", "exchange", "learn_budget", "local_clock", "origin"}
    known |= {"try_again"}
    assert all(name.startswith("get_") for name in public - known)
    assert exchange.connections == 0


@pytest.mark.parametrize("host", KNOWN_HOSTS)
def test_the_exchange_hosts_are_accepted_over_https(host: str) -> None:
    assert checked_base_url(f"https://{host}/trade-api/v2/").host == host
    with pytest.raises(ConfigurationError, match="use https"):
        checked_base_url(f"http://{host}/trade-api/v2")


@pytest.mark.parametrize(
    ("base_url", "origin"),
    [
        ("http://127.0.0.1:8000/trade-api/v2", "http://127.0.0.1:8000"),
        ("http://localhost/trade-api/v2", "http://localhost:80"),
        ("http://[::1]:8000/trade-api/v2", "http://[::1]:8000"),
        ("HTTPS://Demo-API.kalshi.co/trade-api/v2", "https://demo-api.kalshi.co:443"),
        ("https://demo-api.kalshi.co:443/trade-api/v2", "https://demo-api.kalshi.co:443"),
    ],
)
def test_an_origin_is_spelled_one_way(base_url: str, origin: str) -> None:
    assert origin_of(checked_base_url(base_url)) == origin


@pytest.mark.parametrize(
    ("base_url", "why"),
    [
        ("", "path"),
        ("external-api.kalshi.com/trade-api/v2", "path"),
        ("https://external-api.kalshi.com", "path"),
        ("https://external-api.kalshi.com/trade-api/v1", "path"),
        ("https://external-api.kalshi.com/trade%2Dapi/v2", "path"),
        ("https://external-api.kalshi.com/trade-api/v2/portfolio", "path"),
        ("https://external-api.kalshi.com/x/../trade-api/v2?a=b", "query"),
        ("https://external-api.kalshi.com/trade-api/v2#a", "fragment"),
        ("https://user:pw@external-api.kalshi.com/trade-api/v2", "user name"),
        ("https://external-api.kalshi.com@evil.example/trade-api/v2", "user name"),
        ("https://external-api.kalshi.com.evil.example/trade-api/v2", "not one of the exchange's"),
        ("http://127.0.0.1.evil.example/trade-api/v2", "use https"),
        ("http://169.254.169.254/trade-api/v2", "use https"),
        ("ftp://127.0.0.1/trade-api/v2", "https://"),
        ("https://[::1/trade-api/v2", "not a URL"),
        ("https://a\x00b/trade-api/v2", "not a URL"),
    ],
)
def test_an_unsafe_base_url_is_refused_with_the_right_ones(base_url: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        checked_base_url(base_url)

    assert "https://external-api.kalshi.com/trade-api/v2" in str(caught.value)
    assert "pw" not in str(caught.value)
    assert caught.value.exit_code == 78


def test_another_host_needs_to_be_allowed_and_still_https() -> None:
    proxy = "https://gateway.example/trade-api/v2"

    assert checked_base_url(proxy, allow_unknown_host=True).host == "gateway.example"
    with pytest.raises(ConfigurationError, match="use https"):
        checked_base_url(proxy.replace("https", "http"), allow_unknown_host=True)
