"""The accounts of a market: who may sign calls."""

from __future__ import annotations

import re

from pipelines.sandbox.parties import FULL_ACCESS, Account, KeyKind, new_account

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}", re.ASCII)


class Accounts:
    """Accounts by API key id and by name."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}

    @property
    def accounts(self) -> list[Account]:
        return list(self._accounts.values())

    def add_account(
        self, name: str, key: KeyKind = "rsa", scopes: tuple[str, ...] = FULL_ACCESS
    ) -> Account:
        """Open an account with a fresh key of these *scopes*: read, write, write::trade.

        Names are unique, lower case, and fit a file name.
        """
        if not _NAME.fullmatch(name):
            msg = f"account names are letters, digits and dashes in lower case, was {name!r}"
            raise ValueError(msg)
        if any(account.name == name for account in self.accounts):
            msg = f"the market already has an account named {name!r}; choose another name"
            raise ValueError(msg)
        account = new_account(name, key, scopes)
        self._accounts[account.api_key_id] = account
        return account

    def account(self, name: str) -> Account:
        """The account called *name*; LookupError if there is none."""
        for account in self.accounts:
            if account.name == name:
                return account
        msg = f"the market has no account named {name!r}; it has {[a.name for a in self.accounts]}"
        raise LookupError(msg)

    def account_of_key(self, api_key_id: str) -> Account | None:
        return self._accounts.get(api_key_id)
