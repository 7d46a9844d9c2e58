"""Who takes part: accounts with keys that may sign calls, and strangers known by their ids."""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

FULL_ACCESS = ("read", "write")

KeyKind = Literal["rsa", "ed25519"]
PublicKey = rsa.RSAPublicKey | ed25519.Ed25519PublicKey

HIDDEN_COMMUNICATIONS_ID = hashlib.sha256(b"").hexdigest()
_STRANGER = "stranger-"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "rfq-sandbox.localhost")


@dataclass(frozen=True, slots=True)
class Party:
    """Someone on the exchange. `user_id` is private, `communications_id` public."""

    name: str
    user_id: str
    communications_id: str


@dataclass(frozen=True, slots=True)
class Account(Party):
    """A party that holds an API key; `private_key_pem` is PKCS#8 without a password.

    *scopes* are what the key may do, and calls are held to them.
    """

    api_key_id: str
    private_key_pem: str
    public_key: PublicKey
    scopes: tuple[str, ...]


def new_account(name: str, key: KeyKind, scopes: tuple[str, ...], number: int) -> Account:
    """An account with its *number*th key, a fresh one; all ids depend on *name* and that alone."""
    private_key = (
        ed25519.Ed25519PrivateKey.generate()
        if key == "ed25519"
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    pem = private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Account(
        name=name,
        user_id=_uuid(f"user {name}"),
        communications_id=_communications_id(name),
        api_key_id=_uuid(f"key {name}" if number == 1 else f"key {name} {number}"),
        private_key_pem=pem.decode(),
        public_key=private_key.public_key(),
        scopes=scopes,
    )


@lru_cache(maxsize=100_000)
def stranger(number: int) -> Party:
    """The simulated participant *number*, the same in every market."""
    name = f"{_STRANGER}{number}"
    return Party(name, _uuid(f"user {name}"), _communications_id(name))


def stranger_number(name: str) -> int | None:
    """The number of the simulated participant called *name*; None if there can be none."""
    digits = name.removeprefix(_STRANGER)
    return int(digits) if name.startswith(_STRANGER) and digits.isdecimal() else None


def order_id(quote_id: str, role: Literal["maker", "requester"]) -> str:
    """The order that *role* holds after the quote executed."""
    return _uuid(f"order {role} {quote_id}")


def _uuid(text: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, text))


def _communications_id(name: str) -> str:
    return hashlib.sha256(f"communications {name}".encode()).hexdigest()


_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}", re.ASCII)


class UnusableName(ValueError):
    """A name that no new account can have."""


class Accounts:
    """Accounts by name, and their keys by id."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._keys: dict[str, Account] = {}

    @property
    def accounts(self) -> list[Account]:
        """Each account with its first key."""
        return list(self._accounts.values())

    def add_account(
        self, name: str, key: KeyKind = "rsa", scopes: tuple[str, ...] = FULL_ACCESS
    ) -> Account:
        """Open an account with a fresh key of these *scopes*: read, write, write::trade.

        Names are unique, lower case, fit a file name, and are no simulated party's; `UnusableName`
        tells which of these is wrong.
        """
        if not _NAME.fullmatch(name):
            msg = f"account names are letters, digits and dashes in lower case, was {name!r}"
            raise UnusableName(msg)
        if name in self._accounts:
            msg = f"the market already has an account named {name!r}; choose another name"
            raise UnusableName(msg)
        if stranger_number(name) is not None:
            msg = f"{name!r} is the name of a simulated party; choose another name"
            raise UnusableName(msg)
        account = self._accounts[name] = self._new_key(name, key, scopes)
        return account

    def add_key(
        self, account: Account, key: KeyKind = "rsa", scopes: tuple[str, ...] = FULL_ACCESS
    ) -> Account:
        """Give *account* a further key; returned is the same party with that key."""
        return self._new_key(account.name, key, scopes)

    def _new_key(self, name: str, key: KeyKind, scopes: tuple[str, ...]) -> Account:
        number = 1 + sum(other.name == name for other in self._keys.values())
        account = new_account(name, key, scopes, number)
        self._keys[account.api_key_id] = account
        return account

    def account(self, name: str) -> Account:
        """The account called *name*; LookupError if there is none."""
        if name not in self._accounts:
            msg = f"the market has no account named {name!r}; it has {list(self._accounts)}"
            raise LookupError(msg)
        return self._accounts[name]

    def account_of_key(self, api_key_id: str) -> Account | None:
        """Who may sign with this key, as the account with that key."""
        return self._keys.get(api_key_id)

    def keys_of(self, account: Account) -> list[Account]:
        """The account once for each of its keys, oldest first."""
        return [key for key in self._keys.values() if key.user_id == account.user_id]
