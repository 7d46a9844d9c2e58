"""Keys that sign, keys that are refused, and signatures checked with the public key."""

import base64
import os
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from pipelines.kalshi.client.errors import (
    ConfigurationError,
    CredentialsMissing,
    CredentialsUnusable,
)
from pipelines.kalshi.client.reader import ExchangeReader, open_reader
from pipelines.kalshi.client.signing import Signer, load_signer
from tests.client.conftest import KEY_ID
from tests.client.fault_server import FaultServer, Seen, says

AnyKey = RSAPrivateKey | Ed25519PrivateKey | ec.EllipticCurvePrivateKey


def pem(
    key: AnyKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> str:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()).decode()


def verify_pss(key: RSAPrivateKey, signature: bytes, message: str, salt_bytes: int) -> None:
    scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=salt_bytes)
    key.public_key().verify(signature, message.encode(), scheme, hashes.SHA256())


def signed(seen: Seen) -> tuple[bytes, str]:
    """The signature of a request and the text that the exchange checks it against."""
    stamp = seen.headers["kalshi-access-timestamp"]
    signature = base64.b64decode(seen.headers["kalshi-access-signature"], validate=True)
    return signature, f"{stamp}{seen.method}{seen.path}"


def test_a_request_is_signed_over_its_path_without_the_query(
    exchange: FaultServer, reader: ExchangeReader, rsa_key: RSAPrivateKey
) -> None:
    exchange.answers(says(200, {"rfqs": []}))

    reader.get_rfqs(cursor="a+b/c=", market_ticker="KX-1&x=2")

    (seen,) = exchange.seen
    signature, message = signed(seen)
    assert message.endswith("GET/trade-api/v2/communications/rfqs")
    assert seen.target.endswith("?cursor=a%2Bb%2Fc%3D&limit=100&market_ticker=KX-1%26x%3D2")
    assert seen.headers["kalshi-access-key"] == KEY_ID
    verify_pss(rsa_key, signature, message, salt_bytes=32)


@pytest.mark.parametrize("salt_bytes", [0, 20, 31, 33, 222])
def test_the_salt_has_32_bytes_and_no_other_length(
    rsa_key: RSAPrivateKey, signer: Signer, salt_bytes: int
) -> None:
    headers = signer.headers("GET", "/trade-api/v2/communications/id")
    signature = base64.b64decode(headers["KALSHI-ACCESS-SIGNATURE"])
    message = f"{headers['KALSHI-ACCESS-TIMESTAMP']}GET/trade-api/v2/communications/id"

    verify_pss(rsa_key, signature, message, salt_bytes=32)
    with pytest.raises(InvalidSignature):
        verify_pss(rsa_key, signature, message, salt_bytes)


def test_a_timestamp_is_whole_milliseconds() -> None:
    signer = Signer("id", lambda message: message, lambda: 1_790_000_000.9876)

    headers = signer.headers("GET", "/x")

    assert headers["KALSHI-ACCESS-TIMESTAMP"] == "1790000000987"
    assert base64.b64decode(headers["KALSHI-ACCESS-SIGNATURE"]) == b"1790000000987GET/x"


def test_each_attempt_is_signed_anew(exchange: FaultServer, reader: ExchangeReader) -> None:
    exchange.answers(says(500, {}), says(401, {}), says(200, {"communications_id": "c"}))

    assert reader.get_communications_id() == "c"

    signatures = {seen.headers["kalshi-access-signature"] for seen in exchange.seen}
    assert len(signatures) == 3


def test_an_ed25519_key_signs_the_text_itself(exchange: FaultServer) -> None:
    key = Ed25519PrivateKey.generate()
    exchange.answers(says(200, {"communications_id": "c"}))

    with open_reader(exchange.base_url, load_signer(KEY_ID, private_key=pem(key))) as reader:
        reader.get_communications_id()

    signature, message = signed(exchange.seen[0])
    key.public_key().verify(signature, message.encode())


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize(
    "spelled",
    [
        lambda text: text,
        lambda text: f"\n  {text}\n\n",
        lambda text: text.replace("\n", "\\n"),
        lambda text: text.replace("\n", "\\r\\n"),
        lambda text: text.replace("\n", "\r\n"),
    ],
    ids=["plain", "padded", "escaped", "escaped CRLF", "CRLF"],
)
def test_a_key_signs_however_its_text_was_kept(rsa_key: RSAPrivateKey, form, spelled) -> None:
    signer = load_signer(KEY_ID, private_key=spelled(pem(rsa_key, form)))

    headers = signer.headers("GET", "/x")

    signature = base64.b64decode(headers["KALSHI-ACCESS-SIGNATURE"])
    message = f"{headers['KALSHI-ACCESS-TIMESTAMP']}GET/x"
    verify_pss(rsa_key, signature, message, salt_bytes=32)


def unusable_keys() -> dict[str, tuple[str, str]]:
    key = Ed25519PrivateKey.generate()
    weak = generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - refused below
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    locked = BestAvailableEncryption(b"passphrase")
    return {
        "OpenSSH": (pem(key, PrivateFormat.OpenSSH), "OpenSSH format"),
        "encrypted": (pem(key, encryption=locked), "is encrypted"),
        "encrypted PKCS#1": (pem(weak, PrivateFormat.TraditionalOpenSSL, locked), "is encrypted"),
        "small RSA": (pem(weak), "has 1024 bits, fewer than 2048"),
        "elliptic curve": (pem(ec.generate_private_key(ec.SECP256R1())), "neither RSA nor Ed25519"),
        "public": (public.decode(), "not a PEM private key"),
        "cut short": (pem(weak)[:400], "not a PEM private key"),
        "garbage": ("hunter2-canary", "not a PEM private key"),
        "blank": (" \n", "not a PEM private key"),
    }


@pytest.mark.parametrize(("text", "why"), unusable_keys().values(), ids=unusable_keys().keys())
def test_a_key_that_cannot_be_used_is_refused_without_showing_it(text: str, why: str) -> None:
    with pytest.raises(CredentialsUnusable, match=why) as caught:
        load_signer(KEY_ID, private_key=text)

    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    shown = str(caught.value)
    assert not any(line in shown for line in text.split("\n")[1:] if len(line) > 8)
    assert "hunter2-canary" not in shown
    assert caught.value.exit_code == 77


def test_no_key_is_a_matter_of_configuration(rsa_key: RSAPrivateKey, tmp_path: Path) -> None:
    with pytest.raises(CredentialsMissing, match="SOURCES__KALSHI__PRIVATE_KEY_PATH") as caught:
        load_signer(KEY_ID)
    with pytest.raises(CredentialsMissing, match="SOURCES__KALSHI__API_KEY_ID"):
        load_signer("", private_key=pem(rsa_key))
    with pytest.raises(ConfigurationError, match="Keep one of"):
        load_signer(KEY_ID, private_key=pem(rsa_key), private_key_path=tmp_path / "key.pem")

    assert caught.value.exit_code == 78


@pytest.mark.parametrize("key_id", ["a b", "a\nX-Evil: 1", "a\r", "é", "\x7f", "x" * 201])
def test_a_key_id_that_is_no_header_value_is_refused(rsa_key: RSAPrivateKey, key_id: str) -> None:
    with pytest.raises(CredentialsUnusable) as caught:
        load_signer(key_id, private_key=pem(rsa_key))

    assert key_id not in str(caught.value)


@pytest.fixture
def key_file(rsa_key: RSAPrivateKey, tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_text(pem(rsa_key))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_key_file_is_read_also_through_a_link(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    link = key_file.with_name("mounted")
    link.symlink_to(key_file)

    assert load_signer(KEY_ID, private_key_path=key_file).api_key_id == KEY_ID
    assert load_signer(KEY_ID, private_key_path=link).api_key_id == KEY_ID


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644, 0o777])
def test_a_key_file_that_others_can_touch_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)

    with pytest.raises(CredentialsUnusable) as caught:
        load_signer(KEY_ID, private_key_path=key_file)

    assert f"(mode {mode:03o}). Run: chmod 600 '{key_file}'" in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away takes root")
def test_a_key_file_of_another_user_is_refused(key_file: Path) -> None:
    os.chown(key_file, 12345, 12345)

    with pytest.raises(CredentialsUnusable, match="belongs to another user"):
        load_signer(KEY_ID, private_key_path=key_file)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)

    for path, why in [
        (tmp_path / "absent", "No such file"),
        (tmp_path, "not a regular file"),
        (pipe, "not a regular file"),
        (Path("/dev/null"), "not a regular file"),
    ]:
        with pytest.raises(CredentialsUnusable, match=why):
            load_signer(KEY_ID, private_key_path=path)
