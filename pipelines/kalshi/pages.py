"""Page bytes to Arrow: one explicit schema per entity, broken rows set aside.

pyarrow reads pages straight into typed columns. What it refuses (a field of another type, an
unknown field, a missing id) is halved until few rows are left, and those are read one by one: a
broken row costs itself and not its neighbors, and an unknown field is kept.

What one row may weigh is bounded: texts and legs in `fields`, a rejected row's copy here. So what
a page of any content leaves behind is bounded by its number of rows.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from pipelines.kalshi.client.endpoints import UUID
from pipelines.kalshi.client.errors import ExchangeUnavailable
from pipelines.kalshi.client.json_body import ListPage, list_page
from pipelines.kalshi.client.transport import LATEST
from pipelines.kalshi.entities import Entity, is_private
from pipelines.kalshi.fields import (
    EARLIEST,
    LONGEST_TEXT,
    MOST_LEGS,
    Unreadable,
    json_text,
    read_fields,
    unknown_fields,
)
from transforms.raw import TIMESTAMP

# So few rows are read one by one; it takes pyarrow as long to refuse them.
_FEW = 16
# Above this many characters of JSON, a rejected row is kept as its ids, its size and its hash.
LONGEST_REJECTED = 16_384

_EARLIEST_US, _LATEST_US = (int(bound.timestamp()) * 1_000_000 for bound in (EARLIEST, LATEST))


class BadPage(ExchangeUnavailable):
    """A page that says 200 but is not the list or record that was asked for."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that could not be read: why, and a copy without private fields.

    `id` and `rfq_id` are the UUIDs by which it can be asked for again, None where it shows none.
    """

    resource: str
    reason: str
    row_hash: str
    redacted_row: str | None
    id: str | None = None
    rfq_id: str | None = None
    is_counted: bool = False
    """Whether the list that showed it has been counted with it: it was read again by id."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The readable rows of some pages in the order served, and the rejected ones."""

    table: pa.Table
    rejected: tuple[Rejected, ...] = ()

    def dated(self, moments: Sequence[datetime]) -> "Rows":
        """Return the same rows with when each was served, as `observed_ts`."""
        seen = pa.array(moments, TIMESTAMP)
        return replace(self, table=self.table.append_column("observed_ts", seen))


def cut(entity: Entity, body: bytes) -> ListPage:
    """Cut a list page into its rows. Its cursor is None or empty where the list ends.

    Raises `BadPage` when the body is not JSON or lacks its list: that never means "no rows".
    """
    try:
        return list_page(body, entity.key)
    except ValueError as error:
        raise BadPage(f"A page of {entity.key} cannot be read: {error}") from None


def page_with(entity: Entity, rows: Iterable[bytes]) -> bytes:
    """A page that holds *rows*, the last one of its list."""
    return b'{"%s":[%s]}' % (entity.key.encode(), b",".join(rows))


def read_pages(entity: Entity, bodies: Sequence[bytes]) -> Rows:
    """Parse list pages that `cut` takes into one table typed as *entity* says.

    It has a further column, `unknown_fields` (JSON). Raises `BadPage` for one that is no JSON.
    """
    try:
        return Rows(_read_typed(entity, bodies))
    except _REFUSED:
        return _joined([_read_apart(entity, _parse(body)[entity.key]) for body in bodies])


def read_record(entity: Entity, body: bytes, id_: str | None = None) -> Rows:
    """Parse the answer of a by-id call, whose one record stands under `entity.record`.

    Raises `BadPage` when it is the record of another id than the *id_* asked for.
    """
    answer = _parse(body)
    name = entity.record
    if not isinstance(answer, dict) or not isinstance(answer.get(name), dict):
        raise BadPage(f"A by-id answer was served without an object called {name!r}")
    shown = answer[name].get("id")
    if id_ and _is_uuid(shown) and shown.lower() != id_.lower():
        raise BadPage("A by-id answer was served with the record of another id")
    return _read_row_by_row(entity, [answer[name]])


class _NotAsDeclared(Exception):
    """A page lacks a required field, or a value is out of all bounds."""


# How the fast reader says that it cannot read rows; a TypeError is a number that is no whole one.
_REFUSED = (pa.ArrowInvalid, _NotAsDeclared, TypeError)


def _parse(body: bytes) -> Any:
    try:
        return _loads(body, int)
    except (ArithmeticError, ValueError):
        # A number beyond what int or Decimal takes, unless it is no JSON.
        return _parse_any_number(body)
    except RecursionError as error:
        raise _not_json(error) from None


def _parse_any_number(body: bytes) -> Any:
    try:
        return _loads(body, _number, _number)
    except (ValueError, RecursionError) as error:
        raise _not_json(error) from None


def _loads(
    body: bytes, whole: Callable[[str], Any], fraction: Callable[[str], Any] = Decimal
) -> Any:
    return json.loads(body, parse_int=whole, parse_float=fraction, parse_constant=_refuse_constant)


def _not_json(error: Exception) -> BadPage:
    return BadPage(f"A page is not JSON ({type(error).__name__})")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _number(text: str) -> int | Decimal:
    # What is too long for Python's int or too large for a Decimal is a bad field, not a bad page.
    try:
        return int(text) if text.lstrip("-").isdigit() else Decimal(text)
    except (InvalidOperation, ValueError):
        return Decimal("Infinity")


def _read_typed(entity: Entity, bodies: Sequence[bytes]) -> pa.Table:
    row_type = pa.struct(list(entity.fields))
    # JSON text holds no bare line break, so a pretty-printed page may be put on one line.
    lines = b"\n".join(body.replace(b"\r", b" ").replace(b"\n", b" ") for body in bodies)
    pages = pa_json.read_json(
        BytesIO(lines),
        read_options=pa_json.ReadOptions(
            use_threads=len(bodies) > 1, block_size=2 * max(map(len, bodies)) + 1024
        ),
        parse_options=pa_json.ParseOptions(
            explicit_schema=pa.schema({entity.key: pa.list_(row_type), "cursor": pa.string()}),
            # Not inferred: a row of 10,000 unknown fields would add a column of all rows for each.
            unexpected_field_behavior="error",
        ),
    ).column(entity.key)
    rows = pa.concat_arrays([page.flatten() for page in pages.chunks])
    table = pa.Table.from_struct_array(rows).cast(entity.fields)
    # The reader of JSON lets decimals through that have more digits than their type.
    table.validate(full=True)
    if any(_is_missing_somewhere(table.column(name)) for name in entity.required):
        raise _NotAsDeclared
    if any(map(_is_out_of_time, table.columns)) or any(map(_is_too_long, table.columns)):
        raise _NotAsDeclared
    return table.append_column("unknown_fields", pa.nulls(len(table), pa.string()))


def _is_missing_somewhere(column: pa.ChunkedArray) -> bool:
    is_empty = pa.types.is_string(column.type) and pc.any(pc.equal(column, "")).as_py()
    return bool(column.null_count or is_empty)


def _is_out_of_time(column: pa.ChunkedArray) -> bool:
    if not pa.types.is_timestamp(column.type):
        return False
    span = pc.min_max(column.cast(pa.int64()))
    earliest, latest = (span[bound].as_py() for bound in ("min", "max"))
    return earliest is not None and (earliest < _EARLIEST_US or latest > _LATEST_US)


def _is_too_long(column: pa.ChunkedArray) -> bool:
    if pa.types.is_list(column.type):
        legs = pc.list_flatten(column)
        parts = [pc.struct_field(legs, name) for name in column.type.value_type.names]
        return _most(pc.list_value_length(column)) > MOST_LEGS or any(map(_is_too_long, parts))
    return pa.types.is_string(column.type) and _most(pc.binary_length(column)) > LONGEST_TEXT


def _most(lengths: pa.ChunkedArray) -> int:
    return pc.max(lengths).as_py() or 0


def _read_apart(entity: Entity, rows: list[dict[str, Any]]) -> Rows:
    """Read *rows*, of which some are odd: halves that have none the fast way."""
    if len(rows) <= _FEW or _are_mostly_odd(entity, rows):
        return _read_row_by_row(entity, rows)
    try:
        return Rows(_read_typed(entity, [json.dumps({entity.key: rows}).encode()]))
    except _REFUSED:
        middle = len(rows) // 2
        return _joined([_read_apart(entity, half) for half in (rows[:middle], rows[middle:])])


def _are_mostly_odd(entity: Entity, rows: list[dict[str, Any]]) -> bool:
    """Whether so many rows have unknown fields that looking for the others does not pay."""
    known = set(entity.fields.names)
    return 8 * sum(not row.keys() <= known for row in rows) > len(rows)


def _joined(parts: Sequence[Rows]) -> Rows:
    rejected = tuple(row for part in parts for row in part.rejected)
    return Rows(pa.concat_tables([part.table for part in parts]), rejected)


def _read_row_by_row(entity: Entity, rows: Iterable[dict[str, Any]]) -> Rows:
    read: list[dict[str, Any]] = []
    rejected: list[Rejected] = []
    for row in rows:
        try:
            read.append(_read_row(entity, row))
        except Unreadable as error:
            rejected.append(copy_of(entity, row, str(error)))
    schema = entity.fields.append(pa.field("unknown_fields", pa.string()))
    return Rows(pa.Table.from_pylist(read, schema=schema), tuple(rejected))


def _read_row(entity: Entity, row: dict[str, Any]) -> dict[str, Any]:
    for name in entity.required:
        if not row.get(name):
            raise Unreadable(f"{name} is missing")
    return read_fields(entity, row) | {"unknown_fields": unknown_fields(entity, row)}


def copy_of(entity: Entity, row: dict[str, Any], reason: str) -> Rejected:
    """Return what is kept of *row*, which cannot be taken as it is."""
    text = json.dumps(row, default=str, sort_keys=True)
    ids = {name: row[name] for name in ("id", "rfq_id") if _is_uuid(row.get(name))}
    digest = sha256(text.encode()).hexdigest()
    shown = _without_private_fields(row)
    if len(text) > LONGEST_REJECTED:
        shown = ids | {"characters": len(text), "fields": len(row), "sha256": digest}
    return Rejected(entity.key, reason, digest, json_text(shown), **ids)


def _is_uuid(value: Any) -> bool:
    return isinstance(value, str) and UUID.fullmatch(value) is not None


def _without_private_fields(row: dict[str, Any]) -> dict[str, Any]:
    return {name: "(private)" if is_private(name) else row[name] for name in row}
