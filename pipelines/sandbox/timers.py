"""Things that are due later. Nothing runs in the background: whoever looks at the market first
lets everything happen that fell due, each at its own instant."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

Action = Callable[[int], None]
"""Called with the instant it was due, in microseconds."""


class Timers:
    """Actions by due time; equal times in the order they were set."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, Action]] = []
        self._ticket = itertools.count()

    def set(self, due_us: int, action: Action) -> None:
        heapq.heappush(self._due, (due_us, next(self._ticket), action))

    def run_until(self, now_us: int) -> None:
        """Run what is due, including what those actions set."""
        while self._due and self._due[0][0] <= now_us:
            due_us, _, action = heapq.heappop(self._due)
            action(due_us)
