"""Canaries: key, key id and signature in no message, traceback, frame, repr or log line."""

import base64
import json
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipelines.kalshi.client.errors import CredentialsUnusable, ExchangeError
from pipelines.kalshi.client.reader import ExchangeReader, ExchangeWriter, open_reader, open_writer
from pipelines.kalshi.client.signing import Signer, load_signer
from tests.client.conftest import KEY_ID, Clock
from tests.client.fault_server import FaultServer, FaultStep, Seen, http, resets, says, sends
from tests.client.test_faults import TRANSIENT

ID = "7b4b2c5e-4b0c-4d6f-9b1a-0c2d3e4f5a6b"


def echoes(status: int, *, as_json: bool = True) -> FaultStep:
    """Repeats the request's own headers in headers and body, as a debugging gateway does."""

    def act(connection, server: FaultServer) -> None:
        mine = {k: v for k, v in server.seen[-1].headers.items() if k.startswith("kalshi")}
        text = " ".join(mine.values())
        body = json.dumps({"error": {"code": mine["kalshi-access-key"], "message": text}})
        echoed = {f"X-Echo-{name}": value for name, value in mine.items()}
        connection.sendall(http(status, (body if as_json else text).encode(), echoed))

    return act


def echoes_as_garbage(connection, server: FaultServer) -> None:
    """An answer that is not HTTP, made of our own headers: parsers like to quote such lines."""
    connection.sendall(repr(server.seen[-1].headers).encode() + b"\r\n\r\n")


def echoes_in_a_broken_header(connection, server: FaultServer) -> None:
    signature = server.seen[-1].headers["kalshi-access-signature"]
    connection.sendall(f"HTTP/1.1 200 OK\r\n bad {KEY_ID} {signature}: x\r\n\r\n".encode())


FAULTS: dict[str, FaultStep] = {
    **{name: fault for name, (fault, _) in TRANSIENT.items() if "bomb" not in name},
    **{
        f"echo {status}": echoes(status) for status in (200, 302, 400, 401, 403, 404, 409, 429, 500)
    },
    "echo as text": echoes(409, as_json=False),
    "echo as content type": sends(http(200, b"{}", {"Content-Type": KEY_ID})),
    "echo as garbage": echoes_as_garbage,
    "echo in a broken header": echoes_in_a_broken_header,
    "reset": resets(b""),
}
CALLS: dict[str, Callable[[ExchangeReader, ExchangeWriter], object]] = {
    "read a list": lambda reader, writer: reader.get_rfqs(cursor="c"),
    "read a record": lambda reader, writer: reader.get_rfq(ID),
    "write": lambda reader, writer: writer.delete_rfq(ID),
}


class Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} {self.format(record)} {record.args!r}")


@pytest.fixture
def everything_logged() -> Iterator[Recorder]:
    """All loggers at DEBUG, those of the HTTP libraries by name."""
    names = ["", "httpx", "httpcore", "httpcore.http11", "httpcore.connection", "pipelines"]
    before = {name: logging.getLogger(name).level for name in names}
    recorder = Recorder()
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger().addHandler(recorder)
    yield recorder
    logging.getLogger().removeHandler(recorder)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def everything_told(error: BaseException) -> str:
    """All that a crash reporter could collect: messages, chains, attributes, local variables."""
    told = "".join(
        "".join(
            traceback.TracebackException.from_exception(link, capture_locals=True).format(
                chain=True
            )
        )
        + repr(link)
        + repr(vars(link))
        for link in chain_of(error)
    )
    # The locals of this module's own frames are the test's.
    return without_our_frames(told)


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def without_our_frames(told: str) -> str:
    return re.sub(rf'(?s)  File "{re.escape(__file__)}".*?(?=  File "|\Z)', "", told)


def secrets_in(text: str, seen: list[Seen]) -> list[str]:
    signatures = [request.headers["kalshi-access-signature"] for request in seen]
    canaries = [KEY_ID, *signatures, *(repr(base64.b64decode(s)) for s in signatures)]
    return [canary for canary in canaries if canary in text]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_no_failure_tells_key_id_or_signature(
    exchange: FaultServer,
    signer: Signer,
    everything_logged: Recorder,
    fault: FaultStep,
    call: Callable[[ExchangeReader, ExchangeWriter], object],
) -> None:
    exchange.answers(fault)
    retry_policy = Clock().retry_policy(attempts=2)
    with (
        open_reader(exchange.base_url, signer, retry_policy=retry_policy) as reader,
        open_writer(exchange.base_url, signer, retry_policy=retry_policy) as writer,
    ):
        try:
            call(reader, writer)
            told = ""
        except ExchangeError as error:
            told = (
                everything_told(error) + traceback.format_exc() + traceback.format_exc(chain=False)
            )

    assert exchange.seen
    assert secrets_in(told, exchange.seen) == []
    assert secrets_in("\n".join(everything_logged.lines), exchange.seen) == []


def test_the_logs_of_the_http_library_are_still_there_without_headers(
    exchange: FaultServer, signer: Signer, everything_logged: Recorder
) -> None:
    exchange.answers(says(200, {"rfqs": []}))

    with open_reader(exchange.base_url, signer) as reader:
        reader.get_rfqs()

    assert any("connect_tcp" in line for line in everything_logged.lines)
    assert not any("httpcore.http11" in line for line in everything_logged.lines)


def test_an_error_of_the_client_has_no_frame_that_held_a_request(
    exchange: FaultServer, reader: ExchangeReader
) -> None:
    exchange.answers(resets(b""))

    with pytest.raises(ExchangeError) as caught:
        reader.get_rfqs()

    assert caught.value.__context__ is None
    files = {
        Path(frame.filename).name for frame in traceback.extract_tb(caught.value.__traceback__)
    }
    assert files == {Path(__file__).name, "reader.py", "session.py"}


def test_no_repr_shows_the_key_or_its_id(rsa_key: RSAPrivateKey, signer: Signer) -> None:
    shown = repr(signer) + str(signer) + f"{[signer]}"

    assert shown == "Signer()Signer()[Signer()]"


def test_a_refused_key_is_in_no_message_of_its_chain(
    tmp_path: Path, rsa_key: RSAPrivateKey
) -> None:
    text = rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    broken = tmp_path / "key.pem"
    broken.write_text(text[:900])
    broken.chmod(0o600)

    with pytest.raises(CredentialsUnusable) as caught:
        load_signer(KEY_ID, private_key_path=broken)

    told = "".join(traceback.format_exception(caught.value))
    told += "".join(str(link) + repr(link) for link in chain_of(caught.value))
    assert not any(line in told for line in text.splitlines()[1:-1])
    assert KEY_ID not in told
