"""One RFQ: every maker's versions beside each other, and the best bid and offer beneath."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from notebooks.explore.address import question
from notebooks.explore.forms import lanes, prices
from notebooks.explore.view import View
from notebooks.report.chart import Wanted
from notebooks.report.scope import ask, literal

_MOST_PICKS = 25
_RFQ = "select rfq_id, created_ts, end_ts from marts.rfq_facts where rfq_id = {of}"
# Seconds since the RFQ was created, of each moment of a quote.
_SINCE = "epoch_us({moment} - rfq.created_ts) / 1e6"


@dataclass(frozen=True, slots=True)
class Pick:
    """An RFQ that can be chosen: its first cell is the link."""

    link: str
    cells: Mapping[str, Any]
    is_chosen: bool


def picks(view: View) -> Iterator[Pick]:
    """The newest RFQs of the window whose quotes can be seen."""
    rows = ask(
        view.connection,
        "select rfq_id, strftime(created_ts, '%-d %b %H:%M:%S') as created_utc,"
        " market_ticker as market, n_legs as legs, n_makers as makers, outcome_bucket as outcome"
        " from asked where is_now"
        f" and visibility <> 'foreign' order by created_ts desc, rfq_id limit {_MOST_PICKS}",
    )
    for row in rows.iter_rows(named=True):
        rfq_id = row.pop("rfq_id")
        link = question({**view.address.given, "rfq_id": rfq_id})
        yield Pick(link, {"rfq": rfq_id[:8]} | row, rfq_id == view.address.rfq_id)


def chosen(view: View) -> str | None:
    """The RFQ of the address or, without one, that of the window with most quotes."""
    if view.address.rfq_id:
        return view.address.rfq_id
    found = view.connection.execute(
        "select rfq_id from quoted where is_now and not is_orphan group by rfq_id"
        " order by count(executed_ts) > 0 desc, count(*) desc, rfq_id limit 1"
    ).fetchall()
    return str(found[0][0]) if found else None


def charts(view: View) -> Iterator[Wanted]:
    """The lanes, the prices beneath them, and the RFQ itself."""
    rfq_id = chosen(view)
    if rfq_id is None:
        return
    of, short = literal(rfq_id), f"RFQ {rfq_id[:8]}"
    yield Wanted(
        "lanes",
        f"{short}: who quoted what, and until when",
        "A bar for each version. A is the accept, C the confirm, X the execution."
        + (" A maker sees its own quotes alone." if not _is_own(view, rfq_id) else ""),
        short,
        f"with rfq as ({_RFQ.format(of=of)}),\n"
        f"until as (select max(greatest({_since('rfq.end_ts')}, {_since('quote.end_ts')},"
        f" {_since('quote.executed_ts')}, {_since('quote.created_ts')})) as until_s"
        " from marts.quote_facts as quote join rfq using (rfq_id))\n"
        "select coalesce(left(nullif(maker_id, 'unknown'), 8), 'hidden') as maker, version,"
        " (100 * yes_bid_dollars)::double as yes_bid_cents,"
        " (100 * yes_ask_dollars)::double as yes_ask_cents,"
        f" {_since('quote.created_ts')} as quoted_s,"
        f" coalesce({_since('quote.end_ts')}, until_s) as ended_s, quote.end_cause,"
        f" {_since('quote.accepted_ts')} as accepted_s,"
        f" {_since('quote.confirmed_ts')} as confirmed_s,"
        f" {_since('quote.executed_ts')} as executed_s, outcome, until_s\n"
        "from marts.quote_facts as quote join rfq using (rfq_id), until"
        " order by min(quoted_s) over (partition by maker), maker, version",
        lanes,
        n="",
    )
    yield Wanted(
        "best_prices",
        f"{short}: best bid and offer for YES",
        "Of the quotes that stood at each moment, in cents; one whose bids come to more than $1"
        " crosses itself and is left out.",
        short,
        f"with rfq as ({_RFQ.format(of=of)}),\n"
        f"stood as (select {_since('quote.created_ts')} as quoted_s,"
        f" coalesce({_since('quote.end_ts')}, 1e18) as ended_s,"
        " case when not is_self_crossed then nullif(yes_bid_dollars, 0) end as bid,"
        " case when not is_self_crossed then nullif(yes_ask_dollars, 1) end as ask,"
        f" greatest({_since('rfq.end_ts')}, {_since('quote.end_ts')},"
        f" {_since('quote.executed_ts')}, {_since('quote.created_ts')}) as last_s"
        " from marts.quote_facts as quote join rfq using (rfq_id)),\n"
        "until as (select max(last_s) as until_s from stood),\n"
        "moments as (select distinct unnest([quoted_s, least(ended_s, until_s)]) as from_s, until_s"
        " from stood, until),\n"
        "spans as (select from_s, lead(from_s, 1, until_s) over (order by from_s) as to_s, until_s"
        " from moments)\n"
        "select from_s, to_s, (100 * max(bid))::double as best_bid_cents,"
        " (100 * min(ask))::double as best_ask_cents, count(*) as n_quotes, until_s\n"
        "from spans join stood on quoted_s <= from_s and ended_s > from_s where to_s > from_s"
        " group by from_s, to_s, until_s order by from_s",
        prices,
        n="",
    )


def _since(moment: str) -> str:
    return _SINCE.format(moment=moment)


def _is_own(view: View, rfq_id: str) -> bool:
    found = view.connection.execute(
        "select 1 from marts.rfq_facts where rfq_id = $1 and visibility = 'own'", [rfq_id]
    ).fetchall()
    return bool(found)
