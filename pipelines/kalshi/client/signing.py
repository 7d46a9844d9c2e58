"""Request signatures: who we are, proved anew for every attempt.

The signed text is the time in unix milliseconds, the method and the path without its query, joined
without separators. RSA keys sign with PSS (MGF1 over SHA-256, a salt of 32 bytes), Ed25519 keys
sign the text itself.
"""

import base64
import os
import re
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pipelines.kalshi.client.errors import (
    ConfigurationError,
    CredentialsMissing,
    CredentialsUnusable,
)
from pipelines.kalshi.client.private_files import demand_private, read_checked

SALT_BYTES = 32
SMALLEST_RSA_BITS = 2048
# The longest PEM in use (RSA, 16384 bits) has 13 kB.
LARGEST_KEY_FILE_BYTES = 64 * 1024

_NEW_KEY = "Create an RSA (2048 bits or more) or Ed25519 key on the exchange and use its PEM file"
_SETTINGS = "SOURCES__KALSHI__PRIVATE_KEY_PATH (a file) or SOURCES__KALSHI__PRIVATE_KEY (PEM text)"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs requests for one API key. Neither key nor key id shows in its repr."""

    api_key_id: str = field(repr=False)
    _sign: Callable[[bytes], bytes] = field(repr=False)
    _now_s: Callable[[], float] = field(default=time.time, repr=False)

    @classmethod
    def from_key(cls, api_key_id: str, key: RSAPrivateKey | Ed25519PrivateKey) -> Self:
        """A signer for a key already in memory."""
        return cls(api_key_id, key.sign if isinstance(key, Ed25519PrivateKey) else _pss(key))

    def headers(self, method: str, path: str) -> dict[str, str]:
        """The three headers that sign *method* and *path* (from `/trade-api`, no query) now."""
        timestamp_ms = str(int(self._now_s() * 1000))
        signature = self._sign(f"{timestamp_ms}{method}{path}".encode())
        return {
            "KALSHI-ACCESS-KEY": self.api_key_id,
            "KALSHI-ACCESS-TIMESTAMP": timestamp_ms,
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
        }


def load_signer(
    api_key_id: str, *, private_key: str | None = None, private_key_path: Path | None = None
) -> Signer:
    """A signer from PEM text or from a PEM file that only its owner can read.

    Raises CredentialsMissing when there is no key id or no key, ConfigurationError when both kinds
    of key are given, CredentialsUnusable when the key cannot sign or others can read its file.
    """
    if not api_key_id:
        raise CredentialsMissing("No API key id is configured", advice=_set("API_KEY_ID"))
    # Anything else would end up in a header, and a line break would end up as a second header.
    if not re.fullmatch(r"[\x21-\x7e]{1,200}", api_key_id):
        raise CredentialsUnusable(
            "The API key id holds spaces, line breaks or characters outside ASCII",
            advice="Copy it again from the exchange's API key page.",
        )
    return Signer.from_key(api_key_id, _private_key(_pem(private_key, private_key_path)))


def _set(name: str) -> str:
    return f"Set SOURCES__KALSHI__{name} or [sources.kalshi] in .dlt/secrets.toml."


def _pem(text: str | None, path: Path | None) -> bytes:
    if text and path:
        raise ConfigurationError(
            "Both a private key and a private key file are configured",
            advice=f"Keep one of {_SETTINGS}.",
        )
    if path:
        pem = _read_private_file(path)
    elif text:
        pem = text.encode()
    else:
        raise CredentialsMissing("No private key is configured", advice=f"Set {_SETTINGS}.")
    # Environment files keep a PEM on one line by writing its line breaks as backslash and n.
    return pem.replace(b"\\r", b"").replace(b"\\n", b"\n").strip()


def _read_private_file(path: Path) -> bytes:
    def check(opened: os.stat_result) -> None:
        if not stat.S_ISREG(opened.st_mode):
            raise CredentialsUnusable(
                f"{path} is not a regular file", advice="Give the path of a PEM file."
            )
        demand_private("private key file", path, opened)

    try:
        return read_checked(path, LARGEST_KEY_FILE_BYTES, check)
    except OSError as error:
        raise CredentialsUnusable(
            f"The private key file {path} cannot be opened: {error.strerror}",
            advice=f"Check the path and the file's owner, or set {_SETTINGS}.",
        ) from None


def _private_key(pem: bytes) -> RSAPrivateKey | Ed25519PrivateKey:
    if b"OPENSSH PRIVATE KEY" in pem:
        raise CredentialsUnusable("The private key is in OpenSSH format", advice=f"{_NEW_KEY}.")
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise CredentialsUnusable(
            "The private key is encrypted and no one can type its passphrase in a scheduled run",
            advice="Decrypt it (openssl pkey -in KEY -out PLAIN) into a file of mode 600.",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CredentialsUnusable(
            "The private key is not a PEM private key in PKCS#8 or PKCS#1", advice=f"{_NEW_KEY}."
        ) from None
    if isinstance(key, RSAPrivateKey) and key.key_size < SMALLEST_RSA_BITS:
        raise CredentialsUnusable(
            f"The RSA key has {key.key_size} bits, fewer than {SMALLEST_RSA_BITS}",
            advice=f"{_NEW_KEY}.",
        )
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise CredentialsUnusable(
            "The private key is neither RSA nor Ed25519", advice=f"{_NEW_KEY}."
        )
    return key


def _pss(key: RSAPrivateKey) -> Callable[[bytes], bytes]:
    scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=SALT_BYTES)

    def sign(message: bytes) -> bytes:
        return key.sign(message, scheme, hashes.SHA256())

    return sign
