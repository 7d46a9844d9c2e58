"""What `rfq` can be asked for. `pipelines.entry` calls it and ends the process."""

from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

import typer
from typer.rich_utils import rich_format_error

from pipelines import effects
from pipelines.console import say

WRONG_USAGE = 2

DatabaseOption = Annotated[
    Path,
    typer.Option(
        "--database", readable=False, help="The published DuckDB file; runs replace it whole."
    ),
]
BaseUrlOption = Annotated[
    str | None,
    typer.Option("--base-url", help="The exchange to read; overrides [sources.kalshi] base_url."),
]
UnknownHostOption = Annotated[
    bool,
    typer.Option("--allow-unknown-host", help="Read a host that is none of the exchange's own."),
]
PUBLISHED = Path("rfq.duckdb")
SANDBOX = Path("sandbox.duckdb")
_SECONDS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")
MOMENTS = ["%Y-%m-%d", *(f"{each}{end}" for each in _SECONDS for end in ("", "Z", ".%f", ".%fZ"))]

app = typer.Typer(
    help="Kalshi's RFQs and quotes in DuckDB, with fill rates, spreads and latencies.",
    no_args_is_help=True,
    # A traceback that shows local variables would show keys.
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)


def call() -> int:
    """Do what the arguments ask for; return the exit code. Raises whatever goes wrong."""
    try:
        return app(standalone_mode=False) or 0
    except typer.TyperException as wrong:
        rich_format_error(cast(Any, wrong))
        return WRONG_USAGE


@app.callback()
def begin(context: typer.Context) -> None:
    """Note which command it is that begins."""
    effects.begin(context.invoked_subcommand)


@app.command()
def run(
    database: Annotated[
        Path | None,
        typer.Option(
            "--database",
            readable=False,
            help="The published DuckDB file; runs replace it whole.",
            show_default=str(PUBLISHED),
        ),
    ] = None,
    base_url: BaseUrlOption = None,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Run against a seeded sandbox exchange; needs no key.")
    ] = False,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Publish without the rows that the private file has lost and nobody else has.",
        ),
    ] = False,
    allow_unknown_host: UnknownHostOption = False,
) -> None:
    """Load what is new, build the marts, publish.

    With `--sandbox` into `sandbox.duckdb`, unless told otherwise.

    Examples: `rfq run --sandbox` · `rfq run` · `rfq run --database /data/rfq.duckdb`
    """
    from pipelines import job
    from pipelines.build_settings import configured_maturity_s
    from pipelines.database import Database
    from pipelines.kalshi.settings import configured_access
    from pipelines.progress import shown_progress
    from pipelines.sandbox_access import sandbox_access
    from pipelines.summary import show_summary

    files = Database(database or (SANDBOX if sandbox else PUBLISHED))
    maturity_s = configured_maturity_s()
    reached: AbstractContextManager[Any]
    if sandbox:
        reached = sandbox_access(files.exchange())
    else:
        reached = nullcontext(configured_access(base_url, allow_unknown_host=allow_unknown_host))
    with shown_progress() as on_progress, reached as access:
        job.run(files, access, on_progress, accept_loss=accept_loss, maturity_s=maturity_s)
    show_summary(files)


@app.command()
def load(
    database: DatabaseOption = PUBLISHED,
    base_url: BaseUrlOption = None,
    allow_unknown_host: UnknownHostOption = False,
) -> None:
    """Load what is new into the private file; `rfq build` publishes it.

    Example: `rfq load --base-url https://demo-api.kalshi.co/trade-api/v2 --database demo.duckdb`
    """
    from pipelines import job
    from pipelines.database import Database
    from pipelines.kalshi.settings import configured_access
    from pipelines.progress import shown_progress

    access = configured_access(base_url, allow_unknown_host=allow_unknown_host)
    with shown_progress() as on_progress:
        new = job.load(Database(database), access, on_progress)
    say(" · ".join(f"{table}: {rows:,} new" for table, rows in new.items()))


@app.command()
def backfill(
    since: Annotated[datetime, typer.Option(help="Start of the span (UTC).", formats=MOMENTS)],
    until: Annotated[datetime | None, typer.Option(help="Its end; now.", formats=MOMENTS)] = None,
    database: DatabaseOption = PUBLISHED,
    base_url: BaseUrlOption = None,
    allow_unknown_host: UnknownHostOption = False,
) -> None:
    """Load the RFQs and quotes updated in a span of time again, then build and publish.

    Takes up where an interrupted one with the same span stopped.
    Example: `rfq backfill --since 2026-11-01 --until 2026-11-08`
    """
    from pipelines import job
    from pipelines.build_settings import configured_maturity_s
    from pipelines.database import Database
    from pipelines.kalshi.client.origin import is_loopback
    from pipelines.kalshi.settings import configured_access
    from pipelines.progress import shown_progress
    from pipelines.summary import show_summary

    maturity_s = configured_maturity_s()
    access = configured_access(base_url, allow_unknown_host=allow_unknown_host)
    start, end = since.replace(tzinfo=UTC), until and until.replace(tzinfo=UTC)
    # A sandbox's market has a clock of its own, which may be ahead of this machine's.
    now = None if is_loopback(urlsplit(access.base_url).hostname or "") else datetime.now(UTC)
    if (by := end or now) and start >= by:
        raise typer.BadParameter("--since is not before --until")
    with shown_progress() as on_progress:
        job.backfill(Database(database), access, start, end, on_progress, maturity_s=maturity_s)
    show_summary(Database(database))


@app.command()
def build(
    database: DatabaseOption = PUBLISHED,
    output: Annotated[
        Path | None,
        typer.Option(help="Build into this file instead, and publish nothing."),
    ] = None,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            help="With --output: what the last run that ended by then published (UTC).",
            formats=MOMENTS,
            metavar="MOMENT",
        ),
    ] = None,
) -> None:
    """Build the marts from what is loaded, and publish.

    Examples: `rfq build` · `rfq build --output now.duckdb` ·
    `rfq build --as-of 2026-11-20T12:00:00.5 --output then.duckdb`
    """
    from pipelines import job
    from pipelines.build_settings import configured_maturity_s
    from pipelines.database import Database
    from pipelines.kalshi.settings import configured

    if as_of and output is None:
        raise typer.BadParameter("--as-of needs --output: what was shown then is not published")
    settings = (*configured("rejected_share", "account"), configured_maturity_s())
    if output is None:
        outcome = job.rebuild(Database(database), *settings)
    else:
        moment = as_of and as_of.replace(tzinfo=UTC)
        outcome = job.build_into(output, Database(database), moment, *settings)
    say(f"{output or database} shows the data as of {outcome.as_of:%Y-%m-%d %H:%M:%S} UTC")


@app.command()
def status(database: DatabaseOption = PUBLISHED) -> None:
    """Show what was loaded when, the rows per table, and the data-quality counters.

    Example: `rfq status --database rfq.duckdb`
    """
    from pipelines.database import Database
    from pipelines.summary import show_status

    show_status(Database(database))


@app.command()
def sandbox(
    recordings: Annotated[
        list[Path] | None,
        typer.Argument(help="More files for --replay.", metavar="[FILE]...", show_default=False),
    ] = None,
    port: Annotated[
        int,
        typer.Option(min=0, max=65_535, help="Where to listen on 127.0.0.1; 0 takes a free port."),
    ] = 0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same market.")] = 1,
    days: Annotated[
        float, typer.Option(min=0, help="Days of history; 0 starts an empty exchange.")
    ] = 3.0,
    rfqs_per_day: Annotated[
        int, typer.Option(min=0, help="RFQs a day, in that history and after it.")
    ] = 1_500,
    speed: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="Let the market go on, so many times faster than real time; else it stands still.",
        ),
    ] = None,
    account: Annotated[
        list[str] | None,
        typer.Option(help="A further account with its own key; repeat for more."),
    ] = None,
    replay: Annotated[
        list[Path] | None,
        typer.Option(help="Serve recorded exchange objects instead: JSON with rfqs and/or quotes."),
    ] = None,
) -> None:
    """Serve a pretend exchange on this machine until interrupted.

    The first line printed is JSON with the base URL, key ids and key files. Examples:
    `rfq sandbox --port 8700` · `rfq sandbox --speed 60 --account mybot` ·
    `rfq sandbox --days 0` · `rfq sandbox --replay rfqs.json quotes.json`
    """
    from pipelines.sandbox_access import Wanted, serve_sandbox

    if recordings and not replay:
        raise typer.BadParameter(f"{recordings[0]} is given without --replay")
    recorded = [*(replay or []), *(recordings or [])]
    wanted = Wanted(seed, days, rfqs_per_day, speed, account or [], recorded)
    serve_sandbox(port, wanted)
