"""What `rfq` can be asked for. `pipelines.entry` calls it and ends the process."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast
from urllib.parse import urlsplit

import typer

from pipelines import INTERVAL, effects
from pipelines.cli_watch import watch
from pipelines.commands.explore import explore
from pipelines.commands.options import (
    PUBLISHED,
    SANDBOX,
    BaseUrlOption,
    DatabaseOption,
    EitherDatabaseOption,
    LogFormatOption,
    MomentOption,
    QuietOption,
    UnknownHostOption,
    VerboseOption,
    recorded,
    span_of,
)
from pipelines.commands.reading import dictionary, doctor, export, report, sql, status
from pipelines.console import say
from pipelines.operations import logs
from pipelines.stopping import Stopped

if TYPE_CHECKING:
    from pipelines.store.database import Database
    from transforms.partition import Here

WRONG_USAGE = 2


app = typer.Typer(
    help="Kalshi's RFQs and quotes in DuckDB, with fill rates, spreads and latencies.",
    no_args_is_help=True,
    # A traceback that shows local variables would show keys.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)


def call() -> int:
    """Do what the arguments ask for; return the exit code. Raises whatever goes wrong."""
    try:
        return app(standalone_mode=False) or 0
    except typer.TyperException as wrong:
        from typer.rich_utils import rich_format_error

        rich_format_error(cast(Any, wrong))
        return WRONG_USAGE
    except SystemExit as left:
        # So ends what completes a word for a shell, or installs that; and, after an error of the
        # operating system, what typer takes for a reader that has gone.
        if isinstance(left, Stopped) or isinstance(left.__context__, OSError):
            raise
        return int(left.code or 0)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"rfq {version('rfq')}")
        raise typer.Exit


@app.callback()
def begin(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say which it is."),
    ] = False,
) -> None:
    """Kalshi's RFQs and quotes in DuckDB, with fill rates, spreads and latencies."""
    effects.begin(context.invoked_subcommand)
    logs.begin()


@app.command()
def run(
    database: EitherDatabaseOption = None,
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
    log_format: LogFormatOption = logs.LogFormat.TEXT,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Load what is new, build the marts, publish.

    With `--sandbox` into `sandbox.duckdb`, unless told otherwise.

    Examples: `rfq run --sandbox` · `rfq run` · `rfq run --database /data/rfq.duckdb`
    """
    from pipelines import job
    from pipelines.build_settings import configured_maturity_s
    from pipelines.commands.access import access_to
    from pipelines.commands.progress import shown_progress

    files = recorded(database or (SANDBOX if sandbox else PUBLISHED))
    maturity_s = configured_maturity_s()
    reached = access_to(files, base_url, sandbox=sandbox, allow_unknown_host=allow_unknown_host)
    with shown_progress() as on_progress, reached as access:
        job.run(files, access, on_progress, accept_loss=accept_loss, maturity_s=maturity_s)
    _show(files)


@app.command()
def load(
    database: DatabaseOption = PUBLISHED,
    base_url: BaseUrlOption = None,
    allow_unknown_host: UnknownHostOption = False,
    log_format: LogFormatOption = logs.LogFormat.TEXT,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Load what is new into the private file; `rfq build` publishes it.

    Example: `rfq load --base-url https://demo-api.kalshi.co/trade-api/v2 --database demo.duckdb`
    """
    from pipelines import job
    from pipelines.commands.progress import shown_progress
    from pipelines.kalshi.settings import configured_access

    files = recorded(database)
    access = configured_access(base_url, allow_unknown_host=allow_unknown_host)
    with shown_progress() as on_progress:
        new = job.load(files, access, on_progress)
    say(" · ".join(f"{table}: {rows:,} new" for table, rows in new.items()))


@app.command()
def backfill(
    since: Annotated[
        datetime | None,
        typer.Option(
            help="Start of the span: a date or moment (UTC), or an age like 7d.",
            show_default="DLT_INTERVAL_START",
            **MomentOption,
        ),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(help="Its end, the same way; now.", **MomentOption)
    ] = None,
    database: DatabaseOption = PUBLISHED,
    base_url: BaseUrlOption = None,
    allow_unknown_host: UnknownHostOption = False,
    log_format: LogFormatOption = logs.LogFormat.TEXT,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Load the RFQs and quotes updated in a span of time again, then build and publish.

    Takes up where an interrupted one with the same span stopped, if it begins with a date or a
    moment: an age is another span each time. Without `--since` the span is DLT_INTERVAL_START to
    DLT_INTERVAL_END, which an orchestrator sets.
    Examples: `rfq backfill --since 2026-11-01 --until 2026-11-08` · `rfq backfill --since 7d`
    """
    from pipelines import job
    from pipelines.build_settings import configured_maturity_s
    from pipelines.commands.progress import shown_progress
    from pipelines.kalshi.client.origin import is_loopback
    from pipelines.kalshi.settings import configured_access

    files = recorded(database)
    maturity_s = configured_maturity_s()
    access = configured_access(base_url, allow_unknown_host=allow_unknown_host)
    since, until = (since, until) if since else _interval(until)
    # A sandbox's market has a clock of its own, which may be ahead of this machine's.
    now = None if is_loopback(urlsplit(access.base_url).hostname or "") else datetime.now(UTC)
    if (by := until or now) and since >= by:
        raise typer.BadParameter("--since is not before --until")
    with shown_progress((since, until or datetime.now(UTC))) as on_progress:
        job.backfill(files, access, since, until, on_progress, maturity_s=maturity_s)
    _show(files)


def _interval(until: datetime | None) -> tuple[datetime, datetime | None]:
    """The span that an orchestrator asks for in the environment; *until* goes before its end."""
    start, end = INTERVAL
    if not start:
        raise typer.BadParameter("--since is missing, and DLT_INTERVAL_START is not set")
    try:
        since, end_ts = _in_utc(start), _in_utc(end) if end else None
    except ValueError:
        raise typer.BadParameter("DLT_INTERVAL_START or its END is no moment of ISO 8601") from None
    return since, until or end_ts


def _in_utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _show(files: "Database") -> None:
    """Say what a run found: tables at a terminal, plain lines in a log."""
    from pipelines.commands.summary import show_summary
    from pipelines.operations import recording

    show_summary(files, is_plain=not sys.stdout.isatty(), remark=recording.remarked())


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
            **MomentOption,
        ),
    ] = None,
    full_refresh: Annotated[
        bool,
        typer.Option("--full-refresh", help="Build everything anew, check all of it, and compact."),
    ] = False,
    executor: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Compute elsewhere: processes, processes:N, dask:tcp://HOST:PORT, dask:tls://…",
        ),
    ] = None,
    insecure_executor: Annotated[
        bool,
        typer.Option("--insecure-executor", help="Allow dask:tcp:// to another machine."),
    ] = False,
    log_format: LogFormatOption = logs.LogFormat.TEXT,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Build the marts from what is loaded, and publish.

    Goes on from what was published last, or builds everything anew.
    Examples: `rfq build` · `rfq build --full-refresh` · `rfq build --output now.duckdb` ·
    `rfq build --as-of 2026-11-20T12:00:00.5 --output then.duckdb`
    """
    from pipelines import job
    from pipelines.build_settings import configured_maturity_s
    from pipelines.kalshi.settings import configured
    from pipelines.store.database import Database

    if as_of and output is None:
        raise typer.BadParameter("--as-of needs --output: what was shown then is not published")
    # What is built elsewhere says nothing of how this database fares, so it is no run of it.
    files = recorded(database) if output is None else Database(database)
    settings = (*configured("rejected_share", "account"), configured_maturity_s())
    with _builder(executor, is_insecure=insecure_executor) as builder:
        if output is None:
            outcome = job.rebuild(files, *settings, afresh=full_refresh, builder=builder)
        else:
            outcome = job.build_into(output, files, as_of, *settings, builder=builder)
    say(f"{output or database} shows the data as of {outcome.as_of:%Y-%m-%d %H:%M:%S} UTC")


@contextmanager
def _builder(executor: str | None, *, is_insecure: bool) -> "Iterator[Here | None]":
    if executor is None:
        yield None
        return
    from pipelines.executors import executing, wanted

    try:
        asked = wanted(executor)
    except ValueError as error:
        raise typer.BadParameter(f"--executor: {error}") from None
    with executing(asked, is_insecure=is_insecure) as builder:
        yield builder


@app.command()
def purge(
    database: DatabaseOption = PUBLISHED,
    older_than: Annotated[
        timedelta | None,
        typer.Option(parser=span_of, metavar="AGE", help="What was created longer ago, like 90d."),
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="What this id (communications or user) asked or quoted.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget RFQs with their quotes, in all files beside the database, for good.

    Later runs do not load them again. Copies elsewhere, backups too, are yours to remove.
    Examples: `rfq purge --older-than 365d` · `rfq purge --account ID --yes`
    """
    from pipelines.purge import Wanted, carry_out, prepared
    from pipelines.store.database import Database
    from transforms.raw import HIDDEN_IDS

    if (older_than is None) == (account is None):
        raise typer.BadParameter("give one of --older-than and --account")
    if account is not None and (account := account.strip()) in HIDDEN_IDS:
        raise typer.BadParameter(
            "this is no id, but what the exchange shows in place of those it hides: everybody's"
            " RFQs would be forgotten",
            param_hint="--account",
        )
    now = datetime.now(UTC)
    wanted = Wanted(None if older_than is None else now - older_than, account)
    with prepared(Database(database), wanted, now) as prepared_purge:
        for table, rows in prepared_purge.rows.items():
            say(f"raw.{table}: {rows:,} rows")
        if not prepared_purge.is_needed:
            say("nothing to forget" + (": no row is of this id" if account else ""))
            return
        if not yes and not _is_confirmed("Forget them for good?"):
            raise typer.BadParameter("nothing was forgotten: say --yes to forget these rows")
        for aside in carry_out(prepared_purge):
            say(f"removed {aside}")
    say("forgotten")


def _is_confirmed(question: str) -> bool:
    """Whether somebody is there and says yes; who leaves says no."""
    try:
        return sys.stdin is not None and sys.stdin.isatty() and typer.confirm(question)
    except typer.Abort:
        return False


@app.command()
def backup(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to: a folder that is empty or not there.")
    ],
    database: DatabaseOption = PUBLISHED,
) -> None:
    """Copy the files of a database while no run writes them, and open the copies.

    Waits a minute for a run to end. Restore by copying the files back.
    Example: `rfq backup /backups/rfq-2026-11-20`
    """
    from pipelines.store.backup import back_up
    from pipelines.store.database import Database

    for name, size in back_up(Database(database), folder).items():
        say(f"{folder / name}: {size:,} bytes")


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


for _each in (watch, status, doctor, report, explore, sql, export, dictionary):
    app.command()(_each)
