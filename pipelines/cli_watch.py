"""`rfq watch`, as it is typed."""

from datetime import timedelta
from typing import Annotated

import typer

from pipelines.commands.options import (
    PUBLISHED,
    SANDBOX,
    BaseUrlOption,
    EitherDatabaseOption,
    LogFormatOption,
    QuietOption,
    UnknownHostOption,
    VerboseOption,
    recorded,
    span_of,
)
from pipelines.kalshi.client.errors import ConfigurationError
from pipelines.operations import logs
from pipelines.spans import told_span

QUOTES_EVERY = timedelta(seconds=5)
EVERY = timedelta(minutes=5)
LEAST_EVERY = timedelta(seconds=0.1)


def watch(
    quotes_every: Annotated[
        timedelta,
        typer.Option(
            parser=span_of,
            metavar="SPAN",
            help="How often to look at our quotes and open RFQs, like 5s.",
            show_default="5s",
        ),
    ] = QUOTES_EVERY,
    every: Annotated[
        timedelta,
        typer.Option(
            parser=span_of,
            metavar="SPAN",
            help="How often to do what `rfq run` does, like 5m.",
            show_default="5m",
        ),
    ] = EVERY,
    database: EitherDatabaseOption = None,
    base_url: BaseUrlOption = None,
    sandbox: Annotated[
        bool,
        typer.Option("--sandbox", help="Watch a seeded sandbox that goes on; needs no key."),
    ] = False,
    allow_unknown_host: UnknownHostOption = False,
    log_format: LogFormatOption = logs.LogFormat.TEXT,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Stay, look at our quotes every few seconds, and run every few minutes.

    Stores what it has seen at least once a minute, and ends with Ctrl-C or SIGTERM.
    Examples: `rfq watch` · `rfq watch --sandbox` · `rfq watch --quotes-every 2s --every 10m`
    """
    from pipelines.store.memory import share_heap

    share_heap()
    from pipelines.build_settings import configured_maturity_s
    from pipelines.commands.access import access_to
    from pipelines.kalshi.settings import configured
    from pipelines.watch import Pace
    from pipelines.watch import watch as go_on

    files = recorded(database or (SANDBOX if sandbox else PUBLISHED))
    maturity_s = configured_maturity_s()
    (retention_days,) = (7,) if sandbox else configured("retention_days")
    _demand_range(quotes_every, every, timedelta(days=retention_days))
    reached = access_to(
        *(files, base_url), sandbox=sandbox, allow_unknown_host=allow_unknown_host, goes_on=True
    )
    with reached as access:
        go_on(files, access, maturity_s, Pace(quotes_every, every))


def _demand_range(quotes_every: timedelta, every: timedelta, retention: timedelta) -> None:
    """Raise `ConfigurationError` for intervals that make no watch, with those that do."""
    if not LEAST_EVERY <= every <= retention:
        raise _out_of_range("--every", every, LEAST_EVERY, retention)
    if not LEAST_EVERY <= quotes_every <= every:
        raise _out_of_range("--quotes-every", quotes_every, LEAST_EVERY, every)


def _out_of_range(
    option: str, given: timedelta, least: timedelta, most: timedelta
) -> ConfigurationError:
    def told(span: timedelta) -> str:
        return told_span(span.total_seconds())

    return ConfigurationError(
        f"{option} is {told(given)}",
        advice=f"It can be from {told(least)} to {told(most)}.",
    )
