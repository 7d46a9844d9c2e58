"""Whether our key could also trade, as far as the exchange tells.

The reader cannot write whatever its key may do. But a key lies in a file, and whoever reads that
file can accept and confirm quotes with a key that may write.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.kalshi.client.errors import (
    CredentialsRefused,
    CredentialsUnusable,
    ExchangeUnavailable,
    RequestRefused,
)
from pipelines.kalshi.client.refusals import redacted

if TYPE_CHECKING:
    from pipelines.kalshi.client.reader import ExchangeReader

_log = logging.getLogger(__name__)
_UNTOLD = "the exchange does not tell whether this key may also write; loading needs only read"
# Refusals of a question about the account, after which the lists may still be read.
DOES_NOT_TELL = (CredentialsRefused, ExchangeUnavailable, RequestRefused)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of the account and what it may do: read, write, or parts of these (write::trade)."""

    api_key_id: str = field(repr=False)
    scopes: tuple[str, ...]

    @property
    def writing_scopes(self) -> tuple[str, ...]:
        """The scopes that change something on the exchange."""
        return tuple(scope for scope in self.scopes if scope.startswith("write"))


def read_api_keys(said: Mapping[str, Any]) -> tuple[ApiKey, ...]:
    """The answer of GET /api_keys; what cannot be understood of it is left out."""
    listed = said.get("api_keys")
    entries = [key for key in listed if isinstance(key, dict)] if isinstance(listed, list) else []
    return tuple(
        ApiKey(str(entry.get("api_key_id")), _texts(entry.get("scopes"))) for entry in entries
    )


def demand_reading_key(reader: "ExchangeReader", api_key_id: str) -> None:
    """Raise `CredentialsUnusable` when the exchange says that this key may write.

    Where it does not say, reading goes on, and one line of the log says that much.
    """
    key = _told(reader, api_key_id)
    if key is None:
        _log.warning(_UNTOLD)
    elif key.writing_scopes:
        scopes = ", ".join(redacted(scope, api_key_id) for scope in key.writing_scopes)
        raise CredentialsUnusable(
            f"The exchange says that this key may write (scope {scopes}): whoever gets hold of it "
            "can accept and confirm quotes, which moves money, and loading needs only read",
            advice="Make a key with the scope read alone, or set allow_writing_key = true under "
            "[sources.kalshi] of .dlt/secrets.toml.",
        )


def _told(reader: "ExchangeReader", api_key_id: str) -> ApiKey | None:
    """The key of that id, if the exchange lists it with any scope at all."""
    try:
        keys = reader.get_api_keys()
    except DOES_NOT_TELL:
        return None
    ours = (key for key in keys if key.api_key_id.casefold() == api_key_id.casefold())
    return next((key for key in ours if key.scopes), None)


def _texts(listed: Any) -> tuple[str, ...]:
    texts = listed if isinstance(listed, list) else []
    return tuple(text for text in texts if isinstance(text, str))
