"""Values that a field cannot have: looked for in each new version, and kept beside it.

The bounds come from whoever shows the values, so that both mean the same.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Protocol, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kalshi.entities import Entity
from pipelines.kalshi.pages import Rejected, copy_of


class Bound(Protocol):
    """A field, or a field of each leg, and the least and the most that is possible in it."""

    @property
    def field(self) -> str: ...
    @property
    def low(self) -> Decimal: ...
    @property
    def high(self) -> Decimal: ...
    @property
    def is_of_legs(self) -> bool: ...


Bounds: TypeAlias = Sequence[Bound]


def out_of_bounds(entity: Entity, versions: pa.Table, bounds: Bounds) -> Iterator[Rejected]:
    """Yield each version with a value out of *bounds*; the reason names the fields alone."""
    broken = [bound for bound in bounds if _breaks(bound, versions)]
    if not broken:
        return
    for place in range(versions.num_rows):
        version = versions.slice(place, 1)
        fields = [bound.field for bound in broken if _breaks(bound, version)]
        if fields:
            yield _beyond(entity, version, fields)


def _breaks(bound: Bound, versions: pa.Table) -> bool:
    if bound.is_of_legs:
        legs = pc.list_flatten(versions.column("mve_selected_legs"))
        values = pc.struct_field(legs, bound.field)
    else:
        values = versions.column(bound.field)
    span = pc.min_max(values)
    low, high = span["min"].as_py(), span["max"].as_py()
    return low is not None and (low < bound.low or high > bound.high)


def _beyond(entity: Entity, version: pa.Table, fields: list[str]) -> Rejected:
    (row,) = version.select(entity.fields.names).to_pylist()
    shown = {name: value for name, value in row.items() if value is not None}
    reason = f"{' and '.join(fields)} out of bounds"
    return copy_of(entity, shown, reason)
