"""Which exchange a command reads: the one that is configured, or a sandbox of its own."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import typer

from pipelines.store.database import Database

if TYPE_CHECKING:
    from pipelines.kalshi.settings import ExchangeSettings


def access_to(
    database: Database,
    base_url: str | None,
    *,
    sandbox: bool,
    allow_unknown_host: bool,
    goes_on: bool = False,
) -> AbstractContextManager["ExchangeSettings"]:
    """Access to the exchange that is configured, or to the *sandbox* that *database* holds."""
    if sandbox and base_url is not None:
        raise typer.BadParameter("--sandbox makes an exchange of its own: leave out --base-url")
    if sandbox:
        # No real run needs the sandbox and its web server, which take 70 ms to import.
        from pipelines.sandbox_access import sandbox_access

        return sandbox_access(database.exchange(), goes_on=goes_on)
    from pipelines.kalshi.settings import configured_access

    return nullcontext(configured_access(base_url, allow_unknown_host=allow_unknown_host))
