"""Simulated trades: which quote a requester takes, whether its maker stands by it, and what
follows. One row per accepted quote."""

from __future__ import annotations

import polars as pl

from pipelines.sandbox.behavior import Behavior
from pipelines.sandbox.chance import Chance, Quantiles
from pipelines.sandbox.planning import US
from pipelines.sandbox.shapes import Shape

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
