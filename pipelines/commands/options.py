"""What several commands of `rfq` take: the database, the exchange, the log, moments and spans."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.operations import logs
from pipelines.spans import read_moment, read_span

if TYPE_CHECKING:
    from pipelines.store.database import Database

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
OwnFileOption = Annotated[
    Path | None,
    typer.Option(
        "--with",
        metavar="FILE",
        help="Columns of yours: CSV or Parquet by rfq_id, quote_id or market_ticker; fair_yes is"
        " your fair value.",
    ),
]
PUBLISHED = Path("rfq.duckdb")
SANDBOX = Path("sandbox.duckdb")
# Where unset means another file with --sandbox.
EitherDatabaseOption = Annotated[
    Path | None,
    typer.Option(
        "--database",
        readable=False,
        help="The published DuckDB file; runs replace it whole.",
        show_default=str(PUBLISHED),
    ),
]
STALE_AFTER = timedelta(minutes=15)


def moment_of(text: str | datetime) -> datetime:
    return text if isinstance(text, datetime) else read_moment(text, datetime.now(UTC))


def span_of(text: str | timedelta) -> timedelta:
    return text if isinstance(text, timedelta) else read_span(text)


MomentOption = {"parser": moment_of, "metavar": "MOMENT"}


def _choose_format(chosen: logs.LogFormat) -> logs.LogFormat:
    logs.set_format(chosen)
    return chosen


def _be_quiet(wanted: bool) -> bool:
    if wanted:
        logs.set_level(logging.WARNING)
    return wanted


def _be_verbose(wanted: bool) -> bool:
    if wanted:
        logs.set_level(logging.DEBUG)
    return wanted


LogFormatOption = Annotated[
    logs.LogFormat,
    typer.Option("--log-format", callback=_choose_format, help="How the log on stderr is written."),
]
QuietOption = Annotated[
    bool, typer.Option("-q", "--quiet", callback=_be_quiet, help="Log warnings and errors alone.")
]
VerboseOption = Annotated[
    bool, typer.Option("-v", "--verbose", callback=_be_verbose, help="Log every step.")
]


def recorded(path: Path) -> "Database":
    """Begin to record a run of the database whose published file is at *path*."""
    from pipelines.operations import recording
    from pipelines.store.database import Database

    recording.expect()
    database = Database(path)
    recording.place(database)
    return database
