"""What a run tells its reader: a desk, a maker, one who is both, or one who only looks on.

Each number is a sum over published marts, and stands beside its n or its interval.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

Row = dict[str, Any]
MIN_N_FOR_P90 = 50
INCOMPLETE = "the market's list is still being read: figures of the whole market are not complete"
_NOT_READ = "scope is self: RFQs that you did not quote are not read"
_KINDS = {False: "singles", True: "combos"}
_MOST_SIZES = 6

# *part* of `n` in each row of a query, as a share with its interval.
_SHARES = """
select
    *, {part} / nullif(n, 0) as share,
    marts.wilson_low({part}, n) as low, marts.wilson_high({part}, n) as high,
from ({query})
"""

_HELD = """
select
    as_of, maturity_s, scope, scope = 'market' and not is_market_complete as is_market_left,
    (select count(*) from marts.quote_facts) as n_quotes,
    rfqs.*,
    n_own > 0 or exists (from marts.makers where visibility = 'own') as is_desk,
    n_quoted > 0 or exists (from marts.makers where visibility = 'quoted') as is_maker,
from marts.build_info, (
    select
        coalesce(sum(n_rfq), 0)::bigint as n_rfq,
        coalesce(sum(n_rfq) filter (visibility = 'own'), 0)::bigint as n_own,
        coalesce(sum(n_rfq) filter (visibility = 'quoted'), 0)::bigint as n_quoted,
    from marts.fill_rates
) as rfqs
"""

_RECORD = """
select
    count(*) as n_days,
    count(*) filter (verdict = 'clean') as n_clean,
    count(*) filter (verdict = 'partial') as n_partial,
    count(*) filter (verdict = 'missing') as n_missing,
    coalesce(sum(hours_observed), 0) as hours_observed,
    coalesce(sum(n_rfq_watched), 0)::bigint as n_watched,
    coalesce(sum(n_rfq_own_or_quoted), 0)::bigint as n_own_or_quoted,
    sum(open_rfqs_missed)::bigint as n_missed,
    sum(open_rfqs_listed)::bigint as n_listed,
from marts.trust
"""

# The matured cohort twice: what of it was executed within M, and what by now. A backfill holds the
# executed and few others.
_FILLS = _SHARES.format(
    part="n_within",
    query="""
from (
    select
        n_legs <> 1 as is_combo,
        sum(fill_rate_matured_numerator)::bigint as n_within,
        sum(fill_rate_matured_denominator)::bigint as n,
        sum(n_immature)::bigint as n_young,
    from marts.fill_rates
    where visibility = 'own' and capture <> 'backfill'
    group by all
) join (
    select
        n_legs <> 1 as is_combo,
        sum(n_executed)::bigint as n_executed,
        sum(n_censored)::bigint as n_censored,
    from marts.funnel
    where capture <> 'backfill'
    group by all
) using (is_combo)
order by is_combo
""",
)

_ANSWERED = """
select capture, value, n, weighted_value,
    share_watched_5_20_s, share_watched_20_60_s, share_watched_60_600_s, share_watched_600_s
from marts.live_figures where figure = 'response_rate_5s'
"""

# Quote figures are of what was watched live, or of what was read late where nothing was.
_SHOWN = """
select if(coalesce(sum(n_live_capture), 0) > 0, 'live', 'late')
from marts.fill_rates where visibility = $whose
"""

_SPREADS = """
select
    n_legs <> 1 as is_combo,
    sum(n_spread)::bigint as n,
    sum(n_quotes)::bigint as n_quotes,
    marts.histogram_quantile(list(quote_spread_histogram), 0.5) as p50,
from marts.quote_spreads
where visibility = $whose and capture = $capture and maker_id is not null
group by all
order by is_combo
"""

_RESPONSES = """
select
    n_legs <> 1 as is_combo,
    sum(n)::bigint as n,
    marts.histogram_quantile(list(latency_histogram), 0.5) as p50,
    marts.histogram_quantile(list(latency_histogram), 0.9) as p90,
from marts.response_latencies
where visibility = $whose and capture = $capture and clock = 'response'
group by all
order by is_combo
"""

# First versions with and without a usable latency: one per RFQ that was answered.
_QUOTED = _SHARES.format(
    part="n_quoted",
    query="""
select is_combo, n, coalesce(n_quoted, 0)::bigint as n_quoted
from (
    select n_legs <> 1 as is_combo, sum(n_rfq)::bigint as n
    from marts.fill_rates
    where visibility <> 'own' and capture = $capture
    group by all
) left join (
    select n_legs <> 1 as is_combo, sum(n + n_unusable) as n_quoted
    from marts.response_latencies
    where visibility = 'quoted' and capture = $capture and clock = 'response'
    group by all
) using (is_combo)
order by is_combo
""",
)

# Counts say what was seen, whatever the capture; the ratio below follows it.
_WON_AT_ALL = """
select
    coalesce(sum(n_rfq_won), 0)::bigint as n_won,
    coalesce(sum(n_rfq_decided), 0)::bigint as n_decided,
from marts.makers where visibility = 'quoted'
"""

_WON = _SHARES.format(
    part="n_won",
    query="""
select
    cut.n_legs <> 1 as is_combo,
    sum(cut.n_won)::bigint as n_won,
    sum(cut.n_decided)::bigint as n,
from (select unnest(hit_ratio_by_legs) as cut from marts.my_day where capture = $capture)
group by all
order by is_combo
""",
)

# Accepted quotes are kept for good, so these are of every capture.
_ACCEPTS = _SHARES.format(
    part="n_lapsed",
    query="""
select
    coalesce(sum(n_accepts), 0)::bigint as n_accepts,
    coalesce(sum(n_accepts_pending), 0)::bigint as n_pending,
    coalesce(sum(n_accepts_matured), 0)::bigint as n,
    coalesce(sum(n_lapsed), 0)::bigint as n_lapsed,
    coalesce(sum(n_executions), 0)::bigint as n_executions,
from marts.makers where visibility = 'quoted'
""",
)

_ARRIVALS = """
select n_rfq, minutes, 1440 * n_rfq / nullif(minutes, 0) as per_day
from (
    select
        coalesce(sum(a.n_rfq), 0)::bigint as n_rfq,
        coalesce(sum(a.observed_minutes), 0) as minutes,
    from marts.activity as a
)
"""

_LEGS = """
select n_legs, sum(n_rfq)::bigint as n from marts.fill_rates group by all order by n_legs
"""

_SIZES = """
select size_bucket, sum(n_rfq)::bigint as n
from marts.fill_rates group by all order by n desc, size_bucket
"""

# A line of SQL to go on from, for whom it is.
_TRY = {
    "desk": "select * from marts.fill_rate_daily",
    "maker": "select * from marts.my_day",
    "market": "select weekday, hour, rfqs_per_observed_minute, n_rfq, observed_minutes"
    " from marts.activity",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A number, what it is, and what it rests on."""

    name: str
    value: str
    rests_on: str


@dataclass(frozen=True, slots=True)
class Part:
    """What one kind of reader asks, and a query to go on from."""

    title: str
    lines: list[Line]
    further: str | None = None


def headline(connection: duckdb.DuckDBPyConnection) -> list[Part]:
    """Return what the published marts say to whoever the account is."""
    (held,) = _rows(connection, _HELD)
    (record,) = _rows(connection, _RECORD)
    parts = [Part(f"as of {held['as_of']:%Y-%m-%d %H:%M:%S} UTC", [*_held(held, record)])]
    if held["is_desk"]:
        lines = [*_as_desk(connection, f"{held['maturity_s']:g} s")]
        parts.append(Part("as a desk: your own RFQs", lines, _TRY["desk"]))
    if held["is_maker"]:
        unread = _NOT_READ if held["scope"] == "self" else None
        lines = [*_as_maker(connection, INCOMPLETE if held["is_market_left"] else unread)]
        parts.append(Part("as a maker: your quotes on RFQs of others", lines, _TRY["maker"]))
    if not (held["is_desk"] or held["is_maker"]):
        lines = [*_of_market(connection, held, record)]
        parts.append(Part("the market: RFQs of others", lines, _TRY["market"]))
    return parts


def _held(held: Row, record: Row) -> Iterator[Line]:
    own, quoted = held["n_own"], held["n_quoted"]
    others = held["n_rfq"] - own - quoted
    unquoted = f"{others:,} that you did not"
    if held["scope"] == "self":
        unquoted = "others are not read in scope self"
    whose = f"your own {own:,}; of others {quoted:,} that you quoted, {unquoted}"
    yield Line("RFQs", f"{held['n_rfq']:,}", whose)
    if held["is_market_left"]:
        yield Line("of all RFQs", "some are missing", INCOMPLETE)
    yield Line("quotes", f"{held['n_quotes']:,}", "")
    verdicts = ", ".join(
        f"{record[f'n_{each}']:,} {each}" for each in ("clean", "partial", "missing")
    )
    yield Line(
        "days on record",
        f"{record['n_days']:,}",
        f"{verdicts}; {record['hours_observed']:,.1f} hours observed; watched live"
        f" {record['n_watched']:,} of {record['n_own_or_quoted']:,} RFQs whose quotes you see",
    )


def _as_desk(connection: duckdb.DuckDBPyConnection, maturity: str) -> Iterator[Line]:
    fills = _rows(connection, _FILLS)
    for each in fills:
        yield from _filled(each, maturity)
    if not fills:
        yield Line(f"filled within {maturity}", "-", "no own RFQ was read within 7 days of its end")
    yield _answered(connection)
    capture = _shown(connection, "own")
    yield from _spreads(connection, "own", capture)
    yield from _responses(connection, "own", capture, "response")


def _filled(fills: Row, maturity: str) -> Iterator[Line]:
    kind, n = _KINDS[fills["is_combo"]], fills["n"]
    young = f"{fills['n_young']:,} younger than {maturity} left out"
    if not n:
        yield Line(f"filled within {maturity}, {kind}", "-", f"none is {maturity} old; {young}")
        return
    yield Line(
        f"filled within {maturity}, {kind}",
        f"{fills['share']:.1%}",
        f"{fills['n_within']:,} of {n:,} at least {maturity} old, {_interval(fills)}; {young}",
    )
    executed, later = fills["n_executed"], fills["n_executed"] - fills["n_within"]
    share_later = f" ({later / executed:.1%})" if executed else ""
    yield Line(
        f"filled by now, {kind}",
        f"{executed / n:.1%}",
        f"{executed:,} of the same {n:,}, {fills['n_censored']:,} of them not seen to end;"
        f" filled after {maturity}: {later:,} of {executed:,}{share_later}",
    )


def _answered(connection: duckdb.DuckDBPyConnection) -> Line:
    """The share answered within 5 s, beside what it rests on."""
    (row,) = _rows(connection, _ANSWERED)
    capture, share, n, weighted, *watched = row.values()
    if capture is None:
        # The exchange keeps executions for good, and RFQs for a week.
        return Line("answered within 5 s", "-", "no own RFQ was read")
    lives = zip(("5-20 s", "20-60 s", "60-600 s", "longer"), watched, strict=True)
    seen = ", ".join(f"{life} {_figure(of, '.0%')}" for life, of in lives)
    rests_on = f"{n:,} own RFQs, {capture}; weighted to all lifetimes {_figure(weighted, '.1%')}"
    return Line("answered within 5 s", _figure(share, ".1%"), f"{rests_on}; watched: {seen}")


def _as_maker(connection: duckdb.DuckDBPyConnection, unread: str | None) -> Iterator[Line]:
    """What a maker asks; *unread* says why RFQs of others are not all there to be counted."""
    capture = _shown(connection, "quoted")
    if unread is None:
        for row in _rows(connection, _QUOTED, capture=capture):
            rests_on = f"{row['n_quoted']:,} of {row['n']:,} of others, {capture}, {_interval(row)}"
            share = _figure(row["share"], ".1%")
            yield Line(f"quoted of seen, {_KINDS[row['is_combo']]}", share, rests_on)
    else:
        yield Line("quoted of seen", "-", unread)
    (at_all,) = _rows(connection, _WON_AT_ALL)
    rests_on = f"of {at_all['n_decided']:,} that you quoted and that are over, watched live or not"
    yield Line("won", f"{at_all['n_won']:,}", rests_on)
    won = _rows(connection, _WON, capture=capture)
    for row in won:
        rests_on = f"won {row['n_won']:,} of {row['n']:,} decided, {capture}, {_interval(row)}"
        yield Line(f"hit ratio, {_KINDS[row['is_combo']]}", f"{row['share']:.1%}", rests_on)
    if not won:
        yield Line("hit ratio", "-", f"none that you quoted is known to be over, {capture}")
    yield from _accepts(connection)
    yield from _responses(connection, "quoted", capture, "own latency")
    yield from _spreads(connection, "quoted", capture)


def _accepts(connection: duckdb.DuckDBPyConnection) -> Iterator[Line]:
    (row,) = _rows(connection, _ACCEPTS)
    yield Line(
        "accepts",
        f"{row['n_accepts']:,}",
        f"{row['n_executions']:,} executed, {row['n_pending']:,} still in the confirm window",
    )
    decided = f"{row['n_lapsed']:,} of {row['n']:,} accepts whose window is over"
    interval = f", {_interval(row)}" if row["n"] else ""
    yield Line("lapsed", _figure(row["share"], ".1%"), decided + interval)


def _spreads(connection: duckdb.DuckDBPyConnection, whose: str, capture: str) -> Iterator[Line]:
    for row in _rows(connection, _SPREADS, whose=whose, capture=capture):
        yield Line(
            f"quote spread, {_KINDS[row['is_combo']]}, median",
            _figure(row["p50"], ".4f", "$"),
            f"{row['n']:,} two-sided of {row['n_quotes']:,} last quotes, {capture}",
        )


def _responses(
    connection: duckdb.DuckDBPyConnection, whose: str, capture: str, name: str
) -> Iterator[Line]:
    for row in _rows(connection, _RESPONSES, whose=whose, capture=capture):
        p90 = _figure(row["p90"] if row["n"] >= MIN_N_FOR_P90 else None, ".3f", after=" s")
        yield Line(
            f"{name}, {_KINDS[row['is_combo']]}, median",
            _figure(row["p50"], ".3f", after=" s"),
            f"{row['n']:,} first quotes, {capture}; p90 (from {MIN_N_FOR_P90}) {p90}",
        )


def _of_market(connection: duckdb.DuckDBPyConnection, held: Row, record: Row) -> Iterator[Line]:
    (arrived,) = _rows(connection, _ARRIVALS)
    hours = f"{arrived['n_rfq']:,} RFQs in {arrived['minutes'] / 60:,.1f} observed hours"
    yield Line("RFQs a day", _figure(arrived["per_day"], ",.1f"), hours)
    yield from _legs(connection, held["n_rfq"])
    sizes = _rows(connection, _SIZES)
    shown = [f"{row['size_bucket']}: {row['n']:,}" for row in sizes[:_MOST_SIZES]]
    rest = sum(row["n"] for row in sizes[_MOST_SIZES:])
    yield Line(
        "sizes", f"{len(sizes):,}", ", ".join([*shown, *([f"other: {rest:,}"] * bool(rest))])
    )
    missed, listed = record["n_missed"], record["n_listed"]
    yield Line(
        "open RFQs missed",
        _figure(missed / listed if listed else None, ".1%"),
        f"{missed:,} of {listed:,} that earlier runs should have read"
        if listed
        else "not compared yet: the list of open RFQs is once a day, from the second on",
    )


def _legs(connection: duckdb.DuckDBPyConnection, n_rfq: int) -> Iterator[Line]:
    by_legs = {row["n_legs"]: row["n"] for row in _rows(connection, _LEGS)}
    combos = {legs: n for legs, n in by_legs.items() if legs != 1}
    n_combos = sum(combos.values())
    share = _figure(n_combos / n_rfq if n_rfq else None, ".1%")
    yield Line("combos", share, f"{n_combos:,} of {n_rfq:,} RFQs")
    names = (f"{legs or 'not shown'}: {n:,}" for legs, n in combos.items())
    n_shown = n_combos - combos.get(0, 0)
    legs_shown = sum(legs * n for legs, n in combos.items())
    mean = _figure(legs_shown / n_shown if n_shown else None, ".1f")
    yield Line("legs of a combo, mean", mean, ", ".join(names))


def _shown(connection: duckdb.DuckDBPyConnection, whose: str) -> str:
    ((capture,),) = connection.execute(_SHOWN, {"whose": whose}).fetchall()
    return str(capture)


def _rows(connection: duckdb.DuckDBPyConnection, query: str, **asked: str) -> list[Row]:
    found = connection.execute(query, asked)
    names = [name for name, *_ in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _interval(row: Row) -> str:
    return f"95 % interval {row['low']:.1%} to {row['high']:.1%}"


def _figure(value: float | None, form: str, before: str = "", after: str = "") -> str:
    return "-" if value is None else f"{before}{value:{form}}{after}"
