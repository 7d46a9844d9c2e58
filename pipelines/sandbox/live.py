"""Rows that can still change, as objects, always in list order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from typing import Generic, Self, TypeVar

from pipelines.sandbox.queries import Key
from pipelines.sandbox.rows import Quote, Rfq

RowT = TypeVar("RowT", Rfq, Quote)


class LiveRows(Generic[RowT]):
    """Rows by id, iterable last-updated-first from any place."""

    def __init__(self) -> None:
        self._by_id: dict[str, RowT] = {}
        self._order: list[Key] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[RowT]:
        return iter(self._by_id.values())

    def get(self, row_id: str) -> RowT | None:
        return self._by_id.get(row_id)

    def add(self, row: RowT) -> None:
        self._by_id[row.id] = row
        insort(self._order, (-row.updated_us, row.id))

    def extend(self, rows: list[RowT]) -> None:
        """Add rows; many at once cost one sort."""
        if len(rows) <= 1:
            for row in rows:
                self.add(row)
            return
        self._by_id |= {row.id: row for row in rows}
        self._order = sorted((-row.updated_us, row.id) for row in self._by_id.values())

    def remove(self, row: RowT) -> None:
        del self._by_id[row.id]
        del self._order[bisect_left(self._order, (-row.updated_us, row.id))]

    def touch(self, row: RowT, updated_us: int) -> None:
        """Set the row's updated time and move it to its new place."""
        self.remove(row)
        row.updated_us = updated_us
        self.add(row)

    def copy(self, duplicate: Callable[[RowT], RowT]) -> Self:
        """The same rows as they are now, untouched by what happens to these."""
        twin = type(self)()
        twin.extend([duplicate(row) for row in self])
        return twin

    def after(self, key: Key | None) -> Iterator[RowT]:
        """Rows behind *key* in list order; all of them without one."""
        start = 0 if key is None else bisect_right(self._order, key)
        for index in range(start, len(self._order)):
            yield self._by_id[self._order[index][1]]
