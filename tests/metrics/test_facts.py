"""Single lives in the fact marts: the odd ones."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.metrics.markets import MIDNIGHT, ExchangeObject, at, closed_rfq, followed, quote, rfq
from tests.metrics.warehouse import Gone, warehouse
from transforms.metrics import evaluate
from transforms.settings import Settings

LATER = Settings(as_of=MIDNIGHT + timedelta(hours=1))
Row = dict[str, Any]


def facts(
    rfqs: list[ExchangeObject],
    quotes: list[ExchangeObject],
    settings: Settings = LATER,
    gone: list[Gone] | None = None,
    seen_s: float | None = None,
) -> tuple[dict[str, Row], dict[str, Row]]:
    """RFQ facts and quote facts by id."""
    with warehouse(rfqs, quotes, settings, gone or [], seen_s) as marts:
        by_rfq = {row["rfq_id"]: row for row in marts["rfq_facts"].iter_rows(named=True)}
        by_quote = {row["quote_id"]: row for row in marts["quote_facts"].iter_rows(named=True)}
    return by_rfq, by_quote


def test_a_lapsed_accept_is_not_a_fill() -> None:
    rfqs, quotes = facts([closed_rfq("r1", 0, 90)], [followed(quote("q1", "r1"), accepted=5)])

    assert quotes["q1"]["outcome"] == "lapsed"
    assert rfqs["r1"]["state"] == "closed_unfilled"
    assert rfqs["r1"]["executed_contracts"] is None


def test_an_accept_may_be_confirmed_up_to_the_end_of_the_window() -> None:
    pending, lapsed = (
        facts(
            [rfq("r1")],
            [followed(quote("q1", "r1"), accepted=5)],
            Settings(as_of=MIDNIGHT + timedelta(seconds=35, microseconds=late)),
        )
        for late in (0, 1)
    )

    assert pending[1]["q1"]["is_accept_pending"]
    assert pending[0]["r1"]["state"] == "accepted_pending"
    assert lapsed[1]["q1"]["is_lapsed"]
    assert lapsed[0]["r1"]["state"] == "open"


def test_an_execution_that_failed_is_neither_a_fill_nor_stuck() -> None:
    failed = followed(quote("q1", "r1"), accepted=5, confirmed=6, cancelled=22)

    rfqs, quotes = facts([closed_rfq("r1", 0, 22)], [failed])

    assert quotes["q1"]["outcome"] == "failed"
    assert not quotes["q1"]["is_confirmed_stuck"]
    assert not quotes["q1"]["is_lapsed"]
    assert (rfqs["r1"]["state"], rfqs["r1"]["has_confirm"]) == ("closed_unfilled", True)


def test_a_quote_that_vanished_ends_where_it_was_last_seen() -> None:
    rfqs, quotes = facts(
        [rfq("r1")], [quote("q1", "r1", 2)], gone=[("quotes", "q1", 100.0)], seen_s=8
    )

    assert (quotes["q1"]["end_cause"], quotes["q1"]["quote_lifetime_s"]) == ("lost", 6.0)
    assert quotes["q1"]["outcome"] == "not_done_unknown"
    assert rfqs["r1"]["best_yes_bid"] is None


def test_timestamps_out_of_order_spoil_durations_but_no_count() -> None:
    garbled = followed(quote("q1", "r1"), accepted=5, confirmed=30, executed=21)

    rfqs, quotes = facts([rfq("r1")], [garbled])

    assert not quotes["q1"]["is_monotone"]
    durations = ("quote_dwell_s", "confirm_latency_s", "execution_latency_s", "execution_excess_s")
    assert [quotes["q1"][name] for name in durations] == [None] * 4
    assert (rfqs["r1"]["state"], rfqs["r1"]["time_to_fill_s"]) == ("executed", None)


def test_an_orphan_is_kept_and_counts_nowhere() -> None:
    rfqs, quotes = facts([rfq("r1")], [quote("q1", "unknown")])

    assert quotes["q1"]["is_orphan"]
    assert not quotes["q1"]["is_valid_response"]
    assert rfqs["r1"]["n_quotes_raw"] == 0


def test_a_quote_without_a_bid_shares_the_fate_of_its_rfq() -> None:
    """It is not_traded where its RFQ closed unfilled, and nowhere else."""
    no_bid = {"creator_id": "B", "yes_bid_dollars": "0.0000", "no_bid_dollars": "0.0000"}
    names = ("open", "filled", "closed")
    requests = [rfq("open"), rfq("filled"), closed_rfq("closed", 0, 22)]
    silent = [quote(name, name, **no_bid) for name in names]
    won = followed(quote("won", "filled"), accepted=5, confirmed=6, executed=22)

    _, quotes = facts(requests, [*silent, won])

    assert [quotes[name]["outcome"] for name in names] == ["live", "done_away", "not_traded"]


def test_a_cancel_a_moment_before_the_next_version_is_a_replacement() -> None:
    replaced = followed(quote("q1", "r1", 1), cancelled=4.95)
    withdrawn = followed(quote("q3", "r1", 1, creator_id="B"), cancelled=4.85)
    successors = [quote("q2", "r1", 5), quote("q4", "r1", 5, creator_id="B")]

    _, quotes = facts([rfq("r1")], [replaced, withdrawn, *successors])

    assert (quotes["q1"]["end_cause"], quotes["q3"]["end_cause"]) == ("replaced", "withdrawn")


def test_a_cancel_a_moment_before_the_end_of_the_rfq_belongs_to_it() -> None:
    with_rfq = followed(quote("q1", "r1", 1), cancelled=29.95)
    before = followed(quote("q2", "r1", 1, creator_id="B"), cancelled=29.85)

    rfqs, quotes = facts([closed_rfq("r1", 0, 30)], [with_rfq, before])

    assert (quotes["q1"]["end_cause"], quotes["q2"]["end_cause"]) == ("rfq_end", "withdrawn")
    assert rfqs["r1"]["n_quotes_effective"] == 2


def test_the_second_of_two_executions_is_counted_once() -> None:
    first = followed(quote("q1", "r1"), accepted=5, confirmed=6, executed=22)
    second = followed(quote("q2", "r1", creator_id="B"), accepted=4, confirmed=7, executed=24)

    rfqs, _ = facts([rfq("r1")], [first, second])

    assert rfqs["r1"]["n_executed_quotes"] == 2
    assert rfqs["r1"]["maker_id_won"] == "B"
    assert rfqs["r1"]["time_to_fill_s"] == 24.0


def test_an_rfq_filled_by_another_maker_after_a_lapse_counts_once() -> None:
    lapsed = followed(quote("q1", "r1"), accepted=5)
    filled = followed(quote("q2", "r1", creator_id="B"), accepted=40, confirmed=41, executed=57)

    rfqs, quotes = facts([rfq("r1")], [lapsed, filled])

    assert rfqs["r1"]["is_filled_after_lapse"]
    assert rfqs["r1"]["time_to_accept_s"] == 5.0
    assert quotes["q1"]["outcome"] == "lapsed"


def test_what_others_quote_on_a_foreign_rfq_is_unknown_not_zero() -> None:
    viewer = Settings(as_of=LATER.as_of, viewer_id="B")
    mine = quote("q1", "r1", creator_id="B")

    rfqs, _ = facts([rfq("r1"), rfq("r2")], [mine], viewer)

    assert [rfqs[key]["visibility"] for key in ("r1", "r2")] == ["quoted", "foreign"]
    assert rfqs["r1"]["best_yes_bid"] is None
    assert rfqs["r2"]["n_makers"] is None


def test_makers_whose_quotes_make_the_best_prices_are_counted_beside_them() -> None:
    """Of four answers of r1 A's and B's were withdrawn and D's crosses itself: C's alone stood."""
    quotes = [followed(quote(f"q{who}", "r1", creator_id=who), cancelled=20) for who in "AB"]
    crossed = {"yes_bid_dollars": "0.6000", "no_bid_dollars": "0.6000"}
    quotes += [quote("qC", "r1", creator_id="C"), quote("qD", "r1", creator_id="D", **crossed)]
    quotes += [quote(f"p{who}", "r2", creator_id=who) for who in "AB"]
    theirs = {"creator_id": "stranger"}
    rfqs, _ = facts(
        [closed_rfq("r1", 0, 60), rfq("r2"), rfq("r3"), rfq("r4", **theirs)],
        [*quotes, quote("q4", "r4", creator_id="desk") | {"rfq_creator_id": "stranger"}],
        Settings(as_of=LATER.as_of, viewer_id="desk"),
    )

    counts = {key: (row["n_makers"], row["n_live_makers"]) for key, row in rfqs.items()}
    assert counts == {"r1": (4, 1), "r2": (2, 2), "r3": (0, 0), "r4": (None, None)}


def test_the_first_quote_is_timed_on_our_own_rfqs_alone() -> None:
    """A stranger's RFQ took our quote; of ours the one answered 2 s too early has no latency."""
    requests = [rfq("r1"), rfq("r2", 10), rfq("r3"), rfq("r4", creator_id="stranger")]
    answers = [quote("q1", "r1", 1), quote("q2", "r2", 8)]
    taken = quote("q4", "r4", 1, creator_id="desk", rfq_creator_id="stranger")
    answers.append(followed(taken, accepted=5, confirmed=6, executed=21))

    metrics = evaluate(requests, answers, LATER.as_of, viewer_id="desk")

    assert metrics["ttfq_s"] == {"r1": 1.0, "r2": None}


def test_a_stranger_that_closed_without_a_time_has_ended_at_an_unknown_one() -> None:
    viewer = Settings(as_of=LATER.as_of, viewer_id="B")
    stranger = rfq("r1", status="closed")
    del stranger["updated_ts"]
    cancelled = followed(quote("q1", "r1", creator_id="B"), cancelled=9)

    rfqs, quotes = facts([stranger], [cancelled], viewer)

    assert (rfqs["r1"]["end_cause"], rfqs["r1"]["end_ts"]) == ("closed", None)
    assert quotes["q1"]["outcome"] == "not_done_unknown"


@pytest.mark.parametrize(
    ("seen_after", "capture"),
    [(timedelta(days=7), "late"), (timedelta(days=7, seconds=31), "backfill")],
)
def test_what_nobody_watched_is_late_and_backfill_once_losing_quotes_were_gone(
    seen_after: timedelta, capture: str
) -> None:
    seen_s = seen_after.total_seconds()
    later = Settings(as_of=MIDNIGHT + timedelta(days=9))

    rfqs, _ = facts([closed_rfq("r1", 0, 30)], [], later, seen_s=seen_s)

    assert rfqs["r1"]["capture"] == capture


@pytest.mark.parametrize(
    ("changes", "bucket"),
    [
        ({"contracts_fp": "0.99"}, "under 1 contracts"),
        ({"contracts_fp": "1.00"}, "1-10 contracts"),
        ({"contracts_fp": "5000.00"}, "5000+ contracts"),
        ({"target_cost_dollars": "9.990000"}, "under $10 target cost"),
        ({"target_cost_dollars": "50.000000"}, "$50-$250 target cost"),
    ],
)
def test_size_buckets_include_their_lower_edge(changes: Row, bucket: str) -> None:
    rfqs, _ = facts([rfq("r1", **changes)], [])

    assert rfqs["r1"]["size_bucket"] == bucket


def test_tickers_name_their_event_and_series() -> None:
    rfqs, _ = facts([rfq("r1", market_ticker="KXRAIN-26NOV-NYC")], [])

    assert rfqs["r1"]["series_ticker"] == "KXRAIN"
    assert rfqs["r1"]["event_ticker"] == "KXRAIN-26NOV"


def test_the_exchange_s_published_sizes_are_reproduced() -> None:
    """NO bids on target-cost RFQs and the sizes that the exchange offered for them."""
    published = [("5", "0.4070", 8.19), ("5", "0.3690", 7.72), ("5", "0.3900", 7.97)]
    published.append(("10", "0.7450", 37.27))
    rfqs = [
        rfq(f"r{n}", contracts_fp="0.00", target_cost_dollars=target)
        for n, (target, _, _) in enumerate(published)
    ]
    quotes = [
        quote(f"q{n}", f"r{n}", yes_bid_dollars="0.0000", no_bid_dollars=bid)
        for n, (_, bid, _) in enumerate(published)
    ]

    _, by_quote = facts(rfqs, quotes)

    derived = [float(by_quote[f"q{n}"]["derived_no_contracts"]) for n in range(len(published))]
    assert derived == [size for _, _, size in published]


def test_a_market_at_the_as_of_time_shows_the_book_of_that_moment() -> None:
    book = [quote("q1", "r1", 1), quote("q2", "r1", 20, creator_id="B", yes_bid_dollars="0.44")]

    early, _ = facts([rfq("r1")], book, Settings(as_of=MIDNIGHT + timedelta(seconds=19)))
    late, _ = facts([rfq("r1")], book, Settings(as_of=MIDNIGHT + timedelta(seconds=20)))

    assert float(early["r1"]["best_yes_bid"]) == 0.40
    assert float(late["r1"]["best_yes_bid"]) == 0.44
    assert late["r1"]["best_yes_bid_at_accept"] is None


def test_a_time_without_a_fraction_and_one_with_six_digits_are_the_same_clock() -> None:
    precise = quote("q1", "r1", created_ts="2026-05-04T00:00:01.000001Z")

    _, quotes = facts([rfq("r1", created_ts=at(0))], [precise])

    assert quotes["q1"]["response_latency_s"] == 1.000001


def test_a_market_is_fast_by_its_own_evidence_for_window_and_timer() -> None:
    """Three markets of a day, each with an early execution and one accept after ten minutes."""
    early = {"accepted": 5, "confirmed": 6, "executed": 7.2}
    others = {
        "nothing against": {},
        "slow window": {"accepted": 100, "confirmed": 103.2},
        "slow timer": {"accepted": 100, "confirmed": 101, "executed": 109},
    }
    rfqs, quotes = [], []
    for market, stages in others.items():
        lives = {"early": early, "other": stages, "late": {"accepted": 600}}
        for name, of in lives.items():
            rfqs.append(rfq(f"{name} {market}", market_ticker=market))
            quotes.append(followed(quote(f"{name} {market}", rfqs[-1]["id"]), **of))

    _, by_quote = facts(rfqs, quotes)

    windows = {market: by_quote[f"late {market}"]["confirm_window_s"] for market in others}
    assert windows == {"nothing against": 3, "slow window": 30, "slow timer": 3}
    assert by_quote["early slow window"]["execution_excess_s"] == pytest.approx(0.2)
    assert by_quote["other slow timer"]["execution_excess_s"] == pytest.approx(7.0)


def test_a_combo_is_fast_whatever_speaks_against_it() -> None:
    legs = [{"market_ticker": f"KXLEG-{leg}", "side": "yes"} for leg in range(2)]
    combo = rfq("r1", mve_collection_ticker="KXMVE-R", mve_selected_legs=legs)
    slow = followed(quote("q1", "r1"), accepted=5, confirmed=10, executed=25)

    _, quotes = facts([combo], [slow])

    assert quotes["q1"]["confirm_window_s"] == 3
    assert quotes["q1"]["is_against_fast"]
    assert quotes["q1"]["execution_excess_s"] == 0.0


def test_a_rival_that_was_lost_as_the_accept_came_leaves_the_cover_unknown() -> None:
    """It was last seen at 5 s, and nobody knows whether it stood when the other was accepted."""
    won = followed(quote("q1", "r1", 1), accepted=5)
    rival = quote("q2", "r1", 2, creator_id="B")

    covers = [
        facts([rfq("r1")], [won, rival], gone=[("quotes", "q2", 8)], seen_s=seen_s)[0]["r1"]
        for seen_s in (5, 5.000001)
    ]

    assert [each["is_cover_unknown"] for each in covers] == [True, False]


def test_of_two_accepts_the_one_that_was_executed_decides_side_price_and_maker() -> None:
    """The first, of another side, had lapsed: a NO bid of 0.55 that is hit sells YES at 0.45.

    The next best bid for NO is 0.50, though C bids 0.10 for YES and B 0.40.
    """
    lapsed = quote("q1", "r1", 1, creator_id="B", no_bid_dollars="0.4500")
    lapsed = followed(lapsed, "yes", accepted=5)
    executed = followed(quote("q2", "r1", 2), "no", accepted=50, confirmed=52, executed=60)
    bids = {"yes_bid_dollars": "0.1000", "no_bid_dollars": "0.5000"}
    third = quote("q3", "r1", 3, creator_id="C", **bids)

    rfqs, _ = facts([rfq("r1")], [lapsed, executed, third])

    told = ("requester_side", "requester_price_dollars", "maker_id_won", "cover_distance")
    bid = Decimal(executed["no_bid_dollars"])
    cover = bid - Decimal("0.50")
    assert [rfqs["r1"][name] for name in told] == ["buy_yes", 1 - bid, "A", cover]


def test_a_stranger_is_decided_once_one_of_two_executions_was_read() -> None:
    """An alarm, as an RFQ executes once: read at 30 s and at 90 s, and as of 60 s."""
    stages = {"accepted": 5, "confirmed": 6, "executed": 21}
    quotes = [
        followed(quote(name, "r1", created_s), **stages) | {"observed_ts": at(seen_s)}
        for name, created_s, seen_s in (("q1", 1, 30), ("q2", 2, 90))
    ]
    as_of = MIDNIGHT + timedelta(seconds=60)

    rfqs, _ = facts([rfq("r1")], quotes, Settings(as_of=as_of, viewer_id="A"))

    assert (rfqs["r1"]["visibility"], rfqs["r1"]["is_decided"]) == ("quoted", True)
