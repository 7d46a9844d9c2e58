"""The pages, in their order: what each answers, whose it is, and its charts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from notebooks.explore import desk, maker, market, one_rfq
from notebooks.explore.one_rfq import Pick
from notebooks.explore.view import View
from notebooks.report.chart import Wanted

_ROLES = {
    "requester": "This page is of RFQs that you ask, and this account has asked none: it needs the"
    " key of one that asks (`rfq run`; `rfq doctor` says which key is used).",
    "maker": "This page is of quotes on RFQs of others, and this account has made none: it needs"
    " the key of one that quotes (`rfq run`; `rfq doctor` says which key is used).",
}


def _nothing(_: View) -> Iterator[Wanted]:
    return iter(())


@dataclass(frozen=True, slots=True)
class Page:
    """A page: `desk_charts` are of an account that asks, `maker_charts` of one that quotes."""

    name: str
    title: str
    asks: str
    role: str | None = None
    figures: tuple[str, ...] = ()
    desk_charts: Callable[[View], Iterator[Wanted]] = _nothing
    maker_charts: Callable[[View], Iterator[Wanted]] = _nothing
    all_charts: Callable[[View], Iterator[Wanted]] = _nothing
    holds: tuple[str, ...] = ()
    """The report's charts that `attention` may point at here."""
    folded: tuple[str, ...] = ()
    is_of_market: bool = False
    said: tuple[str, ...] = field(default=())

    def shows(self, metric: str) -> bool:
        """Whether the page has that figure of the report's; all of them where it names none."""
        return self.name == "today" or metric in self.figures

    def charts(self, view: View) -> Iterator[Wanted]:
        """What there is to draw for the roles that are shown."""
        if "requester" in view.scope.shown:
            yield from self.desk_charts(view)
        if "maker" in view.scope.shown:
            yield from self.maker_charts(view)
        yield from self.all_charts(view)

    def notes(self, view: View) -> Iterator[str]:
        """What has to be said before the figures."""
        yield from self.said
        roles, role = view.scope.roles, view.address.role
        if self.role and role and self.role != role:
            yield f"This page is a {self.role}'s, whatever role the address names."
        if self.role and roles and self.role not in roles:
            yield _ROLES[self.role]

    def picks(self, view: View) -> Iterator[Pick]:
        """The RFQs to choose from."""
        if self.name == "rfq":
            yield from one_rfq.picks(view)


def _today_desk(view: View) -> Iterator[Wanted]:
    for name in ("fills_by_day", "died_where_requester", "latency_fill_rate", "lost_quotes"):
        yield view.of_report(name)


def _today_maker(view: View) -> Iterator[Wanted]:
    for name in ("hits_by_day", "died_where_maker", "hits_by_latency"):
        yield view.of_report(name)


def _today_all(view: View) -> Iterator[Wanted]:
    if not view.scope.shown:
        yield view.of_report("arrivals")
    yield view.of_report("coverage")


_ALL = (
    Page(
        "today",
        "Today",
        "What needs attention, and the last complete day beside the seven before it.",
        desk_charts=_today_desk,
        maker_charts=_today_maker,
        all_charts=_today_all,
        holds=("coverage", "data"),
    ),
    Page(
        "fills",
        "Fills",
        "How many of my RFQs fill, how soon, and where did the others end?",
        role="requester",
        figures=("n_rfq_own", "fill_rate_matured", "abandonment_rate", "time_to_fill_p50_s"),
        desk_charts=desk.fills,
        holds=("fills_by_day", "died_where_requester", "fill_curves"),
        folded=("maturity",),
    ),
    Page(
        "cost",
        "Cost",
        "What do quotes cost, by size and probability, and how near was the next one?",
        role="requester",
        figures=(
            *("quote_spread_p50_dollars", "quote_spread_p50_log_odds"),
            *("cover_distance_p50_dollars", "cover_distance_p50_log_odds"),
            "requester_price_p50_dollars",
            "premium_dollars",
            "edge_p50_dollars",
        ),
        desk_charts=desk.cost,
        holds=("cover_by_size", "cover_by_legs", "spread_by_size"),
        said=(
            "Ahead of the next bid: above 0 the second best maker bid less than the one who won,"
            " below 0 a better bid was passed over. Price improvement: above 0 the price was better"
            " than the middle of the best bid and offer, below 0 it was paid beyond it.",
        ),
    ),
    Page(
        "maker",
        "Maker",
        "Of what I see, what do I quote, what of it do I win, and what do I let go?",
        role="maker",
        figures=(
            "n_rfq_seen",
            "my_quote_rate",
            "my_hit_ratio",
            *("my_quote_spread_p50_dollars", "my_quote_spread_p50_log_odds"),
            "my_withdrawn_rate",
            "my_lapse_rate",
            "n_executions",
            "my_executed_contracts",
            "my_edge_p50_dollars",
        ),
        maker_charts=maker.maker,
        holds=("hits_by_series", "hits_by_size", "hits_by_latency", "hits_by_day"),
        said=(maker.NO_RIVALS,),
    ),
    Page(
        "speed",
        "Speed",
        "How soon do quotes come, and does it pay to be sooner?",
        figures=(
            "response_rate_5s",
            "response_latency_p50_s",
            "time_to_fill_p50_s",
            "lapse_rate",
            "my_response_latency_p50_s",
            "my_lapse_rate",
        ),
        desk_charts=desk.speed,
        maker_charts=maker.speed,
        holds=("latencies", "latency_fill_rate"),
    ),
    Page(
        "makers",
        "Makers",
        "Who answers my RFQs, who wins them, and on how few makers do I depend?",
        role="requester",
        figures=("response_rate_5s", "lapse_rate", "executed_contracts"),
        desk_charts=desk.makers,
        holds=("makers", "concentration", "lost_quotes"),
    ),
    Page(
        "rfq",
        "One RFQ",
        "What happened on one RFQ, second by second?",
        all_charts=one_rfq.charts,
    ),
    Page(
        "market",
        "Market",
        "When do RFQs come, how large, of how many legs, and in which series?",
        figures=("n_rfq",),
        all_charts=market.market,
        is_of_market=True,
        holds=("arrivals",),
    ),
    Page(
        "trust",
        "Trust",
        "Which days and hours are on record, and what is wrong in it?",
        figures=("n_rfq", "share_watched"),
        all_charts=market.trust,
        is_of_market=True,
    ),
)
PAGES = {page.name: page for page in _ALL}
NAMES = tuple(PAGES)
