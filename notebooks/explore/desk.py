"""The charts of who asks, beside those of the report: fills, cost, speed, makers."""

from collections.abc import Iterator
from functools import partial

from notebooks.explore.address import Sort
from notebooks.explore.forms import steps
from notebooks.explore.view import View
from notebooks.report.chart import MOST_ROWS, Wanted
from notebooks.report.charts import INTERVAL, KIND, LEGS, ranked
from notebooks.report.drawing import bars, quartiles, rates
from notebooks.report.window import Unit

_FILLED = (
    "count(*) as n, count(*) filter (is_filled) as n_filled, n_filled / n as fill_rate,"
    f" {INTERVAL.format(hits='n_filled', n='n')} from asked"
    " where is_now and visibility = 'own' and is_matured and"
)
_SORTS = {
    Sort.WON: "n_won desc",
    Sort.HIT_RATIO: "hit_ratio desc nulls last",
    Sort.QUOTED: "n_quoted desc",
    Sort.ANSWER: "answer_p50_s nulls last",
    Sort.SPREAD: "spread_p50_cents nulls last",
    Sort.LAPSES: "n_lapsed desc nulls last",
}


def fills(view: View) -> Iterator[Wanted]:
    """How many fill, when, and where the others ended."""
    yield view.of_report("fills_by_day", hatched=view.gaps)
    yield view.of_report("fill_curves")
    yield view.of_report("died_where_requester")
    note = f"Own RFQs of the window at least {view.scope.maturity_s:g} s old{view.scope.of_maker}."
    for name, by, order, is_lying in (
        ("size", "size_bucket", "size like '%cost', marts.bucket_start(size)", True),
        ("legs", LEGS, "marts.bucket_start(legs) nulls last", False),
        ("series", "left(series_ticker, 60)", f"n desc, series limit {MOST_ROWS}", True),
    ):
        yield Wanted(
            f"fills_by_{name}",
            f"Filled by {name}",
            note,
            "By size, legs and series",
            f"select {by} as {name}, {_FILLED} {view.scope.timely} group by {name}"
            f" order by {order}",
            partial(rates, by=name, rate="fill_rate", is_lying=is_lying),
        )
    yield Wanted(
        "maturity",
        "Who is counted: how old the RFQs are",
        "A fill rate is of RFQs old enough to have filled within the time, and not of a backfill,"
        f" which holds what was executed and little else{view.scope.of_maker}.",
        "Maturity",
        f"select day, count(*) as n, count(*) filter (is_matured and {view.scope.timely})"
        " as n_counted, count(*) filter (not is_matured) as n_too_young,"
        " count(*) filter (is_matured and capture = 'backfill') as n_backfill from asked"
        " where visibility = 'own' group by day order by day",
        partial(bars, by="day", n="n", beside="n_counted"),
        n="",
    )


def cost(view: View) -> Iterator[Wanted]:
    """What quotes cost, and how near the next one was."""
    yield view.of_report("spread_by_size")
    yield view.of_report("spread_by_legs")
    of = "log_odds" if view.address.unit is Unit.LOGODDS else "cents"
    spread = "logit_spread" if view.address.unit is Unit.LOGODDS else "100 * quote_spread"
    captured = view.scope.captures["requester"]
    watched = f"is_now and visibility = 'own' and capture = '{captured}'"
    quotes = f"{watched} and is_effective and is_valid_response"
    unit = view.address.unit.of_differences
    yield Wanted(
        "spread_by_price",
        "Quote spread by probability",
        f"Median and middle half of makers' last quotes, {captured}, by the middle of bid and"
        f" offer, in {unit}.",
        "Spread and cover",
        "select printf('%d-%d %%', percent, percent + 10) as price, kind, count(*) as n,"
        f" {_quartiles('spread', of)} from (select {KIND} as kind, ({spread})::double as spread,"
        " least(90, 10 * floor(5 * (yes_bid_dollars + yes_ask_dollars))::bigint) as percent"
        f" from quoted where {quotes} and quote_spread is not null)"
        " group by percent, kind order by percent, kind",
        partial(quartiles, by="price", of=of, unit=unit),
    )
    yield view.of_report("cover_by_size")
    yield view.of_report("cover_by_legs")
    yield Wanted(
        "improvement_by_size",
        "Price improvement on the middle, by size",
        f"Executed own RFQs of the window, {captured}, in cents a contract: the middle of the best"
        " bid and offer at the accept less the price paid. Above 0 the price was better than the"
        " middle, below 0 it was paid beyond it, which is the usual thing.",
        "Spread and cover",
        f"select size_bucket as size, {KIND} as kind, count(effective_spread) as n,"
        f" {_quartiles('(-50 * effective_spread)::double', 'cents')}"
        f" from asked where {watched} and state = 'executed'"
        " group by size, kind having n > 0"
        " order by size like '%cost', marts.bucket_start(size), kind",
        partial(quartiles, by="size", of="cents"),
    )
    yield Wanted(
        "spread_by_makers",
        "Best bid to best offer, by number of makers",
        f"Own RFQs of the window, {captured}, by how many makers' quotes stood when one was"
        " accepted or, without an accept, at the end. With more makers the best of them is nearer;"
        " but makers also come to RFQs that are easy to price, so this is no effect of asking more"
        " of them.",
        "Spread and cover",
        f"select n_live_makers::varchar as makers, {KIND} as kind, count(*) as n,"
        f" {_quartiles('(100 * composite_spread)::double', 'cents')} from asked where {watched}"
        " and composite_spread is not null group by n_live_makers, kind"
        " order by n_live_makers, kind",
        partial(quartiles, by="makers", of="cents"),
    )
    yield view.of_report("dearest_fills")


def _quartiles(what: str, of: str) -> str:
    shares = (("p25", 0.25), ("p50", 0.5), ("p75", 0.75))
    return ", ".join(f"quantile_cont({what}, {share}) as {name}_{of}" for name, share in shares)


def speed(view: View) -> Iterator[Wanted]:
    """How soon makers answer own RFQs, how long they hold an accept, and what lapses."""
    capture = view.scope.captures["requester"]
    answers = f"is_now and visibility = 'own' and capture = '{capture}' and is_valid_response"
    note = f"Makers' first quotes on own RFQs, {capture}."
    yield ecdf("answers_by_time", "Answered by then", answers, note)
    yield view.of_report("latencies")
    yield view.of_report("latency_fill_rate")
    yield from holding(view, "own", "")


def ecdf(name: str, title: str, quotes: str, note: str) -> Wanted:
    """The share of first quotes that were there by a time, 12 points a decade."""
    return Wanted(
        name,
        title,
        f"{note} The share that was there so many seconds after the RFQ; a point is exact.",
        "Latency",
        f"select kind, pow(10, bin / 12) as time_s, sum(count(*)) over so_far::bigint as n_so_far,"
        " n_so_far / sum(count(*)) over (partition by kind) as share from ("
        f"select {KIND} as kind, ceil(12 * log10(greatest(0.1, response_latency_s))) as bin"
        f" from quoted where {quotes} and version = 1 and response_latency_s is not null)"
        " group by kind, bin window so_far as (partition by kind order by bin)"
        " order by kind, bin",
        partial(steps, by="kind", x="time_s", y="share"),
        n="",
    )


def holding(view: View, visibility: str, prefix: str) -> Iterator[Wanted]:
    """How long an accept is held before it is confirmed, and which lapse."""
    mine = "" if visibility == "own" else " and is_made_by_viewer"
    accepts = f"is_now and visibility = '{visibility}'{mine} and accepted_ts is not null"
    yield Wanted(
        f"{prefix}hold_time",
        "Confirmed by then, after the accept",
        "Accepted quotes of the window that were confirmed: the share within so many seconds. Not"
        " of RFQs that are gone, whose legs nobody knows.",
        "Hold time and lapses",
        "select kind, pow(10, bin / 12) as time_s, sum(count(*)) over so_far::bigint as n_so_far,"
        " n_so_far / sum(count(*)) over (partition by kind) as share from ("
        f"select {KIND} as kind, ceil(12 * log10(greatest(0.1, confirm_latency_s))) as bin"
        f" from quoted where {accepts} and confirm_latency_s is not null"
        " and n_legs is not null)"
        " group by kind, bin window so_far as (partition by kind order by bin)"
        " order by kind, bin",
        partial(steps, by="kind", x="time_s", y="share"),
        n="",
    )
    by = "nullif(maker_id, 'unknown') as id" if visibility == "own" else f"{LEGS} as legs"
    key = "id" if visibility == "own" else "legs"
    yield Wanted(
        f"{prefix}lapses",
        "Accepts that lapsed" + (", by maker" if visibility == "own" else ", by legs"),
        "Of accepts whose window to confirm is over.",
        "Hold time and lapses",
        f"select {by}, count(*) as n, count(*) filter (is_lapsed) as n_lapsed,"
        f" n_lapsed / n as lapse_rate, {INTERVAL.format(hits='n_lapsed', n='n')}"
        f" from quoted where {accepts} and is_accept_matured group by {key}"
        f" {ranked(f'n_lapsed desc, n desc, {key}', key)}",
        partial(rates, by="who" if key == "id" else key, rate="lapse_rate", is_lying=True),
    )


def makers(view: View) -> Iterator[Wanted]:
    """The league of makers, and on how few of them one depends."""
    capture = view.scope.captures["requester"]
    yield Wanted(
        "makers",
        f"Makers, sorted by {view.address.sort.replace('_', ' ')}",
        f"Own RFQs of the window, {capture}; accepts and lapses are of all captures, and of RFQs"
        " that are gone. The dot is what each won of what it quoted and is over; hidden ids stand"
        " in one row at the end, unranked.",
        "The league",
        "with answers as (select coalesce(maker_id, 'unknown') as maker, count(distinct rfq_id)"
        " filter (is_valid_response) as n_quoted, count(distinct rfq_id) filter (is_over) as n,"
        " count(distinct rfq_id) filter (is_over and is_won) as n_won,"
        " median(response_latency_s) filter (version = 1 and is_valid_response) as answer_p50_s,"
        " median((100 * quote_spread)::double) filter (is_effective) as spread_p50_cents"
        " from (select quoted.*, asked.is_decided and is_valid_response as is_over,"
        " quoted.outcome = 'done' and is_reference_accept as is_won"
        " from quoted join asked using (rfq_id)"
        f" where quoted.is_now and quoted.visibility = 'own' and quoted.capture = '{capture}'"
        " and not is_self_quote) group by maker having n_quoted > 0),\n"
        "accepts as (select coalesce(maker_id, 'unknown') as maker, count(*) as n_accepts,"
        " count(*) filter (is_lapsed) as n_lapsed from quoted where is_now and visibility = 'own'"
        " and is_accept_matured and not is_self_quote group by maker)\n"
        "select nullif(maker, 'unknown') as id, coalesce(n_quoted, 0) as n_quoted,"
        " coalesce(n, 0) as n, coalesce(n_won, 0) as n_won, n_won / nullif(n, 0) as hit_ratio,"
        f" {INTERVAL.format(hits='n_won', n='n')}, answer_p50_s, spread_p50_cents,"
        " coalesce(n_accepts, 0) as n_accepts, coalesce(n_lapsed, 0) as n_lapsed"
        " from answers full join accepts using (maker)"
        f" {ranked(f'{_SORTS[view.address.sort]}, n desc, id', most=50)}",
        partial(rates, by="who", rate="hit_ratio", is_lying=True),
    )
    # With a maker chosen, only its own quotes are counted, and it would be all there is.
    if view.has("concentration"):
        yield view.of_report("concentration")
        yield _concentration_bounds(capture)
    yield from list(holding(view, "own", ""))[1:]
    yield view.of_report("lost_quotes")


def _concentration_bounds(capture: str) -> Wanted:
    quoted = (
        "select 'RFQs quoted' as measure, nullif(maker_id, 'unknown') as id,"
        " count(distinct rfq_id)::double as amount, count(distinct rfq_id) as n_parts from quoted"
        f" where is_now and visibility = 'own' and capture = '{capture}' and is_valid_response"
        " and not is_self_quote group by id"
    )
    executed = (
        "select 'contracts executed' as measure, nullif(maker_id, 'unknown') as id,"
        " sum(executed_contracts)::double as amount, count(*) as n_parts from quoted where is_now"
        " and visibility = 'own' and executed_ts is not null and is_reference_accept"
        " and not is_self_quote group by id having amount > 0"
    )
    hidden = "coalesce(sum(amount) filter (id is null), 0)"
    parts = "coalesce(sum(n_parts) filter (id is null), 0)"
    known = "coalesce(sum(amount * amount) filter (id is not null), 0)"
    busiest = "coalesce(max(amount) filter (id is not null), 0)"
    total = "pow(sum(amount), 2)"
    return Wanted(
        "concentration_bounds",
        "Concentration, and what hidden ids leave open",
        "The sum of squared shares: 1 for one maker, 1 / k for k equal ones; RFQs quoted are"
        f" {capture}. Low: every hidden quote is somebody else's. High: all of them are the busiest"
        " maker's. The dot takes them for one more maker. An RFQ that hidden ids quoted counts"
        " once.",
        "Concentration",
        f"select measure, count(id) as n_makers, sum(n_parts)::bigint as n,"
        f" {hidden} / sum(amount) as hidden_share,"
        f" ({known} + {hidden} * {hidden}) / {total} as hhi,"
        f" ({known} + {hidden} * {hidden} / greatest(1, {parts})) / {total} as low,"
        f" ({known} + 2 * {busiest} * {hidden} + {hidden} * {hidden}) / {total} as high"
        f" from ({quoted} union all {executed}) group by measure order by measure desc",
        partial(rates, by="measure", rate="hhi", is_lying=True),
    )
