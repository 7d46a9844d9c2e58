"""Certificates are checked against the packaged roots, whatever the environment says."""

import ipaddress
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipelines.kalshi.client.errors import ExchangeUnavailable
from pipelines.kalshi.client.reader import open_reader
from pipelines.kalshi.client.signing import Signer
from pipelines.kalshi.client.transport import certificates
from tests.client.conftest import Clock
from tests.client.fault_server import FaultServer, drips, http, says, serve_faults

GOOD = says(200, {"communications_id": "c"})


@pytest.fixture(autouse=True)
def _roots_not_yet_read() -> Iterator[None]:
    """As in a process that has read none, nor leaves what a test has put in their place."""
    certificates.cache_clear()
    yield
    certificates.cache_clear()


def self_signed(key: RSAPrivateKey, address: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "exchange")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


@pytest.fixture(params=["127.0.0.1"])
def certificate(request, rsa_key: RSAPrivateKey, tmp_path: Path) -> Path:
    """A certificate for an address, and its key, in one file."""
    path = tmp_path / "server.pem"
    pem = self_signed(rsa_key, request.param).public_bytes(Encoding.PEM)
    key = rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem + key)
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[FaultServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serve_faults(context) as server:
        server.answers(GOOD)
        yield server


def read_over_tls(server: FaultServer, signer: Signer, **changes: float) -> str:
    base_url = server.base_url.replace("http:", "https:")
    with open_reader(
        base_url, signer, retry_policy=Clock().retry_policy(attempts=1, **changes)
    ) as reader:
        return reader.get_communications_id()


def test_a_certificate_trusted_by_the_environment_is_refused(
    secure: FaultServer, signer: Signer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown certificate is refused even if the environment trusts it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("SSL_CERT_DIR", str(certificate.parent))

    with pytest.raises(ExchangeUnavailable, match="certificate verify failed"):
        read_over_tls(secure, signer)

    assert secure.seen == []


def test_a_certificate_under_a_packaged_root_is_accepted(
    secure: FaultServer, signer: Signer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certifi, "where", lambda: str(certificate))

    assert read_over_tls(secure, signer) == "c"


@pytest.mark.parametrize("certificate", ["127.0.0.2"], indirect=True)
def test_a_certificate_for_another_address_is_refused(
    secure: FaultServer, signer: Signer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certifi, "where", lambda: str(certificate))

    with pytest.raises(ExchangeUnavailable, match="certificate is not valid for"):
        read_over_tls(secure, signer)

    assert secure.seen == []


def test_a_deadline_holds_over_tls_too(
    secure: FaultServer, signer: Signer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certifi, "where", lambda: str(certificate))
    secure.answers(drips(http(200, b"{}"), 0.05))

    with pytest.raises(ExchangeUnavailable, match="no complete answer in time"):
        read_over_tls(secure, signer, attempt_s=0.4)
