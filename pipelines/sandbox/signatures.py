"""Who is calling: the three headers, checked as the exchange checks them."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from pipelines.sandbox.clock import to_us
from pipelines.sandbox.market import Market
from pipelines.sandbox.parties import Account, PublicKey
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
