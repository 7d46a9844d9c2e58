"""What needs attention: at most seven things, each linked to its place on the page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from itertools import islice

import duckdb

from notebooks.report.figures import MIN_N, Found, written
from notebooks.report.scope import Scope, ask
from notebooks.report.window import Unit, short_id

MOST = 7
# A next bid no further away than this: the price was as good as it gets.
_CLOSE_DOLLARS = "0.01"


@dataclass(frozen=True, slots=True)
class Item:
    """A thing to look at: what it is, and the id of its place on the page."""

    kind: str
    text: str
    place: str


def attention(
    connection: duckdb.DuckDBPyConnection, scope: Scope, found: Sequence[Found], unit: Unit
) -> list[Item]:
    """The first seven: the record, what was rejected, one thing of each kind, then figures.

    Without the whole market, what is counted of it comes before all.
    """
    items = [
        *_market(connection, scope),
        *_days(connection, scope),
        *_rejected(connection, scope),
        *_new_leader_in_lapses(connection),
        *_unquoted_series(connection, scope),
        *_close_calls(connection, scope),
        *_unusual(found, unit),
    ]
    return list(islice(items, MOST))


def _market(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Iterator[Item]:
    ((is_complete,),) = connection.execute(
        "select is_market_complete from marts.build_info"
    ).fetchall()
    if scope.sees_market and not is_complete:
        text = "The market's list is still being read: RFQs of others are not all counted yet."
        yield Item("market", text, "chart-coverage")


def _days(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Iterator[Item]:
    days = [row for row in verdicts(connection, scope) if row[1] != "clean"]
    if days:
        told = ", ".join(f"{day:%-d %b} {verdict}" for day, verdict, _ in days[:4])
        text = f"The record of the window is not whole: {told} (UTC days). {days[0][2]}"
        yield Item("day", text, "chart-coverage")


def verdicts(connection: duckdb.DuckDBPyConnection, scope: Scope) -> list[tuple[object, str, str]]:
    """Each UTC day that the window touches, up to as_of: its verdict, and why it is not clean.

    One before the record begins has no row, and is missing.
    """
    rows = ask(
        connection,
        "with days as (select unnest(range("
        f"timestamp '{scope.window.since_ts:%Y-%m-%d}',"
        f" least(timestamp '{scope.window.until_ts:%Y-%m-%d %H:%M:%S}',"
        f" timestamp '{scope.as_of.astimezone(UTC):%Y-%m-%d %H:%M:%S}'),"
        " interval 1 day))::date as cohort_date)"
        " select cohort_date, coalesce(verdict, 'missing') as verdict, n_gaps, open_rfqs_missed,"
        " share_watched from days left join marts.trust using (cohort_date) order by cohort_date",
    ).to_dicts()
    return [(row["cohort_date"], row["verdict"], _why(row)) for row in rows]


def _why(row: dict[str, object]) -> str:
    share = row["share_watched"]
    why = []
    if row["n_gaps"]:
        why.append(f"{row['n_gaps']} gaps")
    if row["open_rfqs_missed"]:
        why.append(f"{row['open_rfqs_missed']} open RFQs missed")
    if isinstance(share, float) and share < 0.5:
        why.append(f"{share:.0%} of the RFQs whose quotes you see were watched live")
    return f"{', '.join(why)}." if why else ""


def _rejected(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Iterator[Item]:
    ((n,),) = connection.execute(
        "select coalesce(sum(rejected_rows), 0)::bigint from raw.extraction_runs"
        " where started_ts >= $1 and started_ts < $2",
        [scope.window.since_ts, scope.window.until_ts],
    ).fetchall()
    if n:
        times = f"{n:,} time{'s' * (n != 1)}"
        where = "`raw.extraction_runs` says in which list, `raw.rejected_rows` which and why"
        yield Item("rejected", f"{times} a row could not be read: {where}.", "data")


def _new_leader_in_lapses(connection: duckdb.DuckDBPyConnection) -> Iterator[Item]:
    rows = ask(
        connection,
        "select maker_id, count(*) filter (is_now) as n_now,"
        " count(*) filter (not is_now) as n_before from quoted"
        " where visibility = 'own' and is_lapsed and is_accept_matured"
        " and coalesce(maker_id, 'unknown') <> 'unknown' group by maker_id",
    )
    if not rows.height or not rows["n_now"].sum() or not rows["n_before"].sum():
        return
    now = rows.sort("n_now", "maker_id", descending=[True, False]).row(0, named=True)
    before = rows.sort("n_before", "maker_id", descending=[True, False]).row(0, named=True)
    if now["maker_id"] != before["maker_id"] and now["n_now"] > 1:
        text = (
            f"{short_id(now['maker_id'])} let most accepts lapse: {now['n_now']};"
            f" before, it was {short_id(before['maker_id'])}."
        )
        yield Item("lapses", text, "chart-makers")


def _unquoted_series(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Iterator[Item]:
    if "maker" not in scope.shown or not scope.counts_market:
        return
    rows = ask(
        connection,
        "select left(series_ticker, 60) as series, count(*) as n from seen where is_now"
        f" and capture = '{scope.captures['maker']}'"
        f" group by series having count(*) filter (is_quoted) = 0 and n >= {MIN_N}"
        " order by n desc, series",
    ).to_dicts()
    if rows:
        told = ", ".join(f"{row['series']} ({row['n']:,})" for row in rows[:3])
        text = (
            f"{len(rows)} series with {MIN_N} RFQs or more ({scope.captures['maker']}) were seen"
            f" and not quoted: {told}."
        )
        yield Item("unquoted", text, "chart-hits_by_series")


def _close_calls(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Iterator[Item]:
    if "requester" not in scope.shown:
        return
    ((n, n_close, n_better),) = connection.execute(
        "select count(cover_distance),"
        f" count(*) filter (cover_distance between 0 and {_CLOSE_DOLLARS}),"
        " count(*) filter (cover_distance < 0)"
        " from asked where is_now and visibility = 'own' and state = 'executed'"
        f" and capture = '{scope.captures['requester']}'"
    ).fetchall()
    if n_close or n_better:
        text = (
            f"The next quote was within one cent on {n_close:,} of {n:,} executed RFQs"
            f" ({scope.captures['requester']}) that another maker bid for; on {n_better:,} a better"
            " bid was passed over."
        )
        yield Item("close", text, "chart-cover_by_size")


def _unusual(found: Sequence[Found], unit: Unit) -> Iterator[Item]:
    """Figures outside the range of the days before, the farthest outside first."""
    unusual = [each for each in found if each.is_unusual]
    for each in sorted(unusual, key=_distance, reverse=True):
        low, high = each.usual or (0.0, 0.0)
        kind = each.figure.kind
        text = (
            f"{each.figure.title}: {written(each.now.value, kind, unit)} (n {each.now.n:,});"
            f" on the {each.n_usual} days before, {written(low, kind, unit)}"
            f" to {written(high, kind, unit)}."
        )
        yield Item("figure", text, f"figure-{each.figure.metric}")


def _distance(found: Found) -> float:
    """How far outside its range a figure is, in halves of its interval."""
    low, high = found.usual or (0.0, 0.0)
    value = found.now.value or 0.0
    beyond = max(low - value, value - high)
    half = ((found.now.high or value) - (found.now.low or value)) / 2
    return beyond / half if half else 0.0
