"""When a run publishes: what is ours before the market is complete, and what copying allows.

How it is built and put in place is in `building`.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import duckdb

from pipelines.building import Outcome, Work, build_and_publish, lost_rows, shown_moments, work_on
from pipelines.kalshi.extraction import Extraction, Limits
from pipelines.kalshi.moments import last_shown
from pipelines.kalshi.passes import PASSES
from pipelines.operations import recording
from pipelines.spans import told_moment
from pipelines.store.errors import DataRefused
from pipelines.store.invariants import demand_few_rejected
from pipelines.store.publish import copies_from, copy_seconds, is_due_again

MARKET = "rfqs_market"
OURS = frozenset(each.name for each in PASSES if each.is_ours)
_log = logging.getLogger(__name__)


def _cursor(extraction: Extraction) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
    return extraction.connection.cursor()


@dataclass
class Publisher:
    """Publishes what one run loads, as often as it is worth its while."""

    begun: Work
    account: str | None
    maturity_s: float
    cursor_of: Callable[[Extraction], AbstractContextManager[duckdb.DuckDBPyConnection]] = _cursor
    """What is published before the end is built by, as the connection itself loads."""
    _goes_on: Work | None = field(init=False)

    def __post_init__(self) -> None:
        self._goes_on = self.begun

    @property
    def work(self) -> Work:
        """What is worked on now, with what was published last: looked at again after each time."""
        if self._goes_on is None:
            begun = self.begun
            self._goes_on = work_on(begun.database, begun.directory, begun.raw)
        return self._goes_on

    def at_the_end(
        self,
        connection: duckdb.DuckDBPyConnection,
        new_versions: dict[str, int],
        limits: Limits,
        *,
        afresh: bool = False,
    ) -> Outcome:
        """Build and publish, unless copying the published file would take too much of the time.

        Then what was loaded is published by a later run, and this one says from when on.
        """
        from_ts = None if afresh or self.work.last is None else copies_from(connection)
        if from_ts is None:
            return self._publish(connection, new_versions, limits, afresh=afresh)
        demand_few_rejected(connection, limits)
        said = (
            f"what was loaded is published by the first run from {told_moment(from_ts)} UTC on: "
            f"copying the published file took {copy_seconds(connection):.0f} s, and may take a "
            "tenth of the time; on XFS and btrfs it takes none"
        )
        _log.info("%s", said, extra={"event": "not_published"})
        recording.remark(said)
        return Outcome(new_versions, {}, shown_moments(connection).as_of)

    def between(self, extraction: Extraction) -> None:
        """Publish what is ours while the market's list is being read, if that is due again.

        What the rules refuse is said, and refused again at the end of the run.
        """
        is_of_market = extraction.reach.scope == "market"
        if not is_of_market or MARKET in extraction.finished:
            return
        with self.cursor_of(extraction) as connection:
            if is_due_again(connection) and self._has_news(connection, extraction):
                try:
                    self.publish_ours(connection, extraction, "before the market's is read")
                except DataRefused as refusal:
                    _log.warning("%s", refusal)

    def after_failure(self, extraction: Extraction) -> None:
        """Publish what is ours though a list has failed."""
        with self.cursor_of(extraction) as connection:
            may_copy = self.work.last is None or copies_from(connection) is None
            if may_copy and self._has_news(connection, extraction):
                self.publish_ours(connection, extraction, "though a list failed")

    def publish_ours(
        self, connection: duckdb.DuckDBPyConnection, extraction: Extraction, when: str
    ) -> None:
        """Publish what is held."""
        _log.info("what your own lists show is published %s", when)
        self._publish(connection, {}, extraction.limits)

    def _has_news(self, connection: duckdb.DuckDBPyConnection, extraction: Extraction) -> bool:
        """Whether what is ours was read, up to a later moment than was published.

        Where raw has lost rows that were published, the end of a run that reads them again is to
        publish.
        """
        if not extraction.finished >= OURS:
            return False
        shown = last_shown(connection)
        is_later = shown is None or shown_moments(connection).as_of > shown
        return is_later and not lost_rows(connection, self.work)

    def _publish(
        self,
        connection: duckdb.DuckDBPyConnection,
        new_versions: dict[str, int],
        limits: Limits,
        *,
        afresh: bool = False,
    ) -> Outcome:
        outcome = build_and_publish(
            *(connection, self.work, new_versions, limits),
            account=self.account,
            maturity_s=self.maturity_s,
            afresh=afresh,
        )
        self._goes_on = None
        return outcome
