"""The commands that only read: how a database fares, and what its published file answers."""

import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.options import (
    PUBLISHED,
    STALE_AFTER,
    BaseUrlOption,
    DatabaseOption,
    OwnFileOption,
    UnknownHostOption,
    span_of,
)


def status(
    database: DatabaseOption = PUBLISHED,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead.")] = False,
    stale_after: Annotated[
        timedelta,
        typer.Option(
            parser=span_of,
            metavar="SPAN",
            help="How long ago the last run may have published, like 90s, 15m or 2h.",
            show_default="15m",
        ),
    ] = STALE_AFTER,
    notify: Annotated[
        bool,
        typer.Option("--notify", help="Tell the webhook of [alerts] if the verdict is another."),
    ] = False,
) -> None:
    """Say whether runs go well and the data is fresh, and what is known, missed and needed.

    Ends with 0 when fresh, 3 when stale, 4 when runs are failing, 5 when nothing was published yet.
    Examples: `rfq status` · `rfq status --json` · `rfq status --stale-after 2h --notify`
    """
    from pipelines.console import warn
    from pipelines.operations.alerts import configured_alerts
    from pipelines.operations.notices import notify as tell
    from pipelines.operations.standing import EXIT_CODES, standing
    from pipelines.operations.status import show_status
    from pipelines.store.database import Database

    files = Database(database)
    found = standing(files, datetime.now(UTC), stale_after)
    show_status(found, files, as_json=as_json)
    if notify:
        if (url := configured_alerts().webhook_url) is not None:
            tell(files, found, url)
        else:
            warn(
                "rfq: nobody was told: the environment and .dlt/secrets.toml of this folder name no"
                " webhook_url in [alerts], or cannot be read"
            )
    raise typer.Exit(EXIT_CODES[found.verdict])


def doctor(
    database: DatabaseOption = PUBLISHED,
    base_url: BaseUrlOption = None,
    allow_unknown_host: UnknownHostOption = False,
    offline: Annotated[bool, typer.Option("--offline", help="Ask the exchange nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead.")] = False,
) -> None:
    """Check key, clock, limits, files, room and schedule, and say what to do.

    Ends with 0 or, of what failed, with 77 (key, scopes), 69 (no answer) or 78, in that order.
    Examples: `rfq doctor` · `rfq doctor --offline --json`
    """
    from pipelines.operations.doctor import examined, exit_code, show

    findings = examined(
        database,
        base_url,
        datetime.now(UTC),
        allow_unknown_host=allow_unknown_host,
        is_offline=offline,
    )
    show(findings, as_json=as_json)
    raise typer.Exit(exit_code(findings))


def sql(
    query: Annotated[
        str | None,
        typer.Argument(help="One or more statements; the rows of the last are shown."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("-f", "--file", readable=False, help="Read the query there.")
    ] = None,
    example: Annotated[
        str | None, typer.Option(metavar="NAME", help="Ask one of the examples instead.")
    ] = None,
    examples: Annotated[bool, typer.Option("--examples", help="List the examples.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write CSV, all rows.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON array of objects, all rows.")
    ] = False,
    database: DatabaseOption = PUBLISHED,
) -> None:
    """Ask the published file in SQL, to read alone and in UTC.

    Without a query: what stdin holds or, on a terminal, DuckDB's shell. Examples:
    `rfq sql "from marts.trust"` · `rfq sql --example died_where --csv` · `rfq sql -f query.sql`
    """
    if sum(map(bool, (query is not None, file, example, examples))) > 1:
        raise typer.BadParameter("give one of QUERY, --file, --example and --examples")
    if as_csv and as_json:
        raise typer.BadParameter("give one of --csv and --json")
    from pipelines.commands import sql as asking
    from pipelines.store.database import Database

    form = asking.Format("json" if as_json else "csv" if as_csv else "table")
    if examples:
        asking.show_examples(form)
        return
    if example:
        query = asking.example_named(example).sql
    elif file:
        query = _text_of(file)
    elif query is None:
        if sys.stdin is not None and sys.stdin.isatty():
            asking.open_shell(Database(database))
        query = _text_of_stdin()
    asking.answer(Database(database), query, form)


class Zone(StrEnum):
    """Where the days of a page begin."""

    NEW_YORK = "America/New_York"
    UTC = "UTC"


class Unit(StrEnum):
    """How a page writes prices."""

    CENTS = "cents"
    PERCENT = "percent"
    AMERICAN = "american"
    LOGODDS = "logodds"


class Role(StrEnum):
    """Whose page it is: that of one who asks, or of one who quotes."""

    REQUESTER = "requester"
    MAKER = "maker"


def report(
    output: Annotated[Path, typer.Option(help="The HTML file to write; it needs no other.")],
    xlsx: Annotated[Path | None, typer.Option(help="Write a workbook as well.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="First day.", show_default="the last complete day"),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DAY", help="The day after the last.")
    ] = None,
    zone: Annotated[Zone, typer.Option(help="Where days begin.")] = Zone.NEW_YORK,
    unit: Annotated[Unit, typer.Option(help="How prices are written.")] = Unit.CENTS,
    role: Annotated[
        Role | None, typer.Option(help="One part alone.", show_default="what the account is")
    ] = None,
    own: OwnFileOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Count only these rows of the --with FILE."),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Names of makers and requesters: CSV with id and name."),
    ] = None,
    database: DatabaseOption = PUBLISHED,
) -> None:
    """Write the morning page: a day beside the seven before it, in one file to forward.

    Examples: `rfq report --output morning.html` ·
    `rfq report --output week.html --xlsx week.xlsx --since 2026-11-16 --until 2026-11-23`
    """
    from pipelines.commands.pages import Asked, write_report
    from pipelines.store.database import Database

    asked = Asked(
        *(output, xlsx, since, until, zone, unit, role, own, names), only=tuple(only or ())
    )
    write_report(Database(database), asked)


def dictionary(
    output: Annotated[Path, typer.Option(help="The HTML file to write.")],
) -> None:
    """Write what every published table and column means, as a page.

    Example: `rfq dictionary --output dictionary.html`
    """
    from pipelines.commands.pages import write_dictionary

    write_dictionary(output)


def export(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A new folder, an empty one, or an older export.")
    ],
    since: Annotated[
        str | None, typer.Option(metavar="DAY", help="First day of RFQs, or an age like 30d.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DAY", help="The day after the last.")
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Only this table, like marts.rfq_facts.", show_default="all"
        ),
    ] = None,
    database: DatabaseOption = PUBLISHED,
) -> None:
    """Write the published tables as Parquet, a file per day of RFQs, with a data package.

    Examples: `rfq export lake` · `rfq export week --since 7d --table marts.rfq_facts`
    """
    from pipelines.commands.export import export as write
    from pipelines.store.database import Database

    write(Database(database), folder, since, until, table or ())


def _text_of_stdin() -> str:
    """What stdin holds, in UTF-8 whatever the locale; nothing where it is closed."""
    try:
        return "" if sys.stdin is None else sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise typer.BadParameter("stdin cannot be read: it is not UTF-8") from None


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise typer.BadParameter(f"{file} cannot be read: {why}") from None
