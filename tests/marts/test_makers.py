"""The league table of makers, worked by hand."""

from decimal import Decimal
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
from transforms.marts.makers import makers
from transforms.settings import Settings

OF_MARKET = Settings(after(3600))


def league(
    rfqs: list[dict[str, Any]], quotes: list[dict[str, Any]], settings: Settings = OF_MARKET
) -> pl.DataFrame:
    facts = rfq_facts(*rfqs)
    return makers(facts, quote_facts(*quotes), sent_rfqs(facts), settings).collect()


def of_maker(
    maker_id: str, rfqs: list[dict[str, Any]], quotes: list[dict[str, Any]]
) -> dict[str, Any]:
    return league(rfqs, quotes).filter(maker_id=maker_id).row(0, named=True)


def test_the_response_rate_is_over_rfqs_broadcast_while_the_maker_was_active():
    """Of five RFQs a minute apart, A quotes the second and fourth: 2 of the 3 between them."""
    rfqs = [rfq(f"r{i}", created_ts=after(60 * i)) for i in range(5)]

    found = of_maker("A", rfqs, [quote("q1", "r1"), quote("q3", "r3")])

    assert (found["n_rfq_quoted"], found["n_rfq_broadcast"]) == (2, 3)
    assert found["response_rate"] == 2 / 3


def test_several_versions_on_one_rfq_are_one_rfq_quoted():
    quotes = [quote("q1", "r1", is_effective=False), quote("q2", "r1", version=2)]

    found = of_maker("A", [rfq("r1")], quotes)

    assert found["n_rfq_quoted"] == 1
    assert found["n_quotes_effective"] == 1


def test_a_hidden_maker_that_was_executed_has_won():
    """Makers whose ids are hidden are one: it won r1, and lost r2 to A."""
    rfqs = [executed_rfq("r1", maker_id_won=None), executed_rfq("r2")]
    quotes = [executed_quote("q1", "r1", None), executed_quote("q2", "r2")]
    quotes.append(quote("q3", "r2", None))

    found = of_maker("unknown", rfqs, quotes)

    assert (found["n_rfq_won"], found["n_rfq_decided"]) == (1, 2)
    assert of_maker("A", rfqs, quotes)["n_rfq_won"] == 1


def test_the_hit_ratio_leaves_undecided_rfqs_out():
    """Won one, lost one to B, one not traded, one with an accept pending."""
    rfqs = [
        executed_rfq("won"),
        executed_rfq("lost", maker_id_won="B"),
        rfq("untraded"),
        rfq("pending", state="accepted_pending"),
    ]
    quotes = [executed_quote("q1", "won"), *(quote(r, r) for r in ("lost", "untraded", "pending"))]

    found = of_maker("A", rfqs, quotes)

    assert found["hit_ratio"] == 1 / 3
    assert found["hit_ratio_traded"] == 1 / 2
    assert found["n_rfq_quoted"] == 4


def test_a_win_that_was_read_after_the_as_of_time_is_not_won_yet():
    """What we win is read sooner than what we lose: both count once they were read by then."""
    quoted = {"visibility": "quoted"}
    rfqs = [
        executed_rfq("late", is_decided=False, **quoted),
        executed_rfq("later", is_decided=False, **quoted),
        rfq("lost", state="closed_unknown", **quoted),
    ]
    quotes = [
        *(executed_quote(r, r, **quoted) for r in ("late", "later")),
        quote("q3", "lost", **quoted),
    ]

    found = of_maker("A", rfqs, quotes)

    assert (found["n_rfq_quoted"], found["n_rfq_decided"], found["n_rfq_won"]) == (3, 1, 0)
    assert (found["hit_ratio"], found["n_executions"]) == (0.0, 2)


def test_in_scope_self_nobody_knows_what_others_were_asked():
    """Of RFQs of others only those are held that A quoted: the rate would always be 1."""
    rfqs = [rfq("mine"), rfq("theirs", visibility="quoted")]
    quotes = [quote("q1", "mine"), quote("q2", "theirs", visibility="quoted")]

    found = league(rfqs, quotes, Settings(after(3600), scope="self"))

    names = ("visibility", "n_rfq_quoted", "n_rfq_broadcast", "response_rate")
    assert found.select(*names, "is_response_rate_suppressed").sort("visibility").rows() == [
        ("own", 1, 1, 1.0, True),
        ("quoted", 1, None, None, True),
    ]


def test_a_win_below_the_best_bid_is_not_at_best_and_a_tie_is():
    rfqs = [
        executed_rfq("worse", cover_distance=Decimal("-0.01")),
        executed_rfq("tied", cover_distance=Decimal(0)),
        executed_rfq("alone"),
    ]

    found = of_maker("A", rfqs, [executed_quote(r["rfq_id"], r["rfq_id"]) for r in rfqs])

    assert found["win_share_at_best"] == 2 / 3
    assert found["n_covered"] == 2
    assert found["cover_distance_sum_microdollars"] == -10_000


def test_a_win_over_rivals_that_nobody_saw_is_not_called_the_best():
    """r1 was won alone, r2 after a rival had vanished: who bid best on it is unknown."""
    rfqs = rfq_facts(executed_rfq("r1"), executed_rfq("r2", is_cover_unknown=True))
    quotes = quote_facts(executed_quote("q1", "r1"), executed_quote("q2", "r2"))

    found = makers(rfqs, quotes, sent_rfqs(rfqs), OF_MARKET).collect().row(0, named=True)

    assert (found["n_rfq_won"], found["n_rfq_won_compared"], found["n_rfq_won_at_best"]) == (
        2,
        1,
        1,
    )


def test_a_win_of_which_nobody_knows_the_bid_is_not_called_the_best():
    rfqs = [executed_rfq("r1", requester_price_dollars=None)]

    found = of_maker("A", rfqs, [executed_quote("q1", "r1")])

    assert (found["n_rfq_won"], found["n_rfq_won_compared"]) == (1, 0)
    assert found["win_share_at_best"] is None


def test_a_lapsed_accept_is_not_a_fill_and_a_pending_one_is_no_lapse():
    quotes = [
        executed_quote("q1", "r1"),
        executed_quote("q2", "r2", outcome="lapsed", is_lapsed=True, has_confirm=False),
        executed_quote(
            "q3", "r3", outcome="pending", is_accept_pending=True, is_accept_matured=False
        ),
    ]
    rfqs = [executed_rfq("r1"), rfq("r2", has_accept=True), rfq("r3", state="accepted_pending")]

    found = of_maker("A", rfqs, quotes)

    assert found["lapse_rate"] == 1 / 2
    assert found["n_accepts"] == 3
    assert found["n_rfq_won"] == 1


def test_shares_are_of_the_day_and_square_to_concentration():
    """A trades 100 contracts and B 300: shares 1/4 and 3/4."""
    rfqs = [
        executed_rfq("r1"),
        executed_rfq("r2", maker_id_won="B", executed_contracts=Decimal(300)),
    ]
    of_b = executed_quote("q2", "r2", "B", executed_contracts=Decimal(300))
    quotes = [executed_quote("q1", "r1"), of_b]

    found = league(rfqs, quotes)

    assert found["executed_contracts_share"].to_list() == [0.25, 0.75]
    assert found["n_rfq_won_share"].to_list() == [0.5, 0.5]


def test_shares_of_a_day_are_of_one_capture():
    """A won what was watched and B what was not: each has all of its own."""
    late = {"capture": "late"}
    rfqs = [executed_rfq("r1"), executed_rfq("r2", maker_id_won="B", **late)]
    quotes = [executed_quote("q1", "r1"), executed_quote("q2", "r2", "B", **late)]

    found = league(rfqs, quotes)

    shares = found.select("maker_id", "capture", "n_rfq_won_share").rows()
    assert shares == [("A", "live", 1.0), ("B", "late", 1.0)]


def test_quotes_on_ones_own_rfq_are_counted_and_ignored():
    quotes = [quote("q1", "mine", is_self_quote=True), quote("q2", "r2")]

    found = of_maker("A", [rfq("mine"), rfq("r2")], quotes)

    assert found["n_rfq_self_quoted"] == 1
    assert found["n_rfq_quoted"] == 1


def test_as_a_maker_on_rfqs_of_others_lost_and_not_traded_look_alike():
    rfqs = [
        executed_rfq("r1", visibility="quoted", maker_id_won="me"),
        rfq("r2", visibility="foreign", created_ts=after(1)),
        rfq("r3", visibility="quoted", created_ts=after(2)),
    ]
    quotes = [
        executed_quote("q1", "r1", "me", visibility="quoted"),
        quote("q3", "r3", "me", visibility="quoted"),
    ]

    found = of_maker("me", rfqs, quotes)

    assert found["response_rate"] == 2 / 3
    assert found["hit_ratio"] == 1 / 2
    assert found["hit_ratio_traded"] is None
    assert found["executed_contracts_share"] is None
    assert found["n_rfq_won"] == 1
    assert (found["n_covered"], found["cover_distance_sum_microdollars"]) == (None, None)


def test_nothing_decided_means_no_hit_ratio_rather_than_zero():
    found = of_maker("A", [rfq("r1", state="open")], [quote("q1", "r1")])

    assert found["hit_ratio"] is None
    assert found["lapse_rate"] is None


@pytest.mark.parametrize("flaw", ["is_orphan", "is_after_close"])
def test_an_invalid_response_makes_no_maker(flaw):
    invalid = quote("q1", "r1", **{flaw: True, "is_valid_response": False})

    assert league([rfq("r1")], [invalid]).height == 0
