"""The figures of a page: each with its n and interval, of the window and of the seven days before.

A figure is an expression over the rows of one view, so that all figures of a view are one query.
Their names are those of METRICS.md.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import duckdb

from notebooks.report.scope import Scope
from notebooks.report.window import Unit, difference, price, seconds, share

MIN_N = 30
# Each way of the notch around a median is so many interquartile ranges / sqrt(n): about 95 %.
NOTCH = 1.57


class Kind(StrEnum):
    """What a figure is, and so how it is written."""

    SHARE = "share"
    PRICE = "price"
    DIFFERENCE = "difference"
    SECONDS = "seconds"
    COUNT = "count"
    CONTRACTS = "contracts"
    DOLLARS = "dollars"
    EDGE = "edge"

    @property
    def adds_up(self) -> bool:
        """Whether nothing comes to 0, and two days to their sum."""
        return self in (Kind.COUNT, Kind.CONTRACTS, Kind.DOLLARS)


# What a median of the kind can be; the notch around that of few values reaches beyond.
_BOUNDS = {Kind.SECONDS: (0.0, math.inf), Kind.PRICE: (0.0, 1.0)}


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure over the rows of *view* for which *of* holds.

    A share is the part of them for which *what* holds, a median and a sum are of the expression
    *what*, a count is of the rows.
    """

    metric: str
    title: str
    kind: Kind
    view: str
    role: str
    of: str
    what: str = "true"
    note: str = ""


def of_market(scope: Scope) -> Figure:
    """How many RFQs are held, and whose."""
    return Figure("n_rfq", "RFQs held", Kind.COUNT, "asked", "market", "true", note=scope.whose)


OF_RECORD = Figure(
    "share_watched", "Watched live", Kind.SHARE, "asked", "market", "visibility <> 'foreign'",
    "capture = 'live'", "of RFQs whose quotes you see",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Value:
    """What a figure came to, over n rows; None over none."""

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A figure of the window, of the seven days before together, and of those of them that count.

    That are the days with anything in them, and for what adds up those that were observed whole.
    """

    figure: Figure
    now: Value
    before: Value
    by_day: dict[date, Value]

    @property
    def _usual_values(self) -> list[float]:
        """What adds up is no less sure where it is small."""
        return [
            each.value
            for each in self.by_day.values()
            if each.value is not None and (self.figure.kind.adds_up or each.n >= MIN_N)
        ]

    @property
    def n_usual(self) -> int:
        """How many of the days before rest on enough."""
        return len(self._usual_values)

    @property
    def usual(self) -> tuple[float, float] | None:
        """The least and the greatest of those days; None for fewer than two."""
        values = self._usual_values
        return (min(values), max(values)) if len(values) > 1 else None

    @property
    def is_unusual(self) -> bool:
        """Whether it is outside the range of the days before, and rests on enough to say so."""
        if self.usual is None or self.now.value is None or self.now.n < MIN_N:
            return False
        low, high = self.usual
        return not self.figure.kind.adds_up and not low <= self.now.value <= high


def figures(scope: Scope, unit: Unit) -> list[Figure]:
    """Those of the roles that are shown, in the order of the page."""
    found: list[Figure] = []
    if "requester" in scope.shown:
        found += _of_requester(scope, unit)
    if "maker" in scope.shown:
        found += _of_maker(scope, unit)
    return found or [of_market(scope)]


def _spread(unit: Unit) -> str:
    return "logit_spread" if unit is Unit.LOGODDS else "quote_spread"


def _difference(name: str, unit: Unit) -> str:
    """The name of a median of differences, which says what its value is in."""
    return f"{name}_p50_{'log_odds' if unit is Unit.LOGODDS else 'dollars'}"


def _cover_distance(unit: Unit) -> str:
    if unit is not Unit.LOGODDS:
        return "cover_distance"
    bid = "(1 - requester_price_dollars)::double"
    return f"ln({bid} / (1 - {bid})) - ln(cover_bid::double / (1 - cover_bid::double))"


def _of_requester(scope: Scope, unit: Unit) -> Iterator[Figure]:
    captured = scope.captures["requester"]
    watched = f"visibility = 'own' and capture = '{captured}'"
    own = "visibility = 'own'"
    matured = f"{own} and is_matured and {scope.timely}"
    executed = f"{own} and state = 'executed'"
    compared = f"{watched} and state = 'executed'"
    # Those whose RFQ is gone included; of several executions of an RFQ the one that counts.
    traded = f"{own} and executed_ts is not null and is_reference_accept"
    within = f"within {scope.maturity_s:g} s"
    inside = " and requester_price_dollars between 0.000001 and 0.999999 and cover_bid < 1"
    yield Figure(
        "n_rfq_own", "Own RFQs", Kind.COUNT, "asked", "requester", own,
        note=scope.quoted_by.removeprefix(", "),
    )  # fmt: skip
    yield Figure(
        "fill_rate_matured", f"Filled {within}", Kind.SHARE, "asked", "requester", matured,
        "is_filled", f"of own RFQs at least {scope.maturity_s:g} s old{scope.of_maker}",
    )  # fmt: skip
    if scope.chosen.maker is None:
        # Of RFQs that are chosen by an answer all are answered.
        yield Figure(
            "response_rate_5s", "Answered within 5 s", Kind.SHARE, "asked", "requester", watched,
            "is_answered_5s", f"own RFQs, {captured}",
        )  # fmt: skip
    yield Figure(
        "abandonment_rate", "Answered, never accepted", Kind.SHARE, "asked", "requester",
        f"{watched} and (n_makers > 0 or is_accepted) and end_cause is not null",
        "not is_accepted", f"of RFQs answered and over, {captured}",
    )  # fmt: skip
    yield Figure(
        "response_latency_p50_s", "A maker's answer, median", Kind.SECONDS, "quoted", "requester",
        f"{watched} and is_valid_response and version = 1", "response_latency_s",
        f"first quotes, {captured}",
    )  # fmt: skip
    yield Figure(
        "time_to_fill_p50_s", "Time to fill, median", Kind.SECONDS, "asked", "requester",
        executed, "time_to_fill_s", f"executed RFQs{scope.quoted_by}",
    )  # fmt: skip
    yield Figure(
        _difference("quote_spread", unit), "Quote spread, median", Kind.DIFFERENCE, "quoted",
        "requester", f"{watched} and is_effective and is_valid_response", _spread(unit),
        f"two-sided last quotes, {captured}",
    )  # fmt: skip
    yield Figure(
        _difference("cover_distance", unit), "Ahead of the next bid, median", Kind.DIFFERENCE,
        "asked", "requester", compared + (inside if unit is Unit.LOGODDS else ""),
        _cover_distance(unit), f"executed RFQs, {captured}, that another maker bid for; below 0 a"
        " better bid was passed over",
    )  # fmt: skip
    yield Figure(
        "requester_price_p50_dollars", "Price paid, median", Kind.PRICE, "asked", "requester",
        executed, "requester_price_dollars", f"executed RFQs{scope.quoted_by}",
    )  # fmt: skip
    yield Figure(
        "lapse_rate", "Accepts that lapsed", Kind.SHARE, "quoted", "requester",
        f"{own} and is_accept_matured", "is_lapsed", "accepts of yours whose window is over",
    )  # fmt: skip
    yield Figure(
        "executed_contracts", "Contracts executed", Kind.CONTRACTS, "quoted", "requester",
        traded, "executed_contracts",
    )  # fmt: skip
    yield Figure(
        "premium_dollars", "Premium, without fees", Kind.DOLLARS, "quoted", "requester",
        traded, "premium_dollars",
    )  # fmt: skip
    if scope.own and scope.own.has_fair:
        yield Figure(
            "edge_p50_dollars", "Edge of a fill to your fair value, median", Kind.EDGE,
            "asked", "requester", executed, "edge_dollars", "fair value less price paid, of fills",
        )  # fmt: skip


def _of_maker(scope: Scope, unit: Unit) -> Iterator[Figure]:
    captured = scope.captures["maker"]
    capture = f"capture = '{captured}'"
    mine = "is_made_by_viewer and visibility = 'quoted'"
    answers = f"{mine} and is_valid_response and {capture}"
    yield Figure(
        "n_rfq_seen", "RFQs of others seen", Kind.COUNT, "seen", "maker", "true",
        note=_seen(scope),
    )  # fmt: skip
    if scope.counts_market:
        yield Figure(
            "my_quote_rate", "Quoted of seen", Kind.SHARE, "seen", "maker", capture, "is_quoted",
            f"RFQs of others, {captured}",
        )  # fmt: skip
    yield Figure(
        "my_hit_ratio", "Hit ratio", Kind.SHARE, "seen", "maker",
        f"{capture} and is_quoted and is_decided", "is_won",
        f"of RFQs you quoted that are over, {captured}; a lost one and one that never traded look"
        " alike",
    )  # fmt: skip
    yield Figure(
        "my_response_latency_p50_s", "Your answer, median", Kind.SECONDS, "quoted", "maker",
        f"{answers} and version = 1", "response_latency_s", f"first quotes, {captured}",
    )  # fmt: skip
    yield Figure(
        _difference("my_quote_spread", unit), "Your quote spread, median", Kind.DIFFERENCE,
        "quoted", "maker", f"{answers} and is_effective", _spread(unit),
        f"two-sided last quotes, {captured}",
    )  # fmt: skip
    yield Figure(
        "my_withdrawn_rate", "Withdrawn by you", Kind.SHARE, "seen", "maker",
        f"{capture} and is_quoted", "is_withdrawn", f"of RFQs you quoted, {captured}",
    )  # fmt: skip
    yield Figure(
        "my_lapse_rate", "Accepts you let lapse", Kind.SHARE, "quoted", "maker",
        f"{mine} and is_accept_matured", "is_lapsed", "accepts whose window is over",
    )  # fmt: skip
    yield Figure(
        "n_executions", "Your quotes executed", Kind.COUNT, "quoted", "maker",
        f"{mine} and executed_ts is not null",
    )  # fmt: skip
    yield Figure(
        "my_executed_contracts", "Contracts executed", Kind.CONTRACTS, "quoted", "maker",
        f"{mine} and executed_ts is not null and is_reference_accept", "executed_contracts",
    )  # fmt: skip
    if scope.own and scope.own.has_fair:
        yield Figure(
            "my_edge_p50_dollars", "Edge of your quotes to your fair value, median",
            Kind.EDGE, "quoted", "maker", f"{answers} and is_effective", "edge_dollars",
            f"the smaller of the two sides', of last quotes, {captured}",
        )  # fmt: skip


def _seen(scope: Scope) -> str:
    if scope.quoted_by:
        return scope.quoted_by.removeprefix(", ")
    if not scope.sees_market:
        return "scope self: only those that you quoted are read"
    return "" if scope.is_market_complete else "the market's list is still being read"


def values(
    connection: duckdb.DuckDBPyConnection, scope: Scope, wanted: Sequence[Figure]
) -> list[Found]:
    """What each figure comes to. One query per view."""
    on_record = _days_on_record(connection, scope)
    found: dict[str, dict[tuple[bool, date | None], Value]] = {f.metric: {} for f in wanted}
    for view in sorted({figure.view for figure in wanted}):
        of_view = [figure for figure in wanted if figure.view == view]
        for (is_now, day), each in _query(connection, view, of_view):
            for figure, value in zip(of_view, each, strict=True):
                found[figure.metric][is_now, day] = value
    return [_found(figure, found[figure.metric], on_record) for figure in wanted]


def _days_on_record(connection: duckdb.DuckDBPyConnection, scope: Scope) -> list[date]:
    """The days before that were observed whole: one that shows nothing then had nothing."""
    observed = {
        day
        for (day,) in connection.execute(
            "select cohort_date from marts.trust where hours_observed >= hours_elapsed"
        ).fetchall()
    }
    window = scope.window
    return [d for d in window.days if d < window.first and window.utc_days(d) <= observed]


def _found(
    figure: Figure, parts: dict[tuple[bool, date | None], Value], on_record: Sequence[date]
) -> Found:
    nothing = Value(_empty(figure), 0)
    by_day = {day: value for (is_now, day), value in parts.items() if day and not is_now}
    if figure.kind.adds_up:
        by_day = {day: by_day.get(day, nothing) for day in on_record}
    now, before = (parts.get((is_now, None), nothing) for is_now in (True, False))
    return Found(figure, now, before, dict(sorted(by_day.items())))


def _empty(figure: Figure) -> float | None:
    return 0.0 if figure.kind.adds_up else None


def _query(
    connection: duckdb.DuckDBPyConnection, view: str, wanted: Sequence[Figure]
) -> Iterator[tuple[tuple[bool, date | None], list[Value]]]:
    columns = ", ".join(f"{_sql(figure)} as f{n}" for n, figure in enumerate(wanted))
    any_of = " or ".join(f"({figure.of})" for figure in wanted)
    rows = connection.execute(
        f"select is_now, if(grouping(day) = 1, null, day), {columns} from {view}"
        f" where {any_of} group by grouping sets ((is_now), (is_now, day))"
    ).fetchall()
    for is_now, day, *cells in rows:
        yield (
            (is_now, day),
            [_value(figure, cell) for figure, cell in zip(wanted, cells, strict=True)],
        )


def _sql(figure: Figure) -> str:
    """What DuckDB counts of a figure: hits and n, quartiles and n, or a sum and n."""
    where = f"filter ({figure.of})"
    if figure.kind is Kind.SHARE:
        hits = f"count(*) filter (({figure.of}) and ({figure.what}))"
        return f"[{hits}, count(*) {where}]"
    if figure.kind.adds_up:
        # The n of a sum is of what is in it: a side or a price that is not shown is in none.
        counted = "count(*)" if figure.kind is Kind.COUNT else f"count({figure.what})"
        added = counted if figure.kind is Kind.COUNT else f"sum({figure.what})"
        return f"[({added} {where})::double, {counted} {where}]"
    what = f"({figure.what})::double"
    quartiles = f"quantile_cont({what}, [0.25, 0.5, 0.75]) {where}"
    none = "[null, null, null]::double[]"
    return f"list_append(coalesce({quartiles}, {none}), (count({what}) {where})::double)"


def _value(figure: Figure, cell: list[float | None] | None) -> Value:
    if cell is None:
        return Value(None, 0)
    *parts, n_rows = cell
    n = int(n_rows or 0)
    if figure.kind is Kind.SHARE:
        hits = int(parts[0] or 0)
        return Value(hits / n if n else None, n, *wilson(hits, n))
    if len(parts) == 1:
        return Value(parts[0] if parts[0] is not None else 0.0, n)
    low, middle, high = parts
    if middle is None or low is None or high is None or not n:
        return Value(None, 0)
    notch = NOTCH * (high - low) / n**0.5
    least, most = _BOUNDS.get(figure.kind, (-math.inf, math.inf))
    return Value(middle, n, max(least, middle - notch), min(most, middle + notch))


def wilson(hits: int, n: int) -> tuple[float | None, float | None]:
    """Wilson's 95 % score interval, as `marts.wilson_low` and `marts.wilson_high` have it."""
    if not n:
        return None, None
    z2 = 1.959963984540054**2
    rate = hits / n
    middle, scale = rate + z2 / (2 * n), 1 + z2 / n
    margin = (z2 * (rate * (1 - rate) / n + z2 / (4 * n * n))) ** 0.5
    return max(0.0, (middle - margin) / scale), min(1.0, (middle + margin) / scale)


def written(value: float | None, kind: Kind, unit: Unit) -> str:
    """A value as people read it; a dash for none."""
    if value is None:
        return "–"
    match kind:
        case Kind.SHARE:
            return share(value)
        case Kind.PRICE:
            return price(value, unit)
        case Kind.DIFFERENCE:
            return difference(value, unit)
        case Kind.EDGE:
            # In dollars, which are no difference of log odds.
            return difference(value, Unit.CENTS if unit is Unit.LOGODDS else unit)
        case Kind.SECONDS:
            return seconds(value)
        case Kind.DOLLARS:
            return f"${value:,.2f}"
    return f"{value:,.0f}"
