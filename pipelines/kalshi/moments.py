"""Two moments that raw tells: up to when all was read, and when the last run ended."""

from dataclasses import dataclass
from datetime import datetime

import duckdb

# dlt stores the tables of a load one by one, so a killed load may have left its reports without the
# rows that they speak of: they count for nothing.
_IS_STORED = "load not in (select load from raw.loads where not is_whole)"
# The last report of a pass tells how far it has read. One that was never verified has no watermark
# and counts from its beginning, so that what it shows is shown.
_LAST_REPORTS = f"""
with reports as (
    select
        pass, coalesce(watermark_after_ts, started_ts) as read_to,
        is_verified, watermark_after_ts is not null as has_watermark, rowid as place
    from raw.extraction_runs
    where {_IS_STORED}
        and (account_fingerprint, scope) is not distinct from ($1::varchar, $2::varchar)
),
last as (
    select
        pass, arg_max(read_to, place) as read_to,
        arg_max(is_verified and has_watermark, place) as is_whole,
        arg_max(has_watermark, place) as has_watermark
    from reports group by pass
)
"""  # noqa: S608 -- no input in it
# What is read once a day or by id holds nothing back. While one of the three has never been read to
# its end, nothing comes late.
_READ_TO = f"""
{_LAST_REPORTS}
select if(count(*) = 3 and bool_and(has_watermark), min(read_to), null) from last where pass in (
    'quotes_made', 'quotes_received', if($2 = 'market', 'rfqs_market', 'rfqs_self')
)
"""  # noqa: S608 -- no input in it
# Where the market's list was not read to its end, our own RFQs are known as far as their own list
# was read.
_READ = f"""
{_LAST_REPORTS}
select
    min(read_to) filter (pass in ('quotes_made', 'quotes_received')),
    max(read_to) filter (pass = 'rfqs_self' or pass = 'rfqs_market' and has_watermark),
    max(read_to) filter (pass = 'rfqs_market'),
    coalesce(bool_and(is_whole) filter (pass = 'rfqs_market'), false)
from last
"""  # noqa: S608 -- no input in it
_LAST_RUN = f"""
select arg_max(account_fingerprint, place), arg_max(scope, place), max(ended_ts) from (
    select account_fingerprint, scope, ended_ts, rowid as place from raw.extraction_runs
    where {_IS_STORED} and run_id = (
        select run_id from raw.extraction_runs where {_IS_STORED} order by rowid desc limit 1
    )
)
"""  # noqa: S608 -- no input in it


@dataclass(frozen=True, slots=True)
class Moments:
    """`as_of`: what happened by then is known. `known_until`: it was read by then.

    A row read in between is known as well, without what it dates after `as_of`. Of strangers' RFQs
    all are known only where `is_market_complete`.
    """

    as_of: datetime
    known_until: datetime
    is_market_complete: bool


def read_to(
    connection: duckdb.DuckDBPyConnection, account_fingerprint: str | None, scope: str | None
) -> datetime | None:
    """Return the earliest watermark of both quotes passes and the scope's list of RFQs.

    None where one of these has none yet, with this account and scope.
    """
    ((moment,),) = connection.execute(_READ_TO, [account_fingerprint, scope]).fetchall()
    found: datetime | None = moment
    return found


def last_shown(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    """Return the moment that was published last; None where none was noted."""
    ((shown,),) = connection.execute(
        "select arg_max(as_of, rowid) from raw.publications"
    ).fetchall()
    moment: datetime | None = shown
    return moment


def last_moments(connection: duckdb.DuckDBPyConnection) -> Moments | None:
    """Return the moments of the last run that left a report; None before any.

    While the market's list is being read, or fails, they are those of what is ours. A sweep that
    began before what was published last leaves the market incomplete: as_of goes never back.
    """
    ((fingerprint, scope, ended_ts),) = connection.execute(_LAST_RUN).fetchall()
    found = connection.execute(_READ, [fingerprint, scope]).fetchall()
    ((quotes, own, market, is_whole),) = found
    shown = last_shown(connection)
    is_complete = is_whole and (shown is None or market >= shown)
    known = [quotes, market if is_complete else own or market]
    as_of = min((moment for moment in known if moment is not None), default=None)
    return None if as_of is None else Moments(as_of, max(as_of, ended_ts), is_complete)
