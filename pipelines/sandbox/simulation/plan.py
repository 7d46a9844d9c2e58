"""Simulated requests and trades: who asked for what and for how long, which quote was taken."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import accumulate

import polars as pl

from pipelines.sandbox.behavior import Behavior
from pipelines.sandbox.clock import to_us
from pipelines.sandbox.listings import SINGLE_MARKETS
from pipelines.sandbox.simulation import shapes
from pipelines.sandbox.simulation.chance import Chance, Quantiles, pick
from pipelines.sandbox.simulation.shapes import Shape

DESK_NUMBER = 1
MAKER_NUMBER = 2
FIRST_STRANGER_NUMBER = 100
US = 1_000_000
BURST_RFQS = 12
BURST_S = 2

_NUMBER = pl.col("number")


def plan_rfqs(
    chance: Chance, shape: Shape, behavior: Behavior, count: int, since: datetime, until: datetime
) -> pl.DataFrame:
    """*count* requests created in [since, until), oldest first, as nobody but time treats them.

    `natural_end_us` is when the requester deletes or replaces the RFQ, or when it expires.
    """
    rfqs = (
        pl.select(number=pl.int_range(count, dtype=pl.UInt32))
        .with_columns(created_us=_arrivals(chance, shape, count, since, until))
        .with_columns(
            requester=_requesters(chance, shape, count),
            market=_markets(chance, shape, count),
            **_sizes(chance, shape),
            excludes_fees=chance.uniform("excludes", _NUMBER) < shape.excludes_fees_share,
            obscured=chance.uniform("obscured", _NUMBER) < shape.obscured_share,
        )
        .with_columns(
            excludes_fees=pl.col("excludes_fees") & (pl.col("target_cost_ticks") > 0),
            wants_trade=chance.uniform("wants", _NUMBER)
            < pl.when(pl.col("requester") == DESK_NUMBER)
            .then(shape.desk_trade_share)
            .otherwise(shape.stranger_trade_share),
        )
    )
    return rfqs.with_columns(decide_us=_decisions(chance)).pipe(_with_natural_end, chance, behavior)


def _arrivals(
    chance: Chance, shape: Shape, count: int, since: datetime, until: datetime
) -> pl.Expr:
    """Arrival times of a Poisson process whose rate follows the hour of the week, with bursts."""
    hours = max(1, -(-(until - since) // timedelta(hours=1)))
    starts = [since + timedelta(hours=hour) for hour in range(hours)]
    weights = [shapes.HOUR_WEIGHTS[t.hour] * shapes.DAY_WEIGHTS[t.weekday()] for t in starts]
    reached = [0.0, *accumulate(weights)]
    span_us = to_us(until) - to_us(since)
    points = {total / reached[-1]: hour / hours for hour, total in enumerate(reached)}
    burst, is_burst, after_us = _bursts(chance, shape, count)
    moment = chance.uniform("arrival", _NUMBER)
    moment = pl.when(is_burst).then(chance.uniform("burst at", burst)).otherwise(moment)
    share = Quantiles(points, is_logarithmic=False).at(moment)
    passed_us = (share * span_us).cast(pl.Int64) + pl.when(is_burst).then(after_us).otherwise(0)
    return (to_us(since) + passed_us.clip(0, span_us - 1)).sort()


def _bursts(chance: Chance, shape: Shape, count: int) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """The burst each request would belong to, whether it does, and how far into it it comes."""
    bursts = max(1, round(count * shape.burst_share / BURST_RFQS))
    burst = (chance.uniform("burst which", _NUMBER) * bursts).cast(pl.UInt64)
    is_burst = chance.uniform("burst", _NUMBER) < shape.burst_share
    after_us = (chance.uniform("burst after", _NUMBER) * BURST_S * US).cast(pl.Int64)
    return burst, is_burst, after_us


def _requesters(chance: Chance, shape: Shape, count: int) -> pl.Expr:
    """A few requesters ask for much: the ten busiest of 12,000 send about a seventh."""
    strangers = max(40, count * 6 // 100)
    rank = chance.uniform("requester", _NUMBER) ** 3.8 * strangers
    return (
        pl.when(chance.uniform("desk", _NUMBER) < shape.desk_share)
        .then(DESK_NUMBER)
        .otherwise(FIRST_STRANGER_NUMBER + rank.cast(pl.UInt32))
        .cast(pl.UInt32)
    )


def _markets(chance: Chance, shape: Shape, count: int) -> pl.Expr:
    """Single markets from -1 down; combos carry their number of legs in the lowest 5 bits."""
    popular = max(20, count // 40)
    shared = (chance.uniform("popular which", _NUMBER) ** 2 * popular).cast(pl.Int64)
    combo = (
        pl.when(chance.uniform("popular", _NUMBER) < shape.popular_share)
        .then(shared)
        .otherwise(_NUMBER.cast(pl.Int64) + popular)
    )
    legs = pick(shapes.LEGS, chance.uniform("legs", combo))
    single = -1 - (chance.uniform("single which", _NUMBER) * len(SINGLE_MARKETS)).cast(pl.Int64)
    is_single = chance.uniform("single", _NUMBER) < shape.single_share
    return pl.when(is_single).then(single).otherwise(combo * 32 + legs)


def _sizes(chance: Chance, shape: Shape) -> dict[str, pl.Expr]:
    usual = pick(shapes.TARGET_COST_CENTS, chance.uniform("cost", _NUMBER))
    odd = shapes.ODD_TARGET_COST_CENTS.at(chance.uniform("odd cost", _NUMBER)).cast(pl.Int64)
    is_odd = chance.uniform("odd", _NUMBER) < shape.odd_size_share
    contracts = shapes.CONTRACTS_HUNDREDTHS.at(chance.uniform("size", _NUMBER)).cast(pl.Int64)
    is_target = chance.uniform("mode", _NUMBER) < shape.target_cost_share
    cents = pl.when(is_odd).then(odd).otherwise(usual)
    return {
        "target_cost_ticks": pl.when(is_target).then(cents * 100).otherwise(0),
        "contracts_hundredths": pl.when(is_target).then(0).otherwise(contracts),
    }


def _decisions(chance: Chance) -> pl.Expr:
    """When a requester who wants to trade first looks for a quote to take."""
    delay_us = (shapes.DECISION_S.at(chance.uniform("decision", _NUMBER)) * US).cast(pl.Int64)
    return pl.when("wants_trade").then(pl.col("created_us") + delay_us)


def _with_natural_end(rfqs: pl.DataFrame, chance: Chance, behavior: Behavior) -> pl.DataFrame:
    """Add `natural_end_us` and whether that end is a deletion (`is_deleted`) or the expiry."""
    lifetime_s = shapes.RFQ_LIFETIME_S.at(chance.uniform("lifetime", _NUMBER))
    patience_us = pl.when(pl.col("market") < 0).then(100 * US).otherwise(20 * US)
    wanted_us = pl.max_horizontal(
        pl.col("created_us") + (lifetime_s * US).cast(pl.Int64), pl.col("decide_us") + patience_us
    )
    expiry_us = pl.col("created_us") + round(behavior.rfq_lifetime_s * US)
    # One open RFQ per requester and market: the next one replaces this one.
    replaced_us = pl.col("created_us").shift(-1).over("requester", "market")
    return rfqs.with_columns(
        natural_end_us=pl.min_horizontal(wanted_us, expiry_us, replaced_us),
    ).with_columns(is_deleted=pl.col("natural_end_us") < expiry_us)


ATTEMPTS = 3
# From an accept that came to nothing to the next look.
PAUSE_US = 500_000

_CONFIRM_S = Quantiles({0: 0.1, 0.5: 0.72, 0.9: 1.25, 0.99: 1.9, 0.997: 3.5, 1: 6})
_RFQ = pl.col("rfq")


def plan_trades(
    chance: Chance, shape: Shape, behavior: Behavior, rfqs: pl.DataFrame, quotes: pl.DataFrame
) -> pl.DataFrame:
    """The accepts on *quotes*, at most three on one RFQ and never two at a time.

    `confirmed_us` is null where the accept lapsed; `done_us` is the execution or, where
    `has_failed`, its failure.
    """
    waiting = rfqs.filter("wants_trade").select(rfq="number", look_us="decide_us")
    rounds: list[pl.DataFrame] = []
    used = quotes.select("rfq", "maker", "version").clear()
    for attempt in range(ATTEMPTS):
        stream = Round(chance, shape, behavior, attempt)
        accepts = stream.accepts(waiting, quotes.join(used, on=used.columns, how="anti"))
        rounds.append(accepts)
        used = pl.concat([used, accepts.select(used.columns)])
        waiting = stream.still_waiting(accepts)
    return pl.concat(rounds)


class Round:
    """One look at the quotes by every requester who still wants to trade."""

    def __init__(self, chance: Chance, shape: Shape, behavior: Behavior, attempt: int) -> None:
        self._chance = chance
        self._shape = shape
        self._behavior = behavior
        self._attempt = attempt

    def accepts(self, waiting: pl.DataFrame, quotes: pl.DataFrame) -> pl.DataFrame:
        """The quotes taken in this round and what comes of each."""
        side = pl.when(self._draw("side") < self._shape.buy_yes_share)
        return (
            quotes.lazy()
            .join(waiting.lazy(), on="rfq", validate="m:1")
            .with_columns(accepted_us=self._look_us(), takes_no=side.then(True).otherwise(False))
            .with_columns(bid=pl.when("takes_no").then("no_bid_ticks").otherwise("yes_bid_ticks"))
            .filter(pl.col("bid") > 0, self._is_live(), self._has_time())
            # Two visitors can quote at the same instant; the one who came first has it.
            .sort(
                *("rfq", self._preference(), "created_us", "maker", "version"),
                descending=[False, True, False, False, False],
            )
            .unique("rfq", keep="first", maintain_order=True)
            .with_columns(accepted_side=pl.when("takes_no").then(2).otherwise(1).cast(pl.UInt8))
            .pipe(self.last_look)
            .select(
                *("rfq", "maker", "version", "market", "natural_end_us"),
                *("accepted_side", "accepted_us", "confirmed_us", "done_us", "has_failed"),
            )
            .collect()
        )

    def last_look(self, accepted: pl.LazyFrame) -> pl.LazyFrame:
        """Add whether and when the makers of the quotes *accepted* confirm, and what follows."""
        return accepted.with_columns(confirmed_us=self._confirmed_us()).with_columns(
            done_us=pl.col("confirmed_us") + self._delay_us(),
            has_failed=self._draw("fails") < self._shape.failed_execution_share,
        )

    def still_waiting(self, accepts: pl.DataFrame) -> pl.DataFrame:
        """Requesters whose accept lapsed or failed look again a little later."""
        lapse_us = pl.col("accepted_us") + self._window_us()
        return accepts.filter(pl.col("done_us").is_null() | pl.col("has_failed")).select(
            "rfq", look_us=pl.coalesce("done_us", lapse_us) + PAUSE_US
        )

    def _draw(self, stream: str) -> pl.Expr:
        return self._chance.uniform(f"{stream} {self._attempt}", _RFQ)

    def _look_us(self) -> pl.Expr:
        """Nobody can take a quote before there is one, nor see it the instant it is made."""
        first_us = pl.col("created_us").min().over("rfq")
        reaction_us = (self._draw("reaction") * 400_000).cast(pl.Int64) + 80_000
        return pl.max_horizontal("look_us", first_us) + reaction_us

    def _is_live(self) -> pl.Expr:
        is_kept = pl.col("maker_end_us").is_null() | (
            pl.col("maker_end_us") > pl.col("accepted_us")
        )
        return (pl.col("created_us") < pl.col("accepted_us")) & is_kept

    def _has_time(self) -> pl.Expr:
        """The RFQ lasts until the trade is through, as no requester deletes what it accepted."""
        end_us = pl.col("accepted_us") + self._window_us() + self._delay_us()
        return end_us < pl.col("natural_end_us")

    def _preference(self) -> pl.Expr:
        """The best bid, or for requesters who take the first quote only its time counts."""
        takes_first = self._draw("first") < self._shape.take_first_share
        return pl.when(takes_first).then(0).otherwise(pl.col("bid"))

    def _confirmed_us(self) -> pl.Expr:
        """Last look: within the window or, as null, not at all."""
        answer_us = (_CONFIRM_S.at(self._draw("confirm time")) * US).cast(pl.Int64)
        stands = (self._draw("confirms") < pl.col("confirm_share")) & (
            answer_us <= self._window_us()
        )
        return pl.when(stands).then(pl.col("accepted_us") + answer_us)

    def _window_us(self) -> pl.Expr:
        behavior = self._behavior
        return _by_market(behavior.confirm_window_s, behavior.combo_confirm_window_s)

    def _delay_us(self) -> pl.Expr:
        behavior = self._behavior
        return _by_market(behavior.execution_delay_s, behavior.combo_execution_delay_s)


def _by_market(single_s: float, combo_s: float) -> pl.Expr:
    is_single = pl.col("market") < 0
    return pl.when(is_single).then(round(single_s * US)).otherwise(round(combo_s * US))
