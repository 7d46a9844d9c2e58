"""What a run found and what a database holds, as short tables on stdout."""

import sys
from datetime import datetime

import duckdb
from rich.console import Console
from rich.table import Table

from pipelines.database import Database, DatabaseError
from pipelines.headline import headline

_RUNS = """
select pass, max(started_ts), arg_max(watermark_after_ts, started_ts), sum(pages),
    sum(new_versions), sum(rejected_rows), bool_and(is_verified), arg_max(gap_s, started_ts)
from raw.extraction_runs group by pass order by pass
"""

_GONE = """
select min(started_ts),
    if(count(watermark_before_ts) = count(*), min(watermark_before_ts), null),
    max(forgotten_before_ts)
from raw.extraction_runs
where forgotten_before_ts is not null and pass not like 'backfill%'
group by run_id order by 1
"""

_COVERAGE = """
select checked_ts, open_rfqs_listed, open_rfqs_missed,
    open_rfqs_missed / nullif(open_rfqs_listed, 0), is_complete
from raw.coverage order by checked_ts desc limit 7
"""

_ROWS = """
select schema_name || '.' || table_name, estimated_size from duckdb_tables()
where schema_name in ('staging', 'marts') order by 1
"""

_QUALITY = "select check_name, count, share, meaning from marts.data_quality order by 1"

# Title, columns and query of each table that `rfq status` shows.
_STATUS = (
    (
        "loads",
        "pass;last run (UTC);read up to (UTC);pages;new versions;rejected;verified;gap s",
        _RUNS,
    ),
    (
        "gone before they were loaded: closed RFQs and cancelled quotes",
        "found by the run of (UTC);ended after (UTC);ended before (UTC)",
        _GONE,
    ),
    (
        "open RFQs of the market, compared once a day",
        "compared (UTC);listed;missed by earlier runs;share;whole list",
        _COVERAGE,
    ),
    ("rows", "table;rows", _ROWS),
    ("data quality", "check;count;share;what it means", _QUALITY),
)


def show_summary(database: Database) -> None:
    """Print what the published file says to whoever the account is, and how to ask it more."""
    with database.reading() as connection:
        parts = headline(connection)
    console = _console()
    for part in parts:
        table = Table(title=part.title, show_header=False, title_justify="left")
        for line in part.lines:
            table.add_row(line.name, line.value, line.rests_on)
        console.print(table)
    console.print(f"published: {database.path.resolve()}", soft_wrap=True, highlight=False)
    for part in parts:
        if part.further:
            console.print(f"try: {part.further}", soft_wrap=True, highlight=False)


def show_status(database: Database) -> None:
    """Print each pass's last run, what was or may be missed, the rows, the quality counters."""
    with database.reading() as connection:
        try:
            tables = [_listed(connection, *section) for section in _STATUS]
        except (duckdb.BinderException, duckdb.CatalogException):
            raise DatabaseError(
                f"{database.path} was published by an earlier version: `rfq build` makes it anew"
            ) from None
    console = _console()
    for table in tables:
        console.print(table)


def _console() -> Console:
    # A pipe has no width, and a table cut to 80 columns would lose what it was asked for.
    return Console() if sys.stdout.isatty() else Console(width=200)


def _listed(connection: duckdb.DuckDBPyConnection, title: str, columns: str, query: str) -> Table:
    table = Table(*columns.split(";"), title=title, title_justify="left")
    for row in connection.execute(query).fetchall():
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else f"{value}"
