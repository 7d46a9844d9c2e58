"""The charts of who quotes, beside those of the report: the maker's page, and its speed."""

from collections.abc import Iterator
from functools import partial

import polars as pl

from notebooks.explore.desk import ecdf, holding
from notebooks.explore.view import View
from notebooks.report.chart import MOST_ROWS, Wanted
from notebooks.report.charts import INTERVAL
from notebooks.report.drawing import bars, rates

NO_RIVALS = (
    "A maker never sees the quotes of others: a hit ratio says how often you won, not whom you"
    " beat, and an RFQ that was lost looks like one that nobody filled."
)


def maker(view: View) -> Iterator[Wanted]:
    """What was quoted of what was seen, what of it was won, and what was let go."""
    capture = view.scope.captures["maker"]
    if view.scope.counts_market:
        yield Wanted(
            "quoted_by_series",
            "Quoted of seen, by series",
            f"RFQs of others in the window, {capture}; the {MOST_ROWS} busiest series.",
            "Quoted of seen",
            "select left(series_ticker, 60) as series, count(*) as n,"
            " count(*) filter (is_quoted) as n_quoted, n_quoted / n as quoted_share,"
            f" {INTERVAL.format(hits='n_quoted', n='n')} from seen"
            f" where is_now and capture = '{capture}' group by series"
            f" order by n desc, series limit {MOST_ROWS}",
            partial(rates, by="series", rate="quoted_share", is_lying=True),
        )
    yield view.of_report("hits_by_day", hatched=view.gaps)
    yield view.of_report("hits_by_latency")
    yield view.of_report("hits_by_size")
    yield view.of_report("hits_by_series")
    if view.scope.own is not None and view.scope.own.has_fair:
        yield _hits_by_edge(capture)
    yield from (view.of_report(f"my_with_{n}") for n in (1, 2, 3) if view.has(f"my_with_{n}"))
    yield _ends(capture)
    yield from list(holding(view, "quoted", "my_"))[1:]
    yield _lapsed(view)
    yield view.of_report("my_spread_by_size")
    yield view.of_report("my_spread_by_legs")


def _hits_by_edge(capture: str) -> Wanted:
    """Over RFQs as every hit ratio is: the edge is that of the last quote on each."""
    return Wanted(
        "hits_by_edge",
        "Hit ratio by edge to your fair value",
        f"RFQs of others that you quoted and that are over, {capture}, by what the worse of your"
        " last quote's two bids would give you by your fair value.",
        "Hit ratio",
        "select case cents when -5 then 'below -4¢' when 5 then '+5¢ and more'"
        " else printf('%+d to %+d¢', cents, cents + 1) end as edge, count(*) as n,"
        " count(*) filter (is_won) as n_won, n_won / n as hit_ratio,"
        f" {INTERVAL.format(hits='n_won', n='n')} from (select seen.is_won,"
        " greatest(-5, least(5, floor(round(100 * last.edge, 6))))::bigint as cents"
        " from seen join (select rfq_id, arg_max(edge_dollars::double, version) as edge from quoted"
        " where is_made_by_viewer and is_valid_response and edge_dollars is not null"
        " group by rfq_id) as last using (rfq_id)"
        f" where seen.is_now and seen.is_quoted and seen.is_decided and seen.capture = '{capture}')"
        " group by cents order by cents",
        partial(rates, by="edge", rate="hit_ratio", is_lying=True),
    )


def _ends(capture: str) -> Wanted:
    return Wanted(
        "my_ends",
        "How your last quotes ended",
        f"Your last quote on each RFQ of the window, {capture}; withdrawn is by you, before anybody"
        " took it.",
        "Withdrawals and lapses",
        "select coalesce(end_cause, 'still open') as ended, count(*) as n,"
        " n / sum(n) over () as share from quoted where is_now and is_made_by_viewer"
        f" and visibility = 'quoted' and capture = '{capture}' and is_effective"
        " group by ended order by n desc, ended",
        partial(bars, by="ended", n="n", beside="share", mark="%"),
        n="",
    )


def _lapsed(view: View) -> Wanted:
    """The newest 50, and of their days how many there were: the rest is on older ones."""
    zone = view.scope.window.zone
    return Wanted(
        "my_lapsed_quotes",
        "The accepts that you let lapse",
        f"The newest of the window, and how many there were on their days, in {zone.named}.",
        "Withdrawals and lapses",
        f"select cast(timezone('{zone}', accepted_ts) as date) as accepted_day,"
        " count(*) over (partition by accepted_day) as n, accepted_ts, left(rfq_id, 8) as rfq,"
        " left(market_ticker, 60) as market, n_legs, accepted_side,"
        " confirm_window_s::bigint as window_s from quoted"
        " where is_now and is_lapsed and is_made_by_viewer and visibility = 'quoted'"
        " and is_accept_matured"
        " order by accepted_ts desc, rfq_id limit 50",
        lambda rows: bars(
            rows.select(pl.col("accepted_day").dt.strftime("%-d %b"), "n").unique(
                maintain_order=True
            ),
            *("accepted_day", "n"),
        ),
        n="",
    )


def speed(view: View) -> Iterator[Wanted]:
    """How soon the account answers others, how often it then wins, and how long it holds."""
    capture = view.scope.captures["maker"]
    answers = (
        f"is_now and is_made_by_viewer and visibility = 'quoted' and capture = '{capture}'"
        " and is_valid_response"
    )
    note = f"Your first quotes, {capture}."
    yield ecdf("my_answers_by_time", "Your answers, there by then", answers, note)
    yield view.of_report("hits_by_latency")
    yield from holding(view, "quoted", "my_")
