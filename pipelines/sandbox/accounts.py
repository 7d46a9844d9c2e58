"""The accounts of a market: who may sign calls."""

from __future__ import annotations

import re

from pipelines.sandbox.parties import FULL_ACCESS, Account, KeyKind, new_account, stranger_number

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
