"""What cannot be known is called so: closings of others, vanished quotes, causes, ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import duckdb
import pytest

from tests.metrics.markets import (
    MIDNIGHT,
    ExchangeObject,
    at,
    closed_rfq,
    followed,
    moment,
    quote,
    rfq,
)
from tests.metrics.warehouse import Row, built
from transforms.metrics.objects import load_objects
from transforms.settings import Settings

AS_OF = MIDNIGHT + timedelta(hours=1)
OURS = Settings(as_of=AS_OF, viewer_id="desk")
AS_MAKER = Settings(as_of=AS_OF, viewer_id="A")


@contextmanager
def held(*objects: ExchangeObject) -> Iterator[duckdb.DuckDBPyConnection]:
    """Raw tables that hold these versions."""
    with duckdb.connect() as connection:
        quotes = [each for each in objects if "rfq_id" in each]
        load_objects(connection, [each for each in objects if each not in quotes], quotes)
        yield connection


def facts(*objects: ExchangeObject, settings: Settings = OURS) -> tuple[dict[str, Row], ...]:
    with held(*objects) as connection:
        return built(connection, settings)


def untimed(rfq_id: str, status: str, created_s: float, seen_s: float) -> ExchangeObject:
    """An RFQ of somebody else as the exchange shows it: no times but its creation."""
    shown = rfq(rfq_id, created_s, creator_id="stranger", status=status, observed_ts=at(seen_s))
    return {name: value for name, value in shown.items() if name != "updated_ts"}


def test_a_closed_rfq_of_somebody_else_is_decided_and_of_unknown_fate() -> None:
    """Ten quoted, nine closed, one won: a hit ratio of one in ten."""
    closed = [untimed(f"r{n}", "closed", 3000, 3100) for n in range(10)]
    quotes = [quote(f"q{n}", f"r{n}", 3001, rfq_creator_id="stranger") for n in range(10)]
    quotes[0] = followed(quotes[0], accepted=3005, confirmed=3006, executed=3021)

    rfqs, by_quote = facts(*closed, *quotes, settings=AS_MAKER)

    states = [rfqs[f"r{n}"]["state"] for n in range(10)]
    assert states == ["executed", *["closed_unknown"] * 9]
    assert all(row["is_decided"] for row in rfqs.values())
    assert not any(row["is_end_upper_bound"] for row in rfqs.values())
    assert by_quote["q1"]["outcome"] == "not_done_unknown"


@pytest.mark.parametrize(
    ("created_s", "swept_s", "state"),
    [
        (3000, None, "open"),
        (3000, 3005, "open"),  # seen open after the sweep began
        (3000, 3100, "closed_unknown"),
        (3200, 3100, "open"),  # created after the sweep
        (3600 - 10_860, None, "open"),
        (3600 - 10_861, None, "closed_unknown"),
    ],
)
def test_what_a_sweep_no_longer_shows_and_what_is_too_old_is_over(
    created_s: float, swept_s: float | None, state: str
) -> None:
    with held(untimed("r1", "open", created_s, created_s + 10)) as connection:
        if swept_s is not None:
            connection.execute("insert into raw.open_sweeps values ($1, 1)", [at(swept_s)])

        rfqs, _ = built(connection, AS_MAKER)

    assert rfqs["r1"]["state"] == state


def test_our_own_open_rfq_is_open_however_old() -> None:
    rfqs, _ = facts(rfq("r1", 3600 - 20_000))

    assert rfqs["r1"]["state"] == "open"


def lost_rival(**changes: Any) -> list[ExchangeObject]:
    """A's quote is accepted at 30 s and executed; B's was last seen open at 10 s."""
    winner = quote("won", "r1", 1, observed_ts=at(120))
    rival = quote("lost", "r1", 2, creator_id="B", no_bid_dollars="0.5400", observed_ts=at(10))
    loser = quote("third", "r1", 3, creator_id="C", no_bid_dollars="0.5300", observed_ts=at(120))
    return [
        rfq("r1", status="closed", updated_ts=at(46), observed_ts=at(120)),
        followed(winner, accepted=30, confirmed=31, executed=46),
        rival | changes,
        followed(loser, cancelled=46),
    ]


def test_a_rival_that_was_lost_before_the_accept_leaves_the_cover_unknown() -> None:
    with held(*lost_rival()) as connection:
        connection.execute("insert into raw.passes values ('received', $1, 1)", [at(60)])

        rfqs, quotes = built(connection, OURS)

    at_accept = ("cover_bid", "n_live_makers_at_accept", "best_yes_bid_at_accept")
    at_accept += ("composite_spread_at_accept", "effective_spread", "cover_savings_dollars")
    assert {rfqs["r1"][name] for name in at_accept} == {None}
    assert rfqs["r1"]["is_cover_unknown"]
    assert (quotes["lost"]["end_cause"], quotes["lost"]["quote_lifetime_s"]) == ("lost", 8.0)
    outcomes = {name: quotes[name]["outcome"] for name in quotes}
    unknown = "not_done_unknown"
    assert outcomes == {"won": "done", "lost": unknown, "third": unknown}


@pytest.mark.parametrize("bid", ["side", "bid on it"])
def test_where_the_bid_that_was_hit_is_not_shown_nobody_knows_who_lost_to_it(bid: str) -> None:
    """B bid too and C came after the accept; D crosses itself, which loses whatever was hit."""
    won = followed(quote("won", "r1", 1), accepted=30, confirmed=31, executed=46)
    won |= {"accepted_side": None} if bid == "side" else {"no_bid_dollars": "0.0000"}
    losers = [
        followed(quote("lost", "r1", 2, creator_id="B"), cancelled=46),
        followed(quote("late", "r1", 31, creator_id="C"), cancelled=46),
        followed(quote("crossed", "r1", 2, creator_id="D", yes_bid_dollars="0.5"), cancelled=46),
    ]

    rfqs, quotes = facts(closed_rfq("r1", 0, 46), won, *losers)

    assert rfqs["r1"]["n_live_makers_at_accept"] is None
    assert {row["n_rival_makers"] for row in quotes.values()} == {None}
    outcomes = {name: quotes[name]["outcome"] for name in ("won", "lost", "late", "crossed")}
    assert list(outcomes.values()) == ["done", "not_done_unknown", "done_away", "done_away"]


def test_rivals_are_counted_where_they_are_seen_and_a_bid_was_hit() -> None:
    """Of our own RFQs r1 was accepted and r2 was not; r3 is a stranger's, which took our quote."""
    ours, theirs = rfq("r1"), untimed("r3", "open", 3000, 3002)
    quotes = [
        *(quote(f"{r}A", r, 1) for r in ("r1", "r2")),
        *(quote(f"{r}B", r, 1, creator_id="B") for r in ("r1", "r2")),
        quote("r3A", "r3", 3001, creator_id="desk", rfq_creator_id="stranger"),
    ]
    quotes[0] = followed(quotes[0], accepted=5, confirmed=6, executed=21)
    quotes[4] = followed(quotes[4], accepted=3005, confirmed=3006, executed=3021)

    rfqs, by_quote = facts(ours, rfq("r2"), theirs, *quotes)

    rivals = [(name, row["n_rival_makers"]) for name, row in sorted(by_quote.items())]
    assert rivals == [("r1A", 1), ("r1B", 1), ("r2A", None), ("r2B", None), ("r3A", None)]
    assert [rfqs[r]["n_live_makers_at_accept"] for r in ("r1", "r2", "r3")] == [2, None, None]


@pytest.mark.parametrize(
    ("pass_s", "changes", "cover"),
    [
        (45, {}, "0.540000"),  # no pass was served after the end: the rival may yet be shown
        (60, {"observed_ts": at(40)}, "0.530000"),  # a later rival, seen open after the accept
        (60, {"yes_bid_dollars": "0.5000"}, "0.530000"),  # crossed: it never stood in the way
    ],
)
def test_the_cover_is_known_where_nobody_was_lost_before_the_accept(
    pass_s: float, changes: dict[str, Any], cover: str
) -> None:
    objects = lost_rival(**changes)
    if changes.get("observed_ts"):
        objects[2]["created_ts"] = at(32)
    with held(*objects) as connection:
        connection.execute("insert into raw.passes values ('received', $1, 1)", [at(pass_s)])

        rfqs, _ = built(connection, OURS)

    assert str(rfqs["r1"]["cover_bid"]) == cover
    assert not rfqs["r1"]["is_cover_unknown"]


@pytest.mark.parametrize("stage", ["cancelled", "accepted", "updated alone"])
def test_a_quote_that_was_read_ended_after_the_moment_that_is_shown_was_not_lost(
    stage: str,
) -> None:
    """The RFQ closed at 46 s. As of 46.5 s the quote, seen open at 10 s, had stood to the end.

    A build as of later goes on from that one and ends where one of everything does.
    """
    opened = quote("q1", "r1", 1, observed_ts=at(10))
    ended = followed(opened, **({"accepted": 47} if stage == "accepted" else {"cancelled": 47}))
    ended |= {"observed_ts": at(60)} | ({"cancelled_ts": None} if stage == "updated alone" else {})
    then = Settings(as_of=MIDNIGHT + timedelta(seconds=46.5), viewer_id="desk")
    with held(closed_rfq("r1", 0, 46), opened, ended) as connection:
        connection.execute("insert into raw.passes values ('received', $1, 1)", [at(60)])

        _, quotes = built(connection, then)
        gone_on = built(connection, OURS)
        connection.execute("drop schema incremental cascade")
        afresh = built(connection, OURS)

    fate = [quotes["q1"][name] for name in ("end_cause", "quote_lifetime_s", "outcome")]
    assert fate == ["rfq_end", 45.0, "not_traded"]
    assert gone_on == afresh


def test_a_quote_that_was_denied_before_its_cancellation_was_due_was_not_lost() -> None:
    """The exchange's clocks disagree: denied at 40 s, it was read cancelled at 47 s."""
    cancelled = followed(quote("q1", "r1", 1, observed_ts=at(30)), cancelled=47)
    then = Settings(as_of=MIDNIGHT + timedelta(seconds=45), viewer_id="desk")
    with held(rfq("r1"), cancelled) as connection:
        connection.execute(
            "insert into raw.tombstones (resource, id, first_missing_ts, gone_ts)"
            " values ('quotes', 'q1', $1, $1)",
            [at(40)],
        )

        _, quotes = built(connection, then)

    assert (quotes["q1"]["end_cause"], quotes["q1"]["outcome"]) == (None, "live")


def test_a_later_sight_of_an_unchanged_quote_says_until_when_it_stood() -> None:
    with held(*lost_rival()) as connection:
        connection.execute("insert into raw.passes values ('received', $1, 1)", [at(60)])
        connection.execute(
            "insert into raw.last_seen values ('quotes', 'lost', $1, $1, 1)", [at(35)]
        )

        rfqs, quotes = built(connection, OURS)

    assert quotes["lost"]["quote_lifetime_s"] == 33.0
    assert str(rfqs["r1"]["cover_bid"]) == "0.540000"


def test_our_cancelled_quote_was_withdrawn_where_its_rfq_lived_on() -> None:
    """Both RFQs show no end; r1 was seen open after the cancellation, r2 was not."""
    objects = []
    for name, seen_s in (("r1", 200), ("r2", 90)):
        objects += [untimed(name, "open", 0, seen_s), untimed(name, "closed", 0, 300)]
        objects.append(followed(quote(name, name, 1, observed_ts=at(310)), cancelled=100))

    _, quotes = facts(*objects, settings=AS_MAKER)

    assert [quotes[name]["end_cause"] for name in ("r1", "r2")] == ["withdrawn", "unknown"]
    assert [quotes[name]["outcome"] for name in ("r1", "r2")] == ["withdrawn", "not_done_unknown"]


def test_confirmed_and_then_cancelled_has_failed_and_the_rfq_goes_on() -> None:
    failed = followed(quote("q1", "r1"), accepted=5, confirmed=6, cancelled=22)

    rfqs, quotes = facts(rfq("r1"), failed)

    assert (quotes["q1"]["outcome"], rfqs["r1"]["state"]) == ("failed", "open")


def test_an_act_after_the_recorded_end_moves_it() -> None:
    """Cancelled at 20 s, yet a quote of 20.6 s was accepted and executed."""
    late = quote("won", "r1", 20.6)
    quotes = [
        followed(late, accepted=21, confirmed=22, executed=37.2),
        followed(quote("before", "r1", 15, creator_id="B"), cancelled=25),
        followed(quote("between", "r1", 21.5, creator_id="C"), cancelled=37.2),
        followed(quote("after", "r1", 37.5, creator_id="D"), cancelled=37.6),
    ]

    rfqs, by_quote = facts(closed_rfq("r1", 0, 20), *quotes)

    held_end = (rfqs["r1"]["end_ts"], rfqs["r1"]["is_end_moved"], rfqs["r1"]["state"])
    assert held_end == (moment(at(37.2)), True, "executed")
    assert (rfqs["r1"]["has_accept"], rfqs["r1"]["n_makers"]) == (True, 3)
    assert [name for name, row in by_quote.items() if row["is_after_close"]] == ["after"]
    assert by_quote["after"]["outcome"] is None
    assert by_quote["before"]["end_cause"] == "withdrawn"


def test_an_accept_alone_moves_the_end_and_fills_nothing() -> None:
    lapsed = followed(quote("q1", "r1", 19), accepted=25)
    cancelled = followed(quote("q2", "r1", 1, creator_id="B"), cancelled=20.05)

    rfqs, quotes = facts(closed_rfq("r1", 0, 20), lapsed, cancelled)

    assert (rfqs["r1"]["end_ts"], rfqs["r1"]["state"]) == (moment(at(25)), "closed_unfilled")
    assert quotes["q1"]["outcome"] == "lapsed"
    assert quotes["q2"]["end_cause"] == "rfq_end"


def test_a_later_act_does_not_undo_a_fill_in_time() -> None:
    """Executed after 22 s; an accept of another quote after 400 s moves the end, not the fill."""
    won = followed(quote("q1", "r1"), accepted=5, confirmed=6, executed=22)
    later = followed(quote("q2", "r1", creator_id="B"), accepted=400)

    rfqs, _ = facts(rfq("r1"), won, later)

    assert rfqs["r1"]["end_ts"] == moment(at(400))
    assert rfqs["r1"]["executed_ts"] == moment(at(22))


def test_a_stranger_is_decided_once_we_have_read_that_it_is_over() -> None:
    """Executed at 3021 s and read so at 3700 s, after the moment that is shown."""
    won = followed(quote("q1", "r1", 3001), accepted=3005, confirmed=3006, executed=3021)
    read_late = won | {"rfq_creator_id": "stranger", "observed_ts": at(3700)}

    rfqs, _ = facts(untimed("r1", "open", 3000, 3002), read_late, settings=AS_MAKER)

    assert (rfqs["r1"]["state"], rfqs["r1"]["is_decided"]) == ("executed", False)
