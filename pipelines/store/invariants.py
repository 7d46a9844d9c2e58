"""Rules that data must keep before it is published; each is a query that finds what breaks it.

They look at the draft itself, so nothing stands between what was checked and what is read. A run
that goes on looks at what it has changed; a build of everything looks at everything, and once a day
so does a run. A rule is fatal where only a fault of ours can break it: nothing is published until
somebody has looked. What the exchange may serve oddly never stops publishing; it is counted in
`marts.data_quality`.

| rule | broken by | then |
|---|---|---|
| one current row per RFQ, per quote | us | refused |
| one raw row per observed state | us | refused |
| every RFQ and quote in raw is in staging and in the facts, and no other | us | refused |
| what raw saw executed or cancelled is executed or cancelled | us | refused |
| every RFQ and quote to be published has a version in raw | us | refused |
| what was published is in raw | a backup, a lost log | read again, else refused or accepted |
| what was published is still shown, unless the moment shown went back | us | refused |
| no published execution is undone, unless the moment shown went back | us | refused |
| what a run has not changed is there as often as it was | us | refused |
| a watermark never goes back, neither in a run nor from one to the next | us | refused |
| few rows of the last run were rejected | the exchange | refused, until it passes or is allowed |
| few new rows of a run lack a status, market, size or bid (0 is none) | the exchange | the same |
| a quote's RFQ is known | the exchange | counted |
| a status is a known one | the exchange | counted |
| prices lie in 0..1, sizes are not negative | the exchange | counted, not believed |
| prices are on the grid | the exchange | counted |
| times are in order and not in the future | the exchange | counted, out of durations |
"""

from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from pipelines.kalshi.extraction import Limits
from pipelines.store.errors import DataRefused
from pipelines.store.publish import is_damage
from pipelines.store.stamp import read_stamp

CHECK_EVERYTHING_EVERY = timedelta(days=1)
_IS_CHECKED = """
select count(*) > 0 from incremental.checked where $1 - checked_ts between interval '0 s' and $2
"""

_AS_OF = """
set variable as_of = (select as_of from draft.marts.build_info);
set variable built_load = (select load from draft.marts.build_info)
"""

# Where a rule finds its rows: everything there is or, in a run that goes on, what that has changed.
# What was loaded since the build began is for the next one.
_EVERYTHING = {
    "new_rfqs": "(from raw.rfq_versions where load <= getvariable('built_load'))",
    "new_quotes": "(from raw.quote_versions where load <= getvariable('built_load'))",
    "rfq_versions": "(from raw.rfq_versions where load <= getvariable('built_load'))",
    "quote_versions": "(from raw.quote_versions where load <= getvariable('built_load'))",
    "rfqs": "draft.staging.rfqs",
    "quotes": "draft.staging.quotes",
    "rfq_facts": "draft.marts.rfq_facts",
    "quote_facts": "draft.marts.quote_facts",
    "published_rfqs": "published.staging.rfqs",
    "published_quotes": "published.staging.quotes",
    "runs": "raw.extraction_runs",
}
_NEW = """(
    from raw.{} where load > getvariable('last_load') and load <= getvariable('built_load')
)"""
# The build has made `changed_...` and `replaced_...`; `checked_...` are read back from the draft.
_CHANGED = {
    "new_rfqs": _NEW.format("rfq_versions"),
    "new_quotes": _NEW.format("quote_versions"),
    "rfq_versions": "changed_rfq_versions",
    "quote_versions": "changed_quote_versions",
    **{name: f"checked_{name}" for name in ("rfqs", "quotes", "rfq_facts", "quote_facts")},
    "published_rfqs": "replaced_rfqs",
    "published_quotes": "replaced_quotes",
    # A watermark is compared with those of the last days, as some lists are read once a day.
    "runs": (
        "(select *, rowid from raw.extraction_runs where load > getvariable('last_load') - 1000"
        " or started_ts > getvariable('as_of') - interval 2 day)"
    ),
}
# By creation first: raw has told every creation that staging may show, and to read the moments of a
# table takes a sixth of the time of its ids.
_READ_BACK = """
create or replace temp table checked_{name} as
    with created_then as materialized (
        select {key}, created_ts{status} from draft.{schema}.{name}
        where created_ts in (select created_ts from changed_{versions})
    )
    select held.{key}{status} from created_then as held
    semi join changed_{versions} as seen
        on held.{key} = seen.id and held.created_ts = seen.created_ts
"""

# A table knows how many rows it has, and a view would read them: RFQ facts are counted by table.
_ALWAYS = {
    "an RFQ has two current rows": (
        "select rfq_id from {rfqs} group by rfq_id having count(*) > 1"
    ),
    "a quote has two current rows": (
        "select quote_id from {quotes} group by quote_id having count(*) > 1"
    ),
    "a state of an RFQ is stored twice": (
        "select id from {rfq_versions} group by id, version_hash having count(*) > 1"
    ),
    "a state of a quote is stored twice": (
        "select id from {quote_versions} group by id, version_hash having count(*) > 1"
    ),
    "an RFQ was lost on its way from raw": (
        "select id from {new_rfqs} where created_ts <= getvariable('as_of')"
        " except select rfq_id from {rfqs}"
    ),
    "a quote was lost on its way from raw": (
        "select id from {new_quotes} where created_ts <= getvariable('as_of')"
        " except select quote_id from {quotes}"
    ),
    "an RFQ has no version in raw": (
        "select rfq_id from {rfqs} except select id from {rfq_versions}"
    ),
    "an RFQ was read with legs that raw does not have": (
        "select id from {rfq_versions} anti join raw.leg_lists using (leg_list)"
        " where leg_list is not null"
    ),
    "a quote has no version in raw": (
        "select quote_id from {quotes} except select id from {quote_versions}"
    ),
    "a fact mart lost, doubled or invented an RFQ": (
        "select rfq_id from ("
        " select rfq_id, 1 as n from {rfqs} union all select rfq_id, -1 from {rfq_facts})"
        " group by rfq_id having sum(n) <> 0"
        " union all select 'somewhere' where (select count(*) from draft.staging.rfqs) <>"
        " (select count(*) from draft.incremental.visible_rfq_facts)"
        " + (select count(*) from draft.incremental.foreign_rfq_facts)"
    ),
    "a fact mart lost, doubled or invented a quote": (
        "select quote_id from ("
        " select quote_id, 1 as n from {quotes} union all select quote_id, -1 from {quote_facts})"
        " group by quote_id having sum(n) <> 0"
        " union all select 'somewhere' where (select count(*) from draft.staging.quotes)"
        " <> (select count(*) from draft.marts.quote_facts)"
    ),
    "an execution that raw saw is undone": (
        "select id from {quote_versions} as seen join {quotes} as shown on quote_id = id"
        " where seen.executed_ts <= getvariable('as_of')"
        " and shown.status is distinct from 'executed'"
    ),
    "a cancellation that raw saw is undone": (
        "select id from {quote_versions} as seen join {quotes} as shown on quote_id = id"
        " where seen.cancelled_ts <= getvariable('as_of')"
        " and coalesce(shown.status, '') not in ('executed', 'cancelled')"
        " union all"
        " select id from {rfq_versions} as seen join {rfqs} as shown on rfq_id = id"
        " where seen.cancelled_ts <= getvariable('as_of')"
        " and shown.status is distinct from 'closed'"
    ),
    "a watermark went back": (
        "select run_id from {runs} where watermark_before_ts is not null"
        " and coalesce(watermark_after_ts, '-infinity') < watermark_before_ts"
    ),
    # What a run began with is what the one before had stored for certain: a killed load may leave
    # its report here without its watermark. A backfill's watermark belongs to its span, and a span
    # that is asked for again starts anew. So does a run that reads again what raw has lost: one
    # that is ended on its way leaves how far it came.
    "a watermark fell from one run to the next": (
        "with reports as ("
        " select *, rowid as place, count(*) filter (began_anew) over"
        " (partition by origin, account_fingerprint, scope, pass order by rowid) as n_anew"
        " from {runs}"
        " where account_fingerprint is not null and pass not like 'backfill%'),"
        " begun as ("
        " select run_id, origin, account_fingerprint, scope, pass, n_anew, min(place) as place,"
        " arg_min(coalesce(watermark_before_ts, '-infinity'), place) as watermark_ts"
        " from reports where began_anew is not true"
        " group by all)"
        " select run_id from begun qualify watermark_ts < lag(watermark_ts) over"
        " (partition by origin, account_fingerprint, scope, pass, n_anew order by place)"
    ),
}

# What raw has lost is not its place to tell: `find_lost` has told before.
_SINCE_THE_LAST = {
    "an RFQ that was published is gone": (
        "select rfq_id from {published_rfqs} semi join {rfq_versions} as seen on id = rfq_id"
        " except select rfq_id from {rfqs}"
    ),
    "a quote that was published is gone": (
        "select quote_id from {published_quotes} semi join {quote_versions} as seen"
        " on id = quote_id"
        " except select quote_id from {quotes}"
    ),
    "an execution that was published is undone": (
        "select quote_id from {published_quotes}"
        " semi join {quote_versions} as seen on seen.id = quote_id and seen.status = 'executed'"
        " where status = 'executed'"
        " except select quote_id from {quotes} where status = 'executed'"
    ),
}

# What a run that goes on has not changed is as it was: as many rows of it, which costs no reading.
_UNCHANGED = {
    f"{what} that did not change are gone or doubled": (
        f"select 1 where (select count(*) from draft.staging.{table})"  # noqa: S608
        f" - (select count(*) from checked_{table})"
        f" <> (select count(*) from published.staging.{table})"
        f" - (select count(*) from replaced_{table})"
    )
    for what, table in (("RFQs", "rfqs"), ("quotes", "quotes"))
}

_STAGES = ["open", "accepted", "confirmed", "cancelled", "executed"]
_RANK = f"list_position({_STAGES}, shown.status)"
_SHOWN_BY_RAW = f"""greatest(
    coalesce(list_position({_STAGES}, seen.status), 0),
    if(seen.accepted_ts is null, 0, 2), if(seen.confirmed_ts is null, 0, 3),
    if(seen.cancelled_ts is null, 0, 4), if(seen.executed_ts is null, 0, 5)
)"""

_LOST = {
    "RFQs": "select rfq_id from published.staging.rfqs anti join raw.rfq_versions on id = rfq_id",
    "quotes": (
        "select quote_id from published.staging.quotes"
        " anti join raw.quote_versions on id = quote_id"
    ),
    "closings": (
        "select rfq_id from published.staging.rfqs semi join raw.rfq_versions on id = rfq_id"
        " anti join raw.rfq_versions as seen"
        " on seen.id = rfq_id and (seen.status = 'closed' or seen.cancelled_ts is not null)"
        " where status = 'closed'"
    ),
    # A version that shows as much, by its status or its times, accounts for what was shown.
    "changes of quotes": f"""
        select quote_id from published.staging.quotes as shown
        semi join raw.quote_versions on id = quote_id
        anti join raw.quote_versions as seen on seen.id = quote_id
            and (seen.status = shown.status or {_SHOWN_BY_RAW} >= coalesce({_RANK}, 0))
        where shown.status <> 'open'
    """,  # noqa: S608 -- no input in it
}

# What the market's list showed, the daily lists show again.
_REJECTED = """
select coalesce(sum(rejected_rows), 0)::bigint, coalesce(sum(rows_seen), 0)::bigint
from raw.extraction_runs
where run_id = (select run_id from raw.extraction_runs order by rowid desc limit 1)
    and not (scope is not distinct from 'market' and pass in ('rfqs_self', 'rfqs_open'))
"""

# A renamed field reads as NULL, or is still sent with nothing in it. Its rows are kept whole, as
# unknown fields; but not believed where no honest row can do without: a size in contracts or
# dollars, a bid on one side at least. One of the two may be 0: a size in dollars has no contracts,
# a side that is not offered no bid.
_LACKING = """
with run as (
    select min(started_ts) as started_ts from raw.extraction_runs
    where run_id = (select run_id from raw.extraction_runs order by rowid desc limit 1)
),
seen as (
    select observed_ts, concat_ws(', ',
        if(coalesce(status, '') = '', 'status', null),
        if(coalesce(market_ticker, '') = '', 'market_ticker', null),
        if(coalesce(nullif(contracts_fp, 0), target_cost_dollars, 0) = 0, 'a size', null)) as lacks
    from raw.rfq_versions
    union all
    select observed_ts, concat_ws(', ',
        if(coalesce(status, '') = '', 'status', null),
        if(coalesce(market_ticker, '') = '', 'market_ticker', null),
        if(coalesce(nullif(yes_bid_dollars, 0), no_bid_dollars, 0) = 0, 'a bid', null)) as lacks
    from raw.quote_versions
)
select count(*) filter (lacks <> ''), count(*), mode(lacks) filter (lacks <> '')
from seen where observed_ts >= (select started_ts from run)
"""


def demand_sound(
    connection: duckdb.DuckDBPyConnection, *, has_last: bool, changes_alone: bool = False
) -> None:
    """Raise `DataRefused` naming each rule that the attached `draft` breaks, and how often.

    With *has_last* it is also compared with the last one, attached as `published`. The rules look
    at everything or, for a build that went on from the last one, at its *changes alone*.
    """
    connection.execute(_AS_OF)
    if changes_alone:
        _read_back(connection)
        rules, rows = _ALWAYS | _SINCE_THE_LAST | (_UNCHANGED if has_last else {}), _CHANGED
    else:
        compares = has_last and _goes_forward(connection)
        rules, rows = _ALWAYS | (_SINCE_THE_LAST if compares else {}), _EVERYTHING
    counts = {rule: _count(connection, query.format(**rows)) for rule, query in rules.items()}
    broken = [f"{rule} ({count:,})" for rule, count in counts.items() if count]
    if broken:
        raise DataRefused(
            f"nothing was published: {'; '.join(broken)}. The last published file stays. Please "
            "report this with the output of `rfq status`"
        )


def _read_back(connection: duckdb.DuckDBPyConnection) -> None:
    """Read what a build has changed from the attached `draft`."""
    for name, key, versions in (
        ("rfqs", "rfq_id", "rfq_versions"),
        ("quotes", "quote_id", "quote_versions"),
    ):
        names = {"key": key, "versions": versions}
        staged = _READ_BACK.format(name=name, schema="staging", status=", status", **names)
        facts = f"{name.removesuffix('s')}_facts"
        connection.execute(staged)
        connection.execute(_READ_BACK.format(name=facts, schema="marts", status="", **names))


def checks_everything(connection: duckdb.DuckDBPyConnection, known_until: datetime) -> bool:
    """Return whether the rules are to look at all of the draft that is written: once a day.

    The moment is noted in the draft, which is published only if it keeps them.
    """
    asked = [known_until, CHECK_EVERYTHING_EVERY]
    if connection.execute(_IS_CHECKED, asked).fetchall() == [(True,)]:
        return False
    connection.execute("delete from incremental.checked")
    connection.execute("insert into incremental.checked values ($1)", [known_until])
    return True


def find_lost(connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, int], list[str]]:
    """Count what the attached `published` shows and raw no longer holds, by kind of row.

    Return besides the kinds of which damage lets nothing be told.
    """
    counts: dict[str, int] = {}
    unreadable: list[str] = []
    for kind, rows in _LOST.items():
        try:
            counts[kind] = _count(connection, rows)
        except duckdb.Error as error:
            if not is_damage(error):
                raise
            unreadable.append(kind)
    return {kind: count for kind, count in counts.items() if count}, unreadable


def demand_nothing_lost(lost: dict[str, int], private: Path) -> None:
    """Raise `DataRefused` with the ways on, when rows that were published are *lost*."""
    if lost:
        raise DataRefused(
            f"nothing was published: the private file has lost {told(lost)} that were published, "
            "and the exchange no longer has them. The last published file stays. To restore them, "
            f"put a backup of {private} in its place and run again; `rfq run --accept-loss` "
            "publishes without them and counts them in marts.data_quality. A watch has to be "
            "stopped for either"
        )


def accept_losses(connection: duckdb.DuckDBPyConnection, lost: dict[str, int]) -> None:
    """Note in raw what of the attached `published` nobody has any more, once however often asked.

    A run that is killed before it publishes leaves its note, and the next one replaces it. One
    that was published stays, as the moment shown may stand still from one run to the next.
    """
    as_of = "(select as_of from published.marts.build_info)"
    last = read_stamp(connection, "published")
    connection.execute(
        f"delete from raw.accepted_losses where published_as_of = {as_of} and load > coalesce("  # noqa: S608
        "(select max(load) from raw.published_files where file_id = $1), -1)",
        [last and last.seal],
    )
    for kind, count in lost.items():
        connection.execute(
            "insert into raw.accepted_losses by name"  # noqa: S608
            f" select now() as accepted_ts, {as_of} as published_as_of, $1 as lost,"
            " $2 as rows_lost,"
            " (select coalesce(max(load), 0) from raw.loads) as load",
            [kind, count],
        )


def told(lost: dict[str, int]) -> str:
    """What `find_lost` has counted, in words."""
    return ", ".join(f"{count:,} {kind}" for kind, count in lost.items())


def demand_few_rejected(connection: duckdb.DuckDBPyConnection, limits: Limits) -> None:
    """Raise `DataRefused` when too many rows of the last run could not be read, or lack a field."""
    rejected, seen = connection.execute(_REJECTED).fetchall()[0]
    if limits.exceeded(rejected, seen):
        raise DataRefused(
            f"nothing was published: {rejected:,} of {seen:,} rows could not be read, more than "
            f"{limits.rejected_share:.2%}. raw.rejected_rows in the private file says why. The "
            "last published file stays; to publish without these rows, raise "
            "SOURCES__KALSHI__REJECTED_SHARE"
        )
    lacking, seen, fields = connection.execute(_LACKING).fetchall()[0]
    if limits.exceeded(lacking, seen):
        raise DataRefused(
            f"nothing was published: {lacking:,} of {seen:,} new rows came without {fields}, which "
            "every row has: the exchange may have renamed it. The rows are kept, with whatever it "
            "is called now under unknown_fields in raw of the private file. The last published "
            "file stays; to publish nevertheless, raise SOURCES__KALSHI__REJECTED_SHARE"
        )


def _goes_forward(connection: duckdb.DuckDBPyConnection) -> bool:
    moves_on: bool = connection.execute(
        "select getvariable('as_of') >= as_of from published.marts.build_info"
    ).fetchall()[0][0]
    return moves_on


def _count(connection: duckdb.DuckDBPyConnection, breakers: str) -> int:
    count: int = connection.execute(f"select count(*) from ({breakers})").fetchall()[0][0]  # noqa: S608
    return count
