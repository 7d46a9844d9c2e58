"""Figures of what was watched, beside how much that is, worked by hand."""

from typing import Any

import polars as pl
import pytest

from tests.marts.facts import (
    after,
    executed_quote,
    executed_rfq,
    quote,
    quote_facts,
    rfq,
    rfq_facts,
    sent_rfqs,
)
from transforms.marts.live_figures import live_figures, watched_by_day
from transforms.marts.makers import makers
from transforms.marts.quote_spreads import quote_spreads
from transforms.marts.response_latencies import response_latencies
from transforms.settings import Settings

SHORT, LONG = {"lifetime_bucket": "5-20 s"}, {"lifetime_bucket": "600 s or more"}
LATE = {"capture": "late"}


def figures(rfqs: list[dict[str, Any]], quotes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    by_day = watched_by_day(rfq_facts(*rfqs), quote_facts(*quotes))
    found = live_figures(by_day).collect()
    return {row["figure"]: row for row in found.iter_rows(named=True)}


def answered(rfq_id: str, **changes: Any) -> dict[str, Any]:
    return rfq(rfq_id, n_makers=1, first_quote_ts=rfq("")["created_ts"], **changes)


def test_a_figure_is_weighted_to_the_lifetimes_of_all() -> None:
    """One of four short lives is watched and unanswered, both long ones are and answered."""
    rfqs = [rfq("s1", **SHORT), *(rfq(f"s{n}", **SHORT, **LATE) for n in (2, 3, 4))]
    rfqs += [answered(f"l{n}", **LONG) for n in (1, 2)]

    found = figures(rfqs, [])["response_rate_5s"]

    assert (found["capture"], found["n"]) == ("live", 3)
    assert found["value"] == pytest.approx(2 / 3)
    assert found["weighted_value"] == pytest.approx((4 * 0 + 2 * 1) / 6)
    assert (found["share_watched_5_20_s"], found["share_watched_600_s"]) == (0.25, 1.0)
    assert found["share_watched_20_60_s"] is None
    assert found["weighted_share"] == 1.0


def test_lives_of_which_none_was_watched_are_stood_for_by_nothing() -> None:
    rfqs = [answered("l1", **LONG), rfq("s1", **SHORT, **LATE), rfq("s2", **SHORT, **LATE)]

    found = figures(rfqs, [])["response_rate_5s"]

    assert (found["weighted_value"], found["weighted_share"]) == (1.0, pytest.approx(1 / 3))


def test_where_nothing_is_live_the_late_figure_is_shown_and_called_so() -> None:
    found = figures([answered("r1", **SHORT, **LATE)], [])["response_rate_5s"]

    assert (found["capture"], found["value"], found["share_watched_5_20_s"]) == ("late", 1.0, 0.0)


def test_figures_of_quotes_are_of_the_same_rfqs() -> None:
    rfqs = [executed_rfq("r1", **SHORT), rfq("r2", **SHORT, **LATE)]
    quotes = [executed_quote("q1", "r1", **SHORT), quote("q2", "r1", "B", **SHORT)]
    quotes.append(quote("q3", "r2", "B", **SHORT, **LATE))

    found = figures(rfqs, quotes)

    assert (found["hit_ratio"]["value"], found["hit_ratio"]["n"]) == (0.5, 2)
    assert found["mean_quote_spread_dollars"]["value"] == pytest.approx(0.05)


def test_a_hidden_maker_that_was_executed_has_won() -> None:
    """Makers whose ids are hidden are one: r2 was executed by another, and of r3 nobody knows."""
    rfqs = [executed_rfq("r1", maker_id_won=None), executed_rfq("r2")]
    rfqs.append(executed_rfq("r3", maker_id_won=None, n_executed_quotes=0))
    quotes = [executed_quote("q1", "r1", None), executed_quote("q2", "r2")]
    quotes += [quote(f"q{n}", f"r{n - 1}", None) for n in (3, 4)]

    found = figures(rfqs, quotes)["hit_ratio"]

    assert (found["value"], found["n"]) == (0.5, 4)


def test_nothing_at_all_has_no_figure() -> None:
    found = figures([], [])

    assert {row["value"] for row in found.values()} == {None}
    assert pl.DataFrame(list(found.values())).height == 8


def test_beside_figures_by_market_stands_the_share_watched_of_its_own_rfqs() -> None:
    """r1 is watched, r2 is not; another market, and an RFQ of somebody else, say nothing of it."""
    rfqs = rfq_facts(
        executed_rfq("r1", **LONG),
        rfq("r2", **LONG, **LATE),
        rfq("r3", market_ticker="KXTEST-26-B", **SHORT),
        rfq("r4", visibility="quoted", **LONG),
    )
    quotes = quote_facts(
        executed_quote("q1", "r1", **LONG),
        quote("q4", "r4", visibility="quoted", **LONG),
    )
    of_market = pl.col("market_ticker") == "KXTEST-26-A"

    for mart in (quote_spreads, response_latencies):
        rows = mart(rfqs, quotes).filter(of_market).collect()
        shares = rows.select("visibility", "share_watched_600_s", "share_watched_5_20_s").unique()
        assert sorted(shares.rows()) == [("own", 0.5, None), ("quoted", None, None)]

    of_day = makers(rfqs, quotes, sent_rfqs(rfqs), Settings(after(3600))).select(
        "visibility", "share_watched_600_s", "share_watched_5_20_s"
    )
    assert sorted(of_day.collect().rows()) == [("own", 0.5, 1.0), ("quoted", None, None)]
