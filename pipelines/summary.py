"""What a run found and what a database holds, as short tables on stdout."""

import sys
from datetime import datetime

import duckdb
from rich.console import Console
from rich.table import Table

from pipelines.database import Database, DatabaseError

_COUNTS = """
select
    (select as_of from marts.build_info) as as_of,
    count(*) as n_rfq,
    count(*) filter (visibility = 'own') as n_rfq_own,
    (select count(*) from marts.quote_facts) as n_quotes,
from marts.rfq_facts
"""

# The matured fill rate of the RFQs whose every quote is visible; `marts.fill_rates` defines it.
_FILL_RATE = """
select
    sum(fill_rate_matured_numerator) as filled,
    sum(fill_rate_matured_denominator) as n,
    sum(n_censored) as n_censored,
    filled / nullif(n, 0) as fill_rate,
    marts.wilson_low(filled, n) as low,
    marts.wilson_high(filled, n) as high,
from marts.fill_rates
where visibility = 'own' and capture <> 'backfill'
"""

# Of what was watched live, or of what was read late where nothing was.
_SHOWN = "(select any_value(capture) from marts.live_figures)"

_SPREAD = f"""
select median(quote_spread), count(quote_spread)
from marts.quote_facts
where is_effective and is_two_sided and not is_self_crossed and visibility = 'own'
    and capture = {_SHOWN}
"""  # noqa: S608

_ANSWERED = """
select capture, value, n, weighted_value,
    share_watched_5_20_s, share_watched_20_60_s, share_watched_60_600_s, share_watched_600_s
from marts.live_figures where figure = 'response_rate_5s'
"""

# A p99 of fewer than 500 responses is not shown: it would be one of the few slowest.
_RESPONSE = f"""
select
    median(response_latency_s),
    if(count(response_latency_s) >= 500, quantile_cont(response_latency_s, 0.99), null),
    count(response_latency_s),
from marts.quote_facts
where visibility = 'own' and capture = {_SHOWN}
"""  # noqa: S608

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
    """Print what the published file says, and how to ask it more."""
    with database.reading() as connection:
        table = _summary(connection)
    console = _console()
    console.print(table)
    console.print(f"published: {database.path.resolve()}", soft_wrap=True, highlight=False)
    console.print(
        "try: select n_legs, sum(n_rfq) as rfqs, sum(fill_rate_matured_numerator)"
        " / nullif(sum(fill_rate_matured_denominator), 0) as fill_rate"
        " from marts.fill_rates where visibility = 'own' and capture <> 'backfill'"
        " group by all order by n_legs",
        soft_wrap=True,
        highlight=False,
    )


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


def _summary(connection: duckdb.DuckDBPyConnection) -> Table:
    as_of, n_rfq, n_rfq_own, n_quotes = connection.execute(_COUNTS).fetchall()[0]
    filled, n, n_censored, fill_rate, low, high = connection.execute(_FILL_RATE).fetchall()[0]
    spread, n_spreads = connection.execute(_SPREAD).fetchall()[0]
    p50, p99, n_responses = connection.execute(_RESPONSE).fetchall()[0]
    table = Table(
        title=f"as of {as_of:%Y-%m-%d %H:%M:%S} UTC", show_header=False, title_justify="left"
    )
    table.add_row("RFQs", f"{n_rfq:,}", f"of which your own: {n_rfq_own:,}")
    table.add_row("quotes", f"{n_quotes:,}", "")
    interval = f"{filled:,} of {n:,} matured own RFQs" if n else "no own RFQ has matured"
    if fill_rate is not None:
        interval += f", 95 % interval {low:.1%} to {high:.1%}; {n_censored:,} still open"
    table.add_row("fill rate", _shown(fill_rate, ".1%"), interval)
    table.add_row(
        "quote spread, median", _shown(spread, ".4f", "$"), f"{n_spreads:,} two-sided quotes"
    )
    table.add_row(*_answered(connection))
    table.add_row("response, median", _shown(p50, ".3f", "", " s"), f"{n_responses:,} first quotes")
    table.add_row("response, p99", _shown(p99, ".3f", "", " s"), "shown from 500 responses")
    return table


def _answered(connection: duckdb.DuckDBPyConnection) -> tuple[str, str, str]:
    """The share answered within 5 s, beside what it rests on."""
    rows = connection.execute(_ANSWERED).fetchall()
    capture, share, n, weighted, *watched = rows[0]
    lives = zip(("5-20 s", "20-60 s", "60-600 s", "longer"), watched, strict=True)
    seen = ", ".join(f"{life} {_shown(of, '.0%')}" for life, of in lives)
    rests_on = f"{n:,} own RFQs, {capture}; weighted to all lifetimes {_shown(weighted, '.1%')}"
    return "answered within 5 s", _shown(share, ".1%"), f"{rests_on}; watched: {seen}"


def _shown(value: float | None, form: str, before: str = "", after: str = "") -> str:
    return "-" if value is None else f"{before}{value:{form}}{after}"


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
