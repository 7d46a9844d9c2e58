"""Runs every five minutes on a market that goes on: what is shown beside what really happened."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines import job
from pipelines.kalshi.extraction import LoadSettings
from pipelines.sandbox import ManualClock, Market, Shape, unfold
from pipelines.store.database import Database
from tests.running import access_of, build_few, ignore, read

RUNS = 4
EVERY = timedelta(minutes=5)
MICROSECOND = timedelta(microseconds=1)
OVER = ("rfq_deleted", "rfq_expired", "rfq_executed")
LIFETIMES_S = {"5_20_s": (5, 20), "20_60_s": (20, 60), "60_600_s": (60, 600)}


@dataclass
class Life:
    """An own RFQ as it really was: its times, the first quote of each maker, and who won."""

    created: datetime
    ended: datetime | None = None
    first_quotes: dict[str, datetime] = field(default_factory=dict)
    winner: str | None = None

    def lived_within(self, least_s: float, most_s: float) -> bool:
        return self.ended is not None and (
            timedelta(seconds=least_s) <= self.ended - self.created < timedelta(seconds=most_s)
        )

    def watched_until(self, passes: list[datetime]) -> datetime | None:
        """The last pass that was served 5 s or more after the creation and before the end."""
        in_time = (
            served
            for served in passes
            if served >= self.created + timedelta(seconds=5)
            and (self.ended is None or served + timedelta(seconds=1) <= self.ended)
        )
        return max(in_time, default=None)


def own_lives(market: Market, owner: str) -> list[Life]:
    """Every RFQ of *owner*, from the sandbox's record of all that happened."""
    return list(_lives(market, owner.__eq__).values())


def quoted_lives(market: Market, maker: str) -> dict[str, Life]:
    """Every RFQ of somebody else that *maker* has quoted, by id, from the same record."""
    lives = _lives(market, maker.__ne__)
    return {rfq_id: life for rfq_id, life in lives.items() if maker in life.first_quotes}


def _lives(market: Market, is_owner: Callable[[str], bool]) -> dict[str, Life]:
    lives: dict[str, Life] = {}
    for event in market.events:
        at = datetime.fromtimestamp(0, UTC) + event.at_us * MICROSECOND
        if event.kind == "rfq_created" and is_owner(event.party_id):
            lives[event.rfq_id] = Life(at)
        elif life := lives.get(event.rfq_id):
            _go_on(life, event.kind, event.party_id, at)
    return lives


def _go_on(life: Life, kind: str, party_id: str, at: datetime) -> None:
    if kind in OVER:
        life.ended = at
    elif kind == "quote_created":
        life.first_quotes.setdefault(party_id, at)
    elif kind == "quote_executed":
        life.winner = party_id


def hits(lives: list[Life]) -> tuple[int, int]:
    """How often makers won an RFQ, of how often they answered one that is over."""
    over = [life for life in lives if life.ended is not None]
    n_won = sum(life.winner is not None for life in over)
    return n_won, sum(len(life.first_quotes) for life in over)


def test_the_hit_ratio_is_of_what_was_watched_and_says_how_much_that_is(
    exchange: Any,
    market: Market,
    clock: ManualClock,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Most RFQs live between two runs, and of those that were deleted the losers are gone.

    A ratio over all that was read would take the losers that nobody saw for none.
    """
    build_few(monkeypatch.setattr, "live_figures", "watched_by_day")
    unfold(market, seed=5, rfqs_per_day=14_000, shape=Shape(desk_share=0.9))
    desk = market.account("desk")
    passes = []
    for _ in range(RUNS):
        clock.advance(EVERY.total_seconds())
        passes.append(clock.now())
        job.run(database, access_of(exchange, desk, LoadSettings(history=EVERY)), ignore)

    lives = own_lives(market, desk.communications_id)
    watched = [life for life in lives if life.watched_until(passes)]
    live = _hit_ratio_shown(database)
    (n_won_read, n_read), *_ = read(
        database, "select sum(n_won), sum(n_contests) from marts.watched_by_day"
    )

    n_won, n_answers = hits(watched)
    assert live["capture"] == "live"
    assert live["value"] * live["n"] == pytest.approx(n_won)
    # Of a watched RFQ only the answers are missing that came after its last pass and vanished.
    assert _answers_seen(watched, passes) <= live["n"] <= n_answers
    for name, edges in LIFETIMES_S.items():
        of_lifetime = [life for life in lives if life.lived_within(*edges)]
        share = sum(life in watched for life in of_lifetime) / len(of_lifetime)
        assert live[f"share_watched_{name}"] == pytest.approx(share)

    n_won, n_answers = hits(lives)
    truth = n_won / n_answers
    assert n_won_read == n_won
    assert n_read < 0.6 * n_answers
    assert abs(live["value"] - truth) < abs(n_won_read / n_read - truth) / 2


def _hit_ratio_shown(database: Database) -> dict[str, Any]:
    with database.reading() as connection:
        shown = connection.sql("from marts.live_figures where figure = 'hit_ratio'")
        return dict(zip(shown.columns, shown.fetchall()[0], strict=True))


def _answers_seen(watched: list[Life], passes: list[datetime]) -> int:
    """How many makers had answered RFQs that are over by the last pass over them."""
    until = {id(life): life.watched_until(passes) or life.created for life in watched}
    return sum(
        first <= until[id(life)]
        for life in watched
        if life.ended is not None
        for first in life.first_quotes.values()
    )
