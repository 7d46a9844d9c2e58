"""What a pass is, what it hands over as it reads, and how it ends.

A pass reads and decides; it writes nothing. It yields what it met, and whoever loops over it puts
the rows into raw, folds the report of them and, at the end, stores the pass's state.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from pipelines.kalshi.client.errors import ExchangeError, ExchangeUnavailable, RequestRefused
from pipelines.kalshi.entities import Entity
from pipelines.kalshi.extraction import Extraction
from pipelines.kalshi.pages import Rejected
from pipelines.kalshi.paging import Batch, Fetch
from pipelines.kalshi.report import PassReport, Sight
from pipelines.kalshi.watermark import Watermark, Window

# What concerns one list and not the whole exchange.
ERRORS_OF_ONE_LIST = (ExchangeUnavailable, RequestRefused)


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer to a `Batch`: numbers that stand for what it showed, and how many were new.

    Equal numbers stand for equal versions, or for equal rejected rows.
    """

    versions: Sequence[int]
    """One for each row, in order, that was not purged."""
    rejected: frozenset[int]
    new_versions: int


@dataclass(frozen=True, slots=True)
class Swept:
    """What the sweeps of *window* (None: of a whole list) came to.

    The watermark earned, whether two sweeps agreed, and `served_ts`: the exchange's clock on the
    first page of the sweep that verified the others. What was there then was shown, by it or by the
    one before. The answer to it is whether the load is full.
    """

    earned_ts: datetime | None
    is_verified: bool
    served_ts: datetime | None = None
    sweeps: int = 0
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row for the raw table of that name."""

    table: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SeenAgain:
    """When rows that are known and not over were last seen, by resource and id."""

    sights: Mapping[tuple[str, str], Sight]


@dataclass(frozen=True, slots=True)
class Ending:
    """What comes next: nothing, more of the same pass in the next load, or what failed."""

    has_more: bool = False
    failure: ExchangeError | None = None
    ends_run: bool = False
    """Whether what failed concerns the whole exchange: no later pass would fare better."""
    is_verified: bool = True
    is_order_held: bool | None = None
    has_read: bool = True
    """False for a pass that was not due or found nothing to ask for: it leaves no report."""
    keeps_state: bool = True
    """False where the same pass, asked for again, is to begin anew."""
    ids: frozenset[str] = frozenset()
    """The records that were asked for one by one; once in a run is enough."""


DONE = Ending()
NOT_DUE = Ending(has_read=False)
Step: TypeAlias = Batch | Swept | Rejected | Row | SeenAgain
Steps: TypeAlias = Generator[Step, Any, Ending]


@dataclass(frozen=True, slots=True)
class Pass:
    """One way to read a list, or the records of one entity by id."""

    name: str
    """As it stands in `raw.extraction_runs` and in the key of its state."""
    resource: str
    """The dlt resource that keeps its state."""
    entity: Entity
    read: "Callable[[Reading], Steps]"
    filters: Mapping[str, str] = field(default_factory=dict)
    """What the list is asked for besides a window."""
    names_span: bool = False
    """Whether it has a state for each span that was asked for."""
    sweeps: int = 0
    """How often the list is read in any case; 0 where that is counted as it happens."""
    is_fleeting: bool = False
    """Whether what it reads may vanish within the hour."""
    is_ours: bool = False
    """Whether it lists what is ours: every load of a run comes to it again."""


@dataclass(slots=True)
class Reading:
    """One pass under way: the run, the pass's own state (a copy), and its report so far."""

    extraction: Extraction
    pass_: Pass
    state: dict[str, Any]
    watermark: Watermark
    report: PassReport
    watermark_of: Callable[[str], Watermark]
    """That of another pass of the same resource."""

    def fetch(self, **window: int | None) -> Fetch:
        """Return what asks for one page of the list at a cursor."""
        entity, reach = self.pass_.entity, self.extraction.reach
        ask = getattr(self.extraction.reader, entity.list_method)
        limit = reach.rows_per_page(entity.key)
        return lambda cursor: ask(cursor=cursor, limit=limit, **self.pass_.filters, **window)
