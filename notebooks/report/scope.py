"""The rows that a page is of, as temporary views: the days of its window and the seven before.

A quote counts in the day of its RFQ, as in every mart; one whose RFQ is gone in its own. Rows are
aggregated in SQL, and none of them reaches a chart.
"""

import glob
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl
import polars.selectors as cs

from notebooks.report.window import PageError, Window, cut

KEYS = ("quote_id", "rfq_id", "market_ticker")
FAIR = "fair_yes"
_MOST_TAGS = 3
_COMMENTS = re.compile(r"^--.*\n", re.MULTILINE)
_JOINED = "left join own_columns on own_key = {key}"
# The quote that filled an RFQ, which a file by quote_id gives the fair value of.
_FILLED_BY = """left join (
    select rfq_id, arg_min(quote_id, executed_ts) as filled_by from marts.quote_facts
    where executed_ts is not null
        and cohort_date between cast({before} as date) and cast({until} as date)
    group by rfq_id
) using (rfq_id) """

# The views of a connection: `asked`, one row per RFQ, and `quoted`, one row per quote; `contests`
# are RFQs of others that the account quoted, `seen` all of others. Who asked an RFQ that was first
# seen closed, an execution may have revealed: `requester_id_open` leaves that out.
_ASKED = """
select
    rfq_id, series_ticker, requester_side, visibility,
    case when is_first_seen_open then requester_id_first end as requester_id_open,
    requester_id_last,
    capture, n_legs, is_combo, size_bucket, created_ts, end_ts, end_cause, state, is_matured,
    is_decided, outcome_bucket, n_makers, time_to_first_quote_s, time_to_fill_s,
    requester_price_dollars, executed_contracts, premium_dollars, cover_bid, cover_distance,
    cover_savings_dollars, effective_spread, composite_spread, n_live_makers, market_ticker,
    created_ts >= {since} as is_now,
    cast(timezone('{zone}', created_ts) as date) as day,
    has_accept or state = 'executed' as is_accepted,
    outcome_bucket = 'executed_in_time' as is_filled,
    first_quote_ts - created_ts <= interval 5 seconds as is_answered_5s,
    {own} as edge_dollars, {matched} as is_matched{tags},
from marts.rfq_facts as rfq {joined}
where created_ts >= {before} and created_ts < {until}
    and cohort_date between cast({before} as date) and cast({until} as date) {whose} {chosen}
"""
_QUOTED = """
select
    quote.*, asked.day, asked.is_now, {edge} as edge_dollars, {matched} as is_matched{tags},
from marts.quote_facts as quote join asked using (rfq_id) {joined}
where quote.cohort_date between cast({before} as date) and cast({until} as date)
    and not quote.is_orphan {of_maker}
union all by name
select
    quote.*, cast(timezone('{zone}', created_ts) as date) as day,
    created_ts >= {since} as is_now,
from marts.quote_facts as quote
where is_orphan and created_ts >= {before} and created_ts < {until} {which} {chosen} {of_maker}
"""
_CONTESTS = """
select
    rfq_id,
    any_value(response_latency_s) filter (version = 1) as own_latency_s,
    bool_or(outcome = 'done' and is_reference_accept) as is_won,
    bool_or(is_effective and end_cause = 'withdrawn') as is_withdrawn{tags},
from quoted
where is_made_by_viewer and visibility = 'quoted' and is_valid_response
group by rfq_id
"""
_SEEN = """
select
    asked.*,
    contests.rfq_id is not null as is_quoted,
    coalesce(is_won, false) as is_won,
    coalesce(is_withdrawn, false) as is_withdrawn,
    own_latency_s{tags},
from asked left join contests using (rfq_id)
where visibility <> 'own'
"""
_KINDS = {"asked": "table", "quoted": "view", "contests": "table", "seen": "view"}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which RFQs a page is of, with their quotes: all, or those that hold every value given."""

    series: str | None = None
    market: str | None = None
    legs: tuple[int, ...] = ()
    size: str | None = None
    maker: str | None = None
    """A maker's id: the RFQs that it quoted, and of their quotes its own."""

    @property
    def of_rfqs(self) -> str:
        """The conditions on `rfq_facts`, and on quotes whose RFQ is gone."""
        texts = (("series_ticker", self.series), ("market_ticker", self.market))
        found = [f"and {column} = {literal(v)}" for column, v in texts if v is not None]
        if self.legs:
            found.append(f"and n_legs in ({', '.join(map(str, self.legs))})")
        if self.size is not None:
            found.append(f"and size_bucket = {literal(self.size)}")
        return " ".join(found)

    def of_maker(self, table: str) -> str:
        """The condition on a table of quotes."""
        return "" if self.maker is None else f"and {table}.maker_id = {literal(self.maker)}"


EVERYTHING = Chosen()


@dataclass(frozen=True, slots=True)
class Own:
    """The columns of a file of the reader's own, and what they were joined by."""

    key: str
    tags: tuple[str, ...]
    left_out: tuple[str, ...]
    has_fair: bool
    n_rows: int
    only: tuple[str, ...] = ()
    """The conditions, `column=value`, that the rows of an RFQ must meet to be counted."""
    query: str = ""
    """What its rows are read by, under names of ours."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a page is of: its window, the account's roles, and how its quotes were captured."""

    window: Window
    as_of: datetime
    maturity_s: float
    sees_market: bool
    roles: tuple[str, ...]
    shown: tuple[str, ...]
    captures: dict[str, str] = field(default_factory=dict)
    own: Own | None = None
    definitions: dict[str, str] = field(default_factory=dict)
    chosen: Chosen = EVERYTHING
    is_market_complete: bool = True

    @property
    def counts_market(self) -> bool:
        """Whether what others asked is all held, so that something may be divided by it.

        Of RFQs that are chosen by an answer all are answered.
        """
        return self.sees_market and self.is_market_complete and self.chosen.maker is None

    @property
    def timely(self) -> str:
        """The condition on RFQs that a fill rate is of, by what was captured of them.

        A maker chosen by its quotes has those alone whose quotes are held: where nobody watched,
        these are nearly all its wins.
        """
        if self.chosen.maker is not None:
            return f"capture = '{self.captures['requester']}'"
        return "capture <> 'backfill'"

    @property
    def of_maker(self) -> str:
        """What a note says besides where RFQs are chosen by a maker's quotes."""
        return f"{self.quoted_by}, {self.captures['requester']}" if self.quoted_by else ""

    @property
    def quoted_by(self) -> str:
        """The same of what is of every capture."""
        return "" if self.chosen.maker is None else ", that this maker quoted"

    @property
    def whose(self) -> str:
        """Whose RFQs a count of all that are held is of."""
        if not self.sees_market:
            return "Your own RFQs, and those of others that you quoted"
        return "Everybody's RFQs" if self.is_market_complete else "Everybody's RFQs read so far"

    def in_full(self, query: str) -> str:
        """*query* with the views that it asks, so that it stands alone, for `rfq sql`."""
        needed = list(self._needed(query))
        views = ",\n".join(f"{name} as ({self.definitions[name].strip()})" for name in needed)
        if not views:
            return query
        text = _COMMENTS.sub("", query).strip()
        also = f",\n{text[len('with ') :]}" if text.startswith("with ") else f"\n{text}"
        return f"with {views}{also}"

    def _needed(self, query: str) -> list[str]:
        """The views that *query* asks, each after those that it asks itself."""
        found: list[str] = []
        for name, definition in self.definitions.items():
            if re.search(rf"\b{name}\b", query):
                found += [each for each in (*self._needed(definition), name) if each not in found]
        return found


def open_scope(
    connection: duckdb.DuckDBPyConnection,
    window: Window,
    role: str | None = None,
    own_file: Path | None = None,
    only: tuple[str, ...] = (),
    chosen: Chosen = EVERYTHING,
    is_of_market: bool = False,
) -> Scope:
    """Define the views of *window* on a connection to a published file, of what is *chosen*.

    With *is_of_market* they hold everybody's RFQs also where the account only asks. With *only*,
    `column=value` of the reader's own file, they hold the RFQs of those rows alone.
    Raises `PageError` for a file of the reader's own that cannot be joined.
    """
    if only and own_file is None:
        raise PageError("--only takes a column of your own file: give it with --with")
    own = _read_own(connection, own_file, only) if own_file else None
    times = {
        "since": _moment(window.since_ts),
        "until": _moment(window.until_ts),
        "before": _moment(window.before_ts),
        "zone": window.zone.value,
    }
    roles = tuple(_roles(connection))
    shown = tuple(each for each in roles if role in (None, each))
    # A page of a desk alone says nothing of what others asked, which may be most of what is held.
    whose = "and visibility = 'own'" if shown == ("requester",) and not is_of_market else ""
    definitions = _definitions(times, own, chosen, whose)
    for name, query in definitions.items():
        if name in _KINDS:
            connection.execute(f"create or replace temp {_KINDS[name]} {name} as {query}")
    as_of, maturity_s, scope, is_complete = connection.execute(
        "select as_of, maturity_s, scope, is_market_complete from marts.build_info"
    ).fetchall()[0]
    captures = {each: _capture(connection, each) for each in ("requester", "maker")}
    return Scope(
        window,
        as_of,
        maturity_s,
        scope == "market",
        roles,
        shown,
        captures,
        own,
        definitions,
        chosen,
        is_complete,
    )


def _definitions(
    times: dict[str, str], own: Own | None, chosen: Chosen, whose: str
) -> dict[str, str]:
    """What each view of a scope is, in the order in which they ask each other."""
    of_rfqs, of_maker = chosen.of_rfqs, chosen.of_maker("quote")
    quoted_by = f"(select rfq_id from marts.quote_facts as quote where true {of_maker})"
    of_asked = f"{of_rfqs} and rfq_id in {quoted_by}" if of_maker else of_rfqs
    to_rfqs, to_quotes = _joined_to_rfqs(own, times), _joined_to_quotes(own)
    return ({} if own is None else {"own_columns": own.query}) | {
        "asked": _ASKED.format(**times, **to_rfqs, whose=whose, chosen=of_asked),
        "quoted": _QUOTED.format(**times, **to_quotes, of_maker=of_maker, chosen=of_rfqs),
        "contests": _CONTESTS.format(tags=_tags_by_quote(own, ", max(tag_{n}) as tag_{n}")),
        "seen": _SEEN.format(tags=_tags_by_quote(own, ", contests.tag_{n}")),
    }


def literal(text: str) -> str:
    """*text* in SQL."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def _moment(moment: datetime) -> str:
    return f"timestamptz '{moment:%Y-%m-%d %H:%M:%S}+00'"


def _roles(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """What the account is in all that is held: whether it asked, whether it quoted."""
    found = connection.execute(
        "select distinct visibility from marts.fill_rates"
        " union select distinct visibility from marts.makers"
    ).fetchall()
    names = {"own": "requester", "quoted": "maker"}
    return [role for visibility, role in names.items() if (visibility,) in found]


def _capture(connection: duckdb.DuckDBPyConnection, role: str) -> str:
    """Quote figures are of what was watched live, or of what was read late where all of it was.

    The window and the seven days before are of one kind, or they would not compare. Where a maker
    has quoted nothing, what it saw tells how that was watched.
    """
    visible = ("own",) if role == "requester" else ("quoted", "foreign")
    for visibility in visible:
        ((n, n_live),) = connection.execute(
            "select count(*), count_if(capture = 'live') from asked where visibility = $1",
            [visibility],
        ).fetchall()
        if n:
            return "live" if n_live else "late"
    return "live"


def ask(connection: duckdb.DuckDBPyConnection, query: str) -> pl.DataFrame:
    """The rows of *query*, their text without characters that steer a terminal or a reader."""
    rows: pl.DataFrame = connection.sql(query).pl()
    return rows.with_columns(cs.string().str.replace_all(r"[\p{C}\p{Zl}\p{Zp}]", "�"))


# Files of the reader's own


def read_names(connection: duckdb.DuckDBPyConnection, file: Path) -> dict[str, str]:
    """Names by id, of a file with the columns id and name. Raises `PageError`."""
    asked = f"--names {file}"
    _, lower = _read_file(connection, file, asked)
    for name in ("id", "name"):
        if name not in lower:
            raise PageError(f"{asked} has no column {name}: it needs id and name")
        _demand_one(lower, name, asked)
    _demand_keys(connection, "id", asked)
    named = "select id::varchar as id, name::varchar as name from own_file where name is not null"
    return dict(ask(connection, named).rows())


def _read_file(
    connection: duckdb.DuckDBPyConnection, file: Path, asked: str
) -> tuple[str, list[str]]:
    """Read a CSV or Parquet file into the temporary table `own_file`.

    Returns what it is read by, and the names of its columns in small letters: a spreadsheet writes
    its headings as it likes, and DuckDB takes any case for the same name.
    """
    if not file.is_file():
        raise PageError(f"{asked} is no file")
    # DuckDB takes signs of a path for a pattern, and folders named a=b for columns.
    path = literal(glob.escape(str(file.absolute())))
    is_parquet = file.suffix.lower() == ".parquet"
    source = f"read_{'parquet' if is_parquet else 'csv'}({path}, hive_partitioning = false"
    source += ")" if is_parquet else ", header = true, all_varchar = true)"
    try:
        connection.execute(f"create or replace temp table own_file as from {source}")
    except duckdb.Error as error:
        raise PageError(f"{asked}: {str(error).splitlines()[0]}") from None
    columns = connection.execute("describe own_file").fetchall()
    return source, [name.lower() for name, *_ in columns]


def _demand_one(lower: list[str], column: str, asked: str) -> None:
    """DuckDB numbers the second column of a name, which would be left out without a word."""
    if f"{column}_1" in lower:
        raise PageError(f"{asked} has two columns {column}, or one {column}_1: which is meant?")


def _read_own(connection: duckdb.DuckDBPyConnection, file: Path, only: tuple[str, ...]) -> Own:
    """Read a file into the temporary table `own_columns`, under names of ours."""
    asked = f"--with {file}"
    source, lower = _read_file(connection, file, asked)
    columns = [c for c, *_ in connection.execute("describe own_file").fetchall()]
    key = next((key for key in KEYS if key in lower), None)
    if key is None:
        raise PageError(f"{asked} has no column {', '.join(KEYS[:-1])} or {KEYS[-1]}")
    for column in (key, FAIR):
        _demand_one(lower, column, asked)
    others = tuple(c for c in columns if c.lower() not in (*KEYS, FAIR))
    tags, left_out = others[:_MOST_TAGS], others[_MOST_TAGS:]
    fair = f"nullif({FAIR}::varchar, '')" if FAIR in lower else "null::varchar"
    named = "".join(f', "{_quoted(tag)}" as tag_{n}' for n, tag in enumerate(tags))
    query = (
        f"select {key}::varchar as own_key,"
        f" {fair} as written, try_cast({fair} as double) as own_fair{named},"
        f" {_wanted(file, columns, key, only)} as is_wanted from "
    )
    connection.execute(f"create or replace temp table own_columns as {query} own_file")
    _demand_keys(connection, key, asked)
    _demand_fair(connection, file)
    ((n_rows,),) = connection.execute("select count(*) from own_columns").fetchall()
    connection.execute("delete from own_columns where not coalesce(is_wanted, false)")
    return Own(
        *(key, tags, left_out, FAIR in lower, n_rows, only),
        query=f"from ({query} {source}) where coalesce(is_wanted, false)",
    )


def _wanted(file: Path, columns: list[str], key: str, only: tuple[str, ...]) -> str:
    """The condition of the rows that *only* names, each as `column=value`."""
    if only and key == "quote_id":
        raise PageError("--only chooses RFQs: give a --with FILE by rfq_id or market_ticker")
    conditions = ["true"]
    for each in only:
        name, _, value = each.partition("=")
        column = next((c for c in columns if c.lower() == name.strip().lower()), None)
        if column is None or "=" not in each:
            raise PageError(f"--only {each}: {file} has no such column; write COLUMN=VALUE")
        conditions.append(f'"{_quoted(column)}"::varchar = {literal(value.strip())}')
    return " and ".join(conditions)


def _demand_keys(connection: duckdb.DuckDBPyConnection, key: str, asked: str) -> None:
    """Each row of `own_file` has a key, and each key one row."""
    wrong = connection.execute(
        f"select * from (select {key}::varchar, count(*) from own_file group by 1) as t(value, n)"
        " where n > 1 or value is null order by value nulls first limit 1"
    ).fetchall()
    for value, n in wrong:
        if value is None:
            raise PageError(f"{asked}: no {key} in {n} of its rows")
        raise PageError(f"{asked}: {key} {cut(value)!r} stands in {n} rows, and it must in one")


def _demand_fair(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    wrong = connection.execute(
        "select written from own_columns where written is not null"
        " and not coalesce(own_fair between 0 and 1, false) limit 1"
    ).fetchall()
    if wrong:
        raise PageError(f"--with {file}: {FAIR} is a price from 0 to 1 and not {wrong[0][0]!r}")


def _tags_by_quote(own: Own | None, column: str) -> str:
    """The columns of a file by quote, which a maker's own quotes bring to their RFQ."""
    if own is None or own.key != "quote_id":
        return ""
    return "".join(column.format(n=n) for n in range(len(own.tags)))


def _joined_to_rfqs(own: Own | None, times: dict[str, str]) -> dict[str, str]:
    """How `asked` takes the columns up: what a requester's fill was worth beyond its price.

    A file by quote says that of the quote that was executed, and its tags are no RFQ's.
    """
    if own is None:
        return {"own": "null::double", "matched": "false", "tags": "", "joined": ""}
    edge = (
        "case requester_side when 'buy_yes' then own_fair - requester_price_dollars"
        " when 'buy_no' then 1 - own_fair - requester_price_dollars end"
    )
    if own.key == "quote_id":
        joined, tags = _FILLED_BY.format(**times) + _JOINED.format(key="filled_by"), ""
    else:
        joined = _JOINED.format(key=f"rfq.{own.key}")
        joined = joined.removeprefix("left ") if own.only else joined
        tags = "".join(f", tag_{n}" for n in range(len(own.tags)))
    return {"own": edge, "matched": "own_key is not null", "tags": tags, "joined": joined}


def _joined_to_quotes(own: Own | None) -> dict[str, str]:
    """How `quoted` does: what the worse of a quote's two bids would give its maker."""
    if own is None:
        return {"edge": "null::double", "matched": "false", "tags": "", "joined": "", "which": ""}
    edge = "least(own_fair - yes_bid_dollars, yes_ask_dollars - own_fair)"
    joined = _JOINED.format(key=f"quote.{own.key}")
    tags = _tags_by_quote(own, ", tag_{n}")
    which = f"and quote.{own.key} in (select own_key from own_columns)" if own.only else ""
    matched = "own_key is not null"
    return {"edge": edge, "matched": matched, "tags": tags, "joined": joined, "which": which}


def _quoted(name: str) -> str:
    return name.replace('"', '""')
