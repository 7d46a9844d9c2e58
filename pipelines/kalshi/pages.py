"""Page bytes to Arrow: one explicit schema per entity, broken rows set aside.

pyarrow reads a page straight into typed columns. Only a page that it refuses (a field of another
type, an unknown field, a missing id) is read again row by row, so that one broken row costs one
row and an unknown field is kept.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from pipelines.kalshi.errors import ExchangeUnavailable
from pipelines.kalshi.fields import (
    EARLIEST,
    LATEST,
    LEG_FIELDS,
    LONGEST_TEXT,
    Unreadable,
    json_text,
    read_field,
    unknown_fields,
)
from pipelines.kalshi.schema import PRIVATE_FIELDS, Entity

_EARLIEST_US, _LATEST_US = (int(bound.timestamp()) * 1_000_000 for bound in (EARLIEST, LATEST))


class BadPage(ExchangeUnavailable):
    """A page that says 200 but is not the list or record that was asked for."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that could not be read: why, and a copy without private fields."""

    resource: str
    reason: str
    row_hash: str
    redacted_row: str


@dataclass(frozen=True, slots=True)
class Rows:
    """The readable rows of some pages in the order served, and the rejected ones."""

    table: pa.Table
    rejected: tuple[Rejected, ...] = ()


def next_cursor(entity: Entity, body: bytes) -> str | None:
    """Return the cursor that follows a list page, or None where the list ends.

    Raises `BadPage` when the body is not JSON or lacks its list: that never means "no rows".
    """
    page = _without_rows(body)
    if page is None or page.get(entity.key) != []:
        page = _parse(body)
    if not isinstance(page, dict) or not isinstance(page.get(entity.key), list):
        raise BadPage(f"A page of {entity.key} was served without a list called {entity.key!r}")
    cursor = page.get("cursor")
    if cursor is not None and not isinstance(cursor, str):
        raise BadPage(f"A page of {entity.key} was served with a cursor that is not text")
    return cursor or None


def read_pages(entity: Entity, bodies: Sequence[bytes]) -> Rows:
    """Parse list pages into one table typed as *entity* says, plus `unknown_fields` (JSON)."""
    try:
        return Rows(_read_typed(entity, bodies))
    except (pa.ArrowInvalid, _NotAsDeclared):
        rows = (row for body in bodies for row in _parse(body)[entity.key])
        return _read_row_by_row(entity, rows)


def read_record(entity: Entity, name: str, body: bytes) -> Rows:
    """Parse the answer of a by-id call, whose one record stands under *name*."""
    answer = _parse(body)
    if not isinstance(answer, dict) or not isinstance(answer.get(name), dict):
        raise BadPage(f"A by-id answer was served without an object called {name!r}")
    return _read_row_by_row(entity, [answer[name]])


class _NotAsDeclared(Exception):
    """A page holds a field that the schema does not name, or lacks a required one."""


def _without_rows(body: bytes) -> dict[str, Any] | None:
    """Parse a page cut down to its envelope: the cursor is wanted long before the rows are."""
    start, end = body.find(b"["), body.rfind(b"]")
    if start < 0 or end < start:
        return None
    shell = body[: start + 1] + body[end:]
    # A cursor between two lists would be cut out with the rows, and the list would seem to end.
    if shell.count(b'"cursor"') != body.count(b'"cursor"'):
        return None
    try:
        page = json.loads(shell)
    except ValueError:
        return None
    return page if isinstance(page, dict) else None


def _parse(body: bytes) -> Any:
    try:
        return json.loads(
            body, parse_float=_number, parse_int=_number, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise BadPage(f"A page is not JSON ({type(error).__name__})") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _number(text: str) -> int | Decimal:
    # What is too long for Python's int or too large for a Decimal is a bad field, not a bad page.
    if len(text) < 20 and text.lstrip("-").isdigit():
        return int(text)
    try:
        return Decimal(text)
    except InvalidOperation:
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
            unexpected_field_behavior="error",
        ),
    ).column(entity.key)
    if pages.type != pa.list_(row_type):
        raise _NotAsDeclared
    rows = pa.concat_arrays([page.flatten() for page in pages.chunks])
    table = pa.Table.from_struct_array(rows).cast(entity.fields)
    # The reader of JSON lets decimals through that have more digits than their type.
    table.validate(full=True)
    if any(_is_missing_somewhere(table.column(name)) for name in entity.required):
        raise _NotAsDeclared
    if any(map(_is_out_of_time, table.columns)) or any(map(_is_overlong, table.columns)):
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


def _is_overlong(column: pa.ChunkedArray) -> bool:
    if pa.types.is_list(column.type):
        legs = pc.list_flatten(column)
        return any(_is_overlong(pc.struct_field(legs, name)) for name in LEG_FIELDS)
    is_text = pa.types.is_string(column.type)
    return is_text and (pc.max(pc.binary_length(column)).as_py() or 0) > LONGEST_TEXT


def _read_row_by_row(entity: Entity, rows: Iterable[Any]) -> Rows:
    read: list[dict[str, Any]] = []
    rejected: list[Rejected] = []
    for row in rows:
        try:
            read.append(_read_row(entity, row))
        except Unreadable as error:
            rejected.append(_reject(entity, row, str(error)))
    schema = entity.fields.append(pa.field("unknown_fields", pa.string()))
    return Rows(pa.Table.from_pylist(read, schema=schema), tuple(rejected))


def _read_row(entity: Entity, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise Unreadable("the row is not an object")
    for name in entity.required:
        if not row.get(name):
            raise Unreadable(f"{name} is missing")
    read = {field.name: read_field(field, row.get(field.name)) for field in entity.fields}
    return read | {"unknown_fields": unknown_fields(entity, row)}


def _reject(entity: Entity, row: Any, reason: str) -> Rejected:
    text = json.dumps(row, default=str, sort_keys=True)
    shown = row if not isinstance(row, dict) else _without_private_fields(row)
    return Rejected(
        resource=entity.key,
        reason=reason,
        row_hash=sha256(text.encode()).hexdigest(),
        redacted_row=json_text(shown),
    )


def _without_private_fields(row: dict[str, Any]) -> dict[str, Any]:
    return {name: "(private)" if name in PRIVATE_FIELDS else row[name] for name in row}
