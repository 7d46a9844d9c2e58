"""Misbehavior on demand. Everything is off until set; counters run down as they are used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Malformation = Literal["html", "truncated", "not_json", "missing_list", "null_list"]
MALFORMATIONS: tuple[Malformation, ...] = (
    "html",
    "truncated",
    "not_json",
    "missing_list",
    "null_list",
)


@dataclass(slots=True)
class Faults:
    """Set fields at any time, from a test or through `POST /sandbox/faults`. Pages count from 1."""

    latency_s: float = 0.0
    """Wait before each answer."""
    statuses: deque[int] = field(default_factory=deque)
    """Answer the next calls with these instead (429, 500, 503, 504 ...), one call each; 0 lets a
    call through."""
    malformed: deque[Malformation] = field(default_factory=deque)
    """Spoil the bodies of the next list answers, one each."""
    before_page: dict[int, Callable[[], None]] = field(default_factory=dict)
    """Run once before page N of the next list that reaches it: page drift by script."""
    cursor_expires_after_page: int | None = None
    """Cursors of later pages are refused with 400."""
    cursor_loops_at_page: int | None = None
    """The cursor on this page leads back to this page."""
    repeated_page: int | None = None
    """The page after this one holds the same rows again."""
    empty_page: int | None = None
    """This page is empty but has a cursor; the rows follow on the next."""
    late_visibility_s: float = 0.0
    """New rows show up in lists only this long after their created_ts."""
    clock_step_s: float = 0.0
    """Added to the Date header and to the clock that signatures are checked against."""
    unknown_field: str | None = None
    """A field of this name on every listed row."""
    unknown_status: str | None = None
    """The status of the first row of every page."""
    vanished: set[str] = field(default_factory=set)
    """Ids of RFQs and quotes that nobody can find any more."""
    stale_reads: int = 0
    """How many of the next list calls are answered by a replica that stopped at
    `Market.fall_behind`."""
    failing_executions: int = 0
    """How many of the next executions end as cancelled with reason "execution failed"."""

    def clear(self) -> None:
        """Behave again."""
        fresh = Faults()
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    def next_status(self) -> int:
        """The status to answer the present call with, 0 for none."""
        return self.statuses.popleft() if self.statuses else 0

    def next_malformation(self) -> Malformation | None:
        return self.malformed.popleft() if self.malformed else None

    def reach_page(self, number: int) -> None:
        """Run the script that waits for this page."""
        script = self.before_page.pop(number, None)
        if script is not None:
            script()
