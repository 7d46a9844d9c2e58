"""The charts of a page: what there is to draw for whom, and the rows of each by SQL."""

from collections.abc import Iterator, Mapping
from functools import partial
from importlib.resources import files

import duckdb

from notebooks.report.chart import MOST_ROWS, Chart, Wanted, made
from notebooks.report.drawing import bars, calendar, curves, quartiles, rates
from notebooks.report.scope import Scope
from notebooks.report.window import Unit, cut

LEGS = """
case when n_legs <= 5 then n_legs::varchar when n_legs <= 10 then '6-10'
    when n_legs > 10 then '11 or more' else 'not shown' end
"""
KIND = "case when n_legs <> 1 then 'combos' else 'singles' end"
_OF_EQUAL_SIZE = (
    "1 / the sum of squared shares is how many {} of equal size that would be: the least if all"
    " hidden ones are the busiest, the most if each is somebody else."
)
INTERVAL = "marts.wilson_low({hits}, {n}) as low, marts.wilson_high({hits}, {n}) as high"


def charts(
    connection: duckdb.DuckDBPyConnection,
    scope: Scope,
    unit: Unit,
    names: Mapping[str, str] | None = None,
) -> Iterator[Chart]:
    """Those of the roles that are shown, in the order of the page."""
    return (made(connection, each, names) for each in wanted_charts(scope, unit))


def wanted_charts(scope: Scope, unit: Unit) -> Iterator[Wanted]:
    """What there is to draw for the roles that are shown."""
    if "requester" in scope.shown:
        yield from _of_requester(scope, unit)
    if "maker" in scope.shown:
        yield from _of_maker(scope, unit)
    if not scope.shown:
        yield arrivals(scope)
    yield _coverage(scope)


# For who asks


def _of_requester(scope: Scope, unit: Unit) -> Iterator[Wanted]:
    yield Wanted(
        "fills_by_day",
        f"Filled within {scope.maturity_s:g} s, by day",
        f"Own RFQs at least {scope.maturity_s:g} s old{scope.of_maker}, with 95 % intervals; days"
        f" in {scope.window.zone.named}.",
        "Day by day",
        f"select day, {KIND} as kind, count(*) as n, count(*) filter (is_filled) as n_filled,"
        f" n_filled / n as fill_rate, {INTERVAL.format(hits='n_filled', n='n')} from asked"
        f" where visibility = 'own' and is_matured and {scope.timely}"
        " group by day, kind order by day, kind",
        lambda rows: rates(rows, "day", "fill_rate", "kind", days=list(scope.window.days)),
    )
    captured = scope.captures["requester"]
    watched = f"is_now and visibility = 'own' and capture = '{captured}'"
    yield _died(scope, "requester")
    yield from _lost(scope)
    yield Wanted(
        "latency_fill_rate",
        "Filled, by how soon the first quote came",
        f"Own RFQs of the window, {captured}; sooner answers come to easier RFQs too.",
        "Latency",
        "select marts.latency_bucket(time_to_first_quote_s) as first_quote, count(*) as n,"
        " count(*) filter (is_filled) as n_filled, n_filled / n as fill_rate,"
        f" {INTERVAL.format(hits='n_filled', n='n')} from asked"
        f" where {watched} and is_matured"
        " group by first_quote order by marts.bucket_start(first_quote) nulls last",
        lambda rows: rates(rows, "first_quote", "fill_rate"),
    )
    yield _latencies(
        f"{watched} and is_valid_response", f"Answers of makers to own RFQs, {captured}."
    )
    quotes = f"{watched} and is_effective and is_valid_response"
    yield from _spreads(quotes, unit, f"makers' last quotes on own RFQs, {captured}", "")
    compared = f"{watched} and state = 'executed'"
    yield from _covers(compared, captured)
    yield _dearest(compared, captured)
    yield _makers(scope)
    if scope.chosen.maker is None:
        yield _executed_shares()
    yield _curves(scope)
    filled = (
        "count(*) as n, count(*) filter (is_filled) as n_filled, n_filled / n as fill_rate,"
        f" {INTERVAL.format(hits='n_filled', n='n')},"
        " median(edge_dollars::double) filter (state = 'executed') * 100 as edge_p50_cents"
        f" from asked where is_now and visibility = 'own' and is_matured and {scope.timely}"
    )
    title = f"Filled within {scope.maturity_s:g} s"
    yield from _tags(scope, "", title, "fill_rate", filled, scope.of_maker)


def _lost(scope: Scope) -> Iterator[Wanted]:
    capture = scope.captures["requester"]
    lost = (
        "from marts.lost_quotes as lost join asked using (rfq_id)"
        f" where asked.is_now and lost.is_effective {scope.chosen.of_maker('lost')}"
        f" and lost.capture = '{capture}'"
    )
    yield Wanted(
        "lost_quotes",
        "Why the other quotes lost",
        f"Each maker's last quote on executed own RFQs of the window, {capture}; the first reason"
        " that holds.",
        "What the other quotes lost by",
        "select reason, count(*) as n, count(lost_by_cents) as n_priced,"
        f" median(lost_by_cents)::double as lost_by_p50_cents {lost}"
        " group by reason order by n desc, reason",
        lambda rows: bars(rows, "reason", "n", "lost_by_p50_cents", "¢"),
        n="",
    )
    steps = ((0, 0.5), (0.5, 1), (1, 2), (2, 5), (5, 10))
    cases = " ".join(
        f"when lost_by_cents <= {high} then '{low:g}-{high:g}¢'" for low, high in steps
    )
    yield Wanted(
        "lost_by_cents",
        "By how many cents they lost on price",
        f"Bids below the winner's, {capture}, in cents a contract; upper edge included.",
        "What the other quotes lost by",
        f"select case {cases} else 'over 10¢' end as lost_by, count(*) as n,"
        f" median(lost_by_cents)::double as lost_by_p50_cents {lost}"
        " and reason = 'worse_price' group by lost_by order by min(lost_by_cents)",
        lambda rows: bars(rows, "lost_by", "n"),
        n="",
    )


def _covers(executed: str, captured: str) -> Iterator[Wanted]:
    for name, by, order in _cuts():
        yield Wanted(
            f"cover_by_{name}",
            f"How far ahead of the next bid, by {name}",
            f"Executed own RFQs of the window, {captured}, that another maker bid for, in cents a"
            " contract; below 0 a better bid was passed over.",
            "Spread and cover",
            f"select {by} as {name}, {KIND} as kind, count(*) as n_executed,"
            " count(cover_distance) as n,"
            " (100 * quantile_cont(cover_distance, 0.25))::double as p25_cents,"
            " (100 * quantile_cont(cover_distance, 0.5))::double as p50_cents,"
            " (100 * quantile_cont(cover_distance, 0.75))::double as p75_cents,"
            " sum(cover_savings_dollars)::double as cover_savings_dollars"
            f" from asked where {executed}"
            f" group by {name}, kind having n > 0 order by {order}, kind",
            partial(quartiles, by=name, of="cents"),
        )


def _dearest(executed: str, captured: str) -> Wanted:
    """Legs as one reads them: yes TICKER + no TICKER."""
    return Wanted(
        "dearest_fills",
        "What cost most against the middle",
        f"Executed own RFQs of the window, {captured}: dollars paid beyond the middle of the best"
        " bid and offer, and twice that in cents a contract. The legs stand in the rows behind it.",
        "Spread and cover",
        "select left(rfq_id, 8) as rfq,"
        " left(coalesce(string_agg(leg.side || ' ' || leg.market_ticker, ' + '"
        " order by leg.position), case any_value(requester_side) when 'buy_no' then 'no '"
        " else 'yes ' end || any_value(asked.market_ticker)), 200) as legs,"
        " any_value(requester_side) as requester_side,"
        " any_value(executed_contracts)::double as contracts,"
        " any_value(requester_price_dollars)::double as price_dollars,"
        " any_value(100 * effective_spread)::double as effective_spread_cents,"
        " any_value(effective_spread / 2 * executed_contracts)::double as cost_dollars"
        " from asked left join staging.rfq_legs as leg using (rfq_id)"
        f" where {executed} and effective_spread > 0"
        " group by rfq_id order by cost_dollars desc, rfq_id limit 8",
        lambda rows: bars(rows, "rfq", "cost_dollars", "effective_spread_cents", "¢"),
        n="",
    )


def _cuts() -> Iterator[tuple[str, str, str]]:
    yield "size", "size_bucket", "size like '%cost', marts.bucket_start(size)"
    yield "legs", LEGS, "marts.bucket_start(legs) nulls last"


def _spreads(quotes: str, unit: Unit, whose: str, prefix: str) -> Iterator[Wanted]:
    spread = "logit_spread" if unit is Unit.LOGODDS else "100 * quote_spread"
    of = "log_odds" if unit is Unit.LOGODDS else "cents"
    for name, by, order in _cuts():
        yield Wanted(
            f"{prefix}spread_by_{name}",
            f"Quote spread by {name}",
            f"Median and middle half of {whose}, two-sided ones, in {unit.of_differences}.",
            "Spread and cover",
            f"select {by} as {name}, {KIND} as kind, count(quote_spread) as n,"
            f" count(*) as n_quotes, quantile_cont(({spread})::double, 0.25) as p25_{of},"
            f" quantile_cont(({spread})::double, 0.5) as p50_{of},"
            f" quantile_cont(({spread})::double, 0.75) as p75_{of}"
            f" from quoted where {quotes} group by {name}, kind having n > 0"
            f" order by {order}, kind",
            partial(quartiles, by=name, of=of, unit=unit.of_differences),
        )


def _makers(scope: Scope) -> Wanted:
    """Own RFQs alone: nobody sees who else quoted an RFQ of somebody else."""
    capture = scope.captures["requester"]
    return Wanted(
        "makers",
        "Makers: how often each wins what it quoted",
        f"Own RFQs of the window, {capture}, that are over; the {MOST_ROWS} that won most, hidden"
        " ones in one row at the end.",
        "Makers",
        "select nullif(maker_id, 'unknown') as id, count(distinct rfq_id) as n_quoted,"
        " count(distinct rfq_id) filter (is_over) as n,"
        " count(distinct rfq_id) filter (is_over and is_won) as n_won,"
        f" n_won / nullif(n, 0) as hit_ratio, {INTERVAL.format(hits='n_won', n='n')},"
        " median(response_latency_s) filter (version = 1) as answer_p50_s,"
        " median((100 * quote_spread)::double) filter (is_effective) as spread_p50_cents"
        " from (select quoted.*, asked.is_decided as is_over,"
        " quoted.outcome = 'done' and is_reference_accept as is_won"
        " from quoted join asked using (rfq_id)"
        f" where quoted.is_now and quoted.visibility = 'own' and quoted.capture = '{capture}'"
        " and is_valid_response and not is_self_quote)"
        f" group by id {ranked('n_won desc, n desc, id')}",
        lambda rows: rates(rows, "who", "hit_ratio", is_lying=True),
    )


def _executed_shares() -> Wanted:
    """Makers, also of executed quotes whose RFQ is gone. The shares of all, of which some show."""
    return Wanted(
        "concentration",
        "On whom you depend: contracts executed, by maker",
        f"Quotes on own RFQs of the window. {_OF_EQUAL_SIZE.format('makers')}",
        "Makers",
        _shares_of(
            "nullif(maker_id, 'unknown')",
            "makers",
            "quoted where is_now and visibility = 'own' and not is_self_quote",
        ),
        lambda rows: bars(rows, "who", "contracts", "share", "%"),
        n="",
    )


def _shares_of(id_: str, whose: str, executed: str) -> str:
    """SQL of the contracts that each id has executed of all, the largest first."""
    hidden = "coalesce(sum(contracts) filter (id is null) over (), 0)"
    parts = "coalesce(sum(n) filter (id is null) over (), 0)"
    known = "coalesce(sum(contracts * contracts) filter (id is not null) over (), 0)"
    busiest = "coalesce(max(contracts) filter (id is not null) over (), 0)"
    return (
        f"select {id_} as id, count(*) as n, sum(executed_contracts)::double as contracts,"
        " contracts / sum(contracts) over () as share,"
        f" pow(sum(contracts) over (), 2) / ({known} + 2 * {busiest} * {hidden}"
        f" + {hidden} * {hidden}) as equal_{whose}_least,"
        f" pow(sum(contracts) over (), 2) / ({known} + {hidden} * {hidden} / greatest(1, {parts}))"
        f" as equal_{whose}_most from {executed}"
        " and executed_ts is not null and is_reference_accept"
        " group by id having contracts > 0"
        f" {ranked('contracts desc, id')}"
    )


def ranked(by: str, key: str = "id", most: int = MOST_ROWS) -> str:
    """SQL of the order of groups: the first of those whose *key* is known, and what has none."""
    order = f"{key} is null, {by}"
    return (
        f"qualify {key} is null or row_number() over (order by {order}) <= {most} order by {order}"
    )


def _latencies(answers: str, whose: str) -> Wanted:
    return Wanted(
        "latencies",
        "How soon the first quotes came",
        f"{whose} First versions, and by when how many of them were there.",
        "Latency",
        "select marts.latency_bucket(response_latency_s) as latency, count(*) as n,"
        " n / sum(n) over () as share,"
        " sum(n) over (order by marts.bucket_start(latency) nulls last) / sum(n) over ()"
        f" as so_far_share from quoted where {answers} and version = 1"
        " group by latency order by marts.bucket_start(latency) nulls last",
        lambda rows: bars(rows, "latency", "n", "so_far_share", "%"),
        n="",
    )


def _curves(scope: Scope) -> Wanted:
    """Aalen and Johansen: filling and closing compete, and what is open is censored."""
    as_of = f"timestamptz '{scope.as_of:%Y-%m-%d %H:%M:%S.%f}+00'"
    return Wanted(
        "fill_curves",
        "Filled by then, while closing competes",
        f"Own RFQs of the window{scope.of_maker}; the band is 95 %, and where fewer than 10 wait"
        " there is no curve. Beneath: how many still waited.",
        "Curves",
        (files("notebooks.report") / "curves.sql")
        .read_text()
        .format(as_of=as_of, timely=scope.timely),
        curves,
        n="n_start",
    )


def _tags(
    scope: Scope, prefix: str, title: str, rate: str, query: str, which: str
) -> Iterator[Wanted]:
    """A chart for each column of the reader's own file.

    A file by quote tags a maker's own quotes. It does not tag a requester's RFQs: only filled ones
    would have a tag, and every rate would be 100 %.
    """
    if scope.own is None or (scope.own.key == "quote_id" and not prefix):
        return
    for n, tag in enumerate(scope.own.tags):
        yield Wanted(
            f"{prefix}with_{n + 1}",
            f"{title}, by your column “{cut(tag)}”",
            f"RFQs of the window{which}, joined by {scope.own.key}; the {MOST_ROWS} commonest"
            " values.",
            "By your own columns",
            f"select coalesce(left(tag_{n}::varchar, 60), 'no value') as value, {query}"
            f" group by value order by n desc, value limit {MOST_ROWS}",
            lambda rows: rates(rows, "value", rate, is_lying=True),
        )


# For who quotes


def _of_maker(scope: Scope, unit: Unit) -> Iterator[Wanted]:
    capture = scope.captures["maker"]
    seen = f"is_quoted and is_decided and capture = '{capture}'"
    hits = (
        "count(*) as n, count(*) filter (is_won) as n_won, n_won / n as hit_ratio,"
        f" {INTERVAL.format(hits='n_won', n='n')} from seen"
    )
    note = f"RFQs of others that you quoted and that are over, {capture}."
    section = "Hit ratio"
    yield Wanted(
        "hits_by_day",
        "Hit ratio by day",
        f"{note} Days in {scope.window.zone.named}.",
        "Day by day",
        f"select day, {KIND} as kind, {hits} where {seen} group by day, kind order by day, kind",
        lambda rows: rates(rows, "day", "hit_ratio", "kind", days=list(scope.window.days)),
    )
    yield _died(scope, "maker")
    yield Wanted(
        "hits_by_latency",
        "Hit ratio by your own latency",
        note,
        section,
        f"select marts.latency_bucket(own_latency_s) as own_latency, {hits}"
        f" where is_now and {seen}"
        " group by own_latency order by marts.bucket_start(own_latency) nulls last",
        lambda rows: rates(rows, "own_latency", "hit_ratio"),
    )
    yield Wanted(
        "hits_by_size",
        "Hit ratio by size",
        note,
        section,
        f"select size_bucket as size, {hits} where is_now and {seen} group by size"
        " order by size like '%cost', marts.bucket_start(size)",
        lambda rows: rates(rows, "size", "hit_ratio", is_lying=True),
    )
    yield Wanted(
        "hits_by_series",
        "Hit ratio by series",
        f"{note} The {MOST_ROWS} busiest.",
        section,
        f"select left(series_ticker, 60) as series, {hits} where is_now and {seen}"
        f" group by series order by n desc, series limit {MOST_ROWS}",
        lambda rows: rates(rows, "series", "hit_ratio", is_lying=True),
    )
    answers = f"is_made_by_viewer and visibility = 'quoted' and capture = '{capture}'"
    yield _latencies(f"is_now and {answers} and is_valid_response", f"Your answers, {capture}.")
    mine = (
        "is_now and is_made_by_viewer and visibility = 'quoted' and is_valid_response"
        f" and is_effective and capture = '{capture}'"
    )
    yield from _spreads(mine, unit, f"your own last quotes, {capture}", "my_")
    yield Wanted(
        "requesters",
        "Requesters: how often you win what they ask",
        f"{note} By the id shown while it was open; those that showed none, or were first seen"
        " closed, in one row at the end.",
        "Requesters",
        "select requester_id_open as id, count(*) as n_seen,"
        " count(*) filter (is_quoted) as n_quoted,"
        f" count(*) filter ({seen}) as n, count(*) filter ({seen} and is_won) as n_won,"
        f" n_won / nullif(n, 0) as hit_ratio, {INTERVAL.format(hits='n_won', n='n')} from seen"
        " where is_now group by id"
        f" {ranked('n_quoted desc, n_seen desc, id')}",
        lambda rows: rates(rows, "who", "hit_ratio", is_lying=True),
    )
    yield Wanted(
        "requester_concentration",
        "Whom you depend on: contracts executed, by requester",
        "Your quotes of the window on RFQs of others; an execution shows who asked."
        f" {_OF_EQUAL_SIZE.format('requesters')}",
        "Requesters",
        _shares_of(
            "requester_id_last",
            "requesters",
            "(from quoted where is_now and is_made_by_viewer and visibility = 'quoted')"
            " left join (select rfq_id, requester_id_last from asked) using (rfq_id) where true",
        ),
        lambda rows: bars(rows, "who", "contracts", "share", "%"),
        n="",
    )
    own = f"{hits} where is_now and {seen}"
    yield from _tags(scope, "my_", "Hit ratio", "hit_ratio", own, f", {capture}")


# For everybody


def _died(scope: Scope, role: str) -> Wanted:
    """Of all captures, but where a maker is chosen by its quotes: see `Scope.timely`."""
    title, whose, more = "Where RFQs died", "= 'own'", ""
    if role == "maker":
        title, whose = "Where RFQs of others died, to your eyes", "<> 'own'"
        more = " Nobody tells a maker who else was executed."
    which = of_capture = ""
    if scope.chosen.maker is not None:
        which = f"{scope.quoted_by}, {scope.captures[role]}"
        of_capture = f" and capture = '{scope.captures[role]}'"
    return Wanted(
        f"died_where_{role}",
        title,
        f"Each RFQ of the window{which}, in the first bucket that holds.{more}",
        "Where RFQs died",
        "select outcome_bucket as bucket, count(*) as n, n / sum(n) over () as share"
        f" from asked where is_now and visibility {whose}{of_capture} group by bucket"
        " order by n desc, bucket",
        lambda rows: bars(rows, "bucket", "n", "share", "%"),
        n="",
    )


def arrivals(scope: Scope) -> Wanted:
    """By hour of the day."""
    return Wanted(
        "arrivals",
        "When RFQs arrived",
        f"{scope.whose} of the window, by hour in {scope.window.zone.named}.",
        "The market",
        f"select extract(hour from timezone('{scope.window.zone}', created_ts)) as hour,"
        " count(*) as n, count(*) filter (n_legs <> 1) as n_combos from asked where is_now"
        " group by hour order by hour",
        lambda rows: bars(rows, "hour", "n"),
        n="",
    )


def _coverage(scope: Scope) -> Wanted:
    """Five weeks up to the last day; the verdicts are of UTC days, as the marts have them."""
    return Wanted(
        "coverage",
        "What is on record",
        "Hours observed of each UTC day of the last five weeks, and the day's verdict.",
        "Coverage",
        "select cohort_date as day, verdict, hours_observed, hours_elapsed, n_gaps, n_rfq,"
        " n_rfq_watched, n_rfq_own_or_quoted from marts.trust"
        " where cohort_date > (select max(cohort_date) from marts.trust) - 35"
        " order by day",
        calendar,
        n="",
    )
