"""What the tests of whole runs share: access to a sandbox account, and a look at the result."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipelines.kalshi.client.signing import load_signer
from pipelines.kalshi.extraction import LoadSettings, Progress
from pipelines.kalshi.settings import ExchangeSettings
from pipelines.sandbox import Account, Behavior, Bucket
from pipelines.store.database import Database

LOGGED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """What stderr told besides the log, whose lines begin with a time."""
        lines = self.err.splitlines(keepends=True)
        return "".join(line for line in lines if not LOGGED.match(line))


Command = Callable[..., Ended]

PLENTY = Bucket(1_000_000, 1_000_000)
# Neither refuses for want of tokens nor tells limits for which a run would wait. The accounts of
# most tests have one key for all they do, which a run would refuse if it was told.
UNHURRIED = Behavior(rate_limits=False, read_bucket=PLENTY, write_bucket=PLENTY, tells_scopes=False)


def access_of(exchange: Any, account: Account, reach: LoadSettings) -> ExchangeSettings:
    """The access of a sandbox account."""
    signer = load_signer(account.api_key_id, private_key=account.private_key_pem)
    return ExchangeSettings(exchange.base_url, signer, reach)


def ignore(progress: Progress) -> None:
    """Show nothing."""


def read(database: Database, query: str) -> list[Any]:
    """The rows that *query* finds in the published file."""
    with database.reading() as connection:
        return connection.execute(query).fetchall()
