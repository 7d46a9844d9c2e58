"""The facts of one evaluated data set, cut the ways that the metrics need them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

import polars as pl

from transforms.definitions.clocks import CAPTURES, causes, incidence, observations
from transforms.definitions.populations import is_live, is_own, is_terminal, is_timely
from transforms.settings import Settings

Number = int | Decimal | Fraction


@dataclass(frozen=True)
class Sample:
    """Fact marts of one data set. Orphans are in `accepts` and `executions`, in nothing else."""

    rfqs: pl.DataFrame
    all_quotes: pl.DataFrame
    settings: Settings
    fills: Sequence[Mapping[str, Any]] | None = None

    @cached_property
    def live(self) -> "Sample":
        """What was watched: quote figures are of it."""
        return self._captured(is_live())

    @cached_property
    def timely(self) -> "Sample":
        """What was watched or read in time: fill rates are of it."""
        return self._captured(is_timely())

    def _captured(self, of: pl.Expr) -> "Sample":
        return replace(self, rfqs=self.rfqs.filter(of), all_quotes=self.all_quotes.filter(of))

    @cached_property
    def quotes(self) -> pl.DataFrame:
        """Quotes on known RFQs, ours or not. One row per quote."""
        return self.all_quotes.filter(~pl.col("is_orphan"))

    @cached_property
    def own_rfqs(self) -> pl.DataFrame:
        """RFQs seen with the requester's eyes: every quote on them is visible."""
        return self.rfqs.filter(is_own())

    @cached_property
    def rfqs_of_others(self) -> pl.DataFrame:
        """RFQs of others that were open when first seen: an execution reveals its requester."""
        return self.rfqs.filter(~is_own(), "is_first_seen_open")

    @cached_property
    def own_quotes(self) -> pl.DataFrame:
        """Quotes on our own RFQs, every version."""
        return self.quotes.filter(is_own())

    @cached_property
    def responses(self) -> pl.DataFrame:
        """Quotes on our own RFQs that count as an answer."""
        return self.own_quotes.filter("is_valid_response")

    @cached_property
    def effective(self) -> pl.DataFrame:
        """The last version of each maker on each of our own RFQs."""
        return self.own_quotes.filter("is_effective")

    @cached_property
    def accepts(self) -> pl.DataFrame:
        """Accepted quotes on our own RFQs, those included whose RFQ is gone."""
        return self.all_quotes.filter(is_own(), "has_accept")

    @cached_property
    def executions(self) -> pl.DataFrame:
        """Executed quotes on our own RFQs, those included whose RFQ is gone."""
        return self.accepts.filter(pl.col("executed_ts").is_not_null())

    @cached_property
    def trades(self) -> pl.DataFrame:
        """The execution that counts of each of our own RFQs: of several the first accepted."""
        return self.executions.filter("is_reference_accept")

    @cached_property
    def ended_quotes(self) -> pl.DataFrame:
        """Quotes on our own RFQs whose fate is sealed: filled, or closed unfilled."""
        ended = self.own_rfqs.filter(is_terminal()).select("rfq_id")
        return self.own_quotes.join(ended, on="rfq_id", how="semi")

    @cached_property
    def matured(self) -> pl.DataFrame:
        """Our own RFQs old enough to be judged."""
        return self.own_rfqs.filter("is_matured")

    def curve(self, clock: str, cause: str) -> pl.DataFrame:
        """The incidence of *cause* over all legs, at exact event times, in order of time."""
        captured = self._observed.filter(pl.col("capture").is_in(CAPTURES[clock]))
        pooled = captured.with_columns(n_legs=pl.lit(0, dtype=pl.Int64), capture=pl.lit("any"))
        of_clock = incidence(pooled.filter(clock=clock).lazy(), causes(self.settings))
        return of_clock.filter(pl.col("cause") == cause).sort("time_s").collect()

    @cached_property
    def _observed(self) -> pl.DataFrame:
        return observations(self.rfqs.lazy(), self.all_quotes.lazy(), self.settings).collect()


def rate(part: Number, whole: Number) -> float | None:
    """Return part / whole, None for an empty whole: no data is not a rate of 0."""
    return None if whole == 0 else float(Fraction(part) / Fraction(whole))


def share(rows: pl.DataFrame, condition: pl.Expr | str) -> float | None:
    """Return the share of *rows* that meet *condition*, None for no rows."""
    return rate(rows.filter(condition).height, rows.height)


def exact_sum(values: pl.Series) -> Fraction:
    """Return the sum of decimals without rounding."""
    return sum((Fraction(value) for value in values.drop_nulls()), Fraction(0))


def quantile(values: pl.Series, share: float) -> float | None:
    """Return the linearly interpolated quantile, None of nothing."""
    return values.quantile(share, interpolation="linear")


def concentration(weights: Sequence[Number]) -> float | None:
    """Return the Herfindahl-Hirschman index: the sum of squared shares, None of nothing."""
    total = sum(weights, Fraction(0))
    return rate(sum((Fraction(weight) ** 2 for weight in weights), Fraction(0)), total**2)


def by_id(rows: pl.DataFrame, key: str, column: str) -> dict[str, Any]:
    """Return {id: value} in order of id: decimals as floats, NULL as None."""
    values = (_plain(value) for value in rows[column])
    return dict(sorted(zip(rows[key], values, strict=True)))


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
