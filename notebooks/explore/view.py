"""What the charts of a page are of: an open file, its scope, and what the address asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any

import duckdb

from notebooks.explore.address import Address
from notebooks.report.chart import Wanted
from notebooks.report.charts import wanted_charts
from notebooks.report.drawing import rates
from notebooks.report.scope import Scope


@dataclass(frozen=True, slots=True)
class View:
    """One rendering of a page."""

    connection: duckdb.DuckDBPyConnection
    scope: Scope
    address: Address

    def of_report(self, name: str, hatched: Mapping[date, str] | None = None) -> Wanted:
        """The report's chart of that name; days that are *hatched* have gaps."""
        found = {each.name: each for each in wanted_charts(self.scope, self.address.unit)}[name]
        if hatched is None:
            return found
        days = list(self.scope.window.days)
        rate = {"fills_by_day": "fill_rate", "hits_by_day": "hit_ratio"}[name]
        draw: Any = partial(rates, by="day", rate=rate, color="kind", days=days, hatched=hatched)
        note = f"{found.note} Hatched: the UTC day of that date has gaps in its record, or none."
        return replace(found, draw=draw, note=note)

    def has(self, name: str) -> bool:
        """Whether the report has a chart of that name for this account."""
        return any(each.name == name for each in wanted_charts(self.scope, self.address.unit))

    @property
    def gaps(self) -> dict[date, str]:
        """The days of the picture whose record has gaps, and what a pointer is told of each."""
        rows = self.connection.execute(
            "select cohort_date, hours_observed, hours_elapsed from marts.trust"
        ).fetchall()
        seen = {day: (observed, elapsed) for day, observed, elapsed in rows}
        observed_of = {day: seen.get(day, (0.0, 24.0)) for day in self.scope.window.days}
        return {
            day: f"{observed:.1f} of {elapsed:.1f} hours observed"
            for day, (observed, elapsed) in observed_of.items()
            if observed < elapsed
        }
