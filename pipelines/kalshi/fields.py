"""One value of a JSON row to its declared type, for the rows that the fast reader refused."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from hashlib import sha256
from typing import Any, TypeAlias

import pyarrow as pa

from pipelines.kalshi.client.transport import LATEST
from pipelines.kalshi.entities import Entity
from transforms.raw import LEGS

# From a field and a value that is not None to the Python value of its type; raises Unreadable.
Reader: TypeAlias = Callable[[pa.Field, Any], Any]

# Python reads more as a number than JSON or the fast reader does: 1_000, other alphabets' digits.
_NUMERAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# A server that fills in the zero of its clock (year 1, 1970) means no time at all.
EARLIEST = datetime(2001, 1, 1, tzinfo=UTC)
# Far above what is served: a text of 10 MB in one row is a fault, and would be in every table.
LONGEST_TEXT = 10_000
MOST_LEGS = 1_000
# Above this many characters, unknown fields are kept as their number, size and hash.
MOST_UNKNOWN = 65_536
LEG_FIELDS = {field.name: field for field in LEGS.value_type}


class Unreadable(ValueError):
    """A row that cannot be kept as a typed row; the message names the field, never its value."""


def read_fields(entity: Entity, row: dict[str, Any]) -> dict[str, Any]:
    """Return the declared fields of *row* as the Python values of their types.

    Raises `Unreadable`.
    """
    read = {}
    for field, reader in _readers(entity):
        value = row.get(field.name)
        read[field.name] = None if value is None else reader(field, value)
    return read


def unknown_fields(entity: Entity, row: dict[str, Any]) -> str | None:
    """Return what *row* holds besides the declared fields, as JSON text; None when nothing.

    Too much of it is kept as its size and its hash, so that a change of it remains a change.
    """
    unknown = {name: row[name] for name in row.keys() - _names(entity)}
    legs = row.get("mve_selected_legs") or []
    if any(leg.keys() - LEG_FIELDS.keys() for leg in legs):
        unknown["mve_selected_legs"] = legs
    if not unknown:
        return None
    text = json_text(unknown)
    if len(text) <= MOST_UNKNOWN:
        return text
    digest = sha256(text.encode()).hexdigest()
    return json_text({"characters": len(text), "fields": len(unknown), "sha256": digest})


def json_text(value: Any) -> str:
    """*value* as JSON that DuckDB takes; half a surrogate pair is no text and becomes "?"."""
    text = json.dumps(value, default=str, sort_keys=True)
    if "\\ud" not in text:
        return text
    plain = json.dumps(value, default=str, sort_keys=True, ensure_ascii=False)
    return plain.encode("utf-8", "replace").decode()


def _expect(field: pa.Field, kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise Unreadable(f"{field.name} is {type(value).__name__}, expected {kind.__name__}")
    return value


def _text(field: pa.Field, value: Any) -> str:
    text: str = _expect(field, str, value)
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Unreadable(f"{field.name} is not Unicode text")
    if len(text) > LONGEST_TEXT:
        raise Unreadable(f"{field.name} is longer than {LONGEST_TEXT:,} characters")
    return text


def _integer(field: pa.Field, value: Any) -> int:
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if not is_number or not -(2**63) <= value < 2**63 or value != int(value):
        raise Unreadable(f"{field.name} is not a 64-bit integer")
    return int(value)


def _decimal(field: pa.Field, value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise Unreadable(f"{field.name} is {type(value).__name__}, expected a decimal")
    if isinstance(value, str) and not _NUMERAL.fullmatch(value):
        raise Unreadable(f"{field.name} is not a decimal")
    limit = 10 ** (field.type.precision - field.type.scale)
    try:
        exact = Decimal(value)
        fits = exact.is_finite() and -limit < exact < limit
        rounded = exact.quantize(Decimal(1).scaleb(-field.type.scale)) if fits else None
    except ArithmeticError:
        raise Unreadable(f"{field.name} is not a decimal") from None
    if rounded is None or rounded != exact:
        raise Unreadable(f"{field.name} does not fit {field.type} exactly")
    return rounded


def _timestamp(field: pa.Field, value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(_expect(field, str, value))
        # The exchange's times are UTC, and so does pyarrow read one that names no zone.
        utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unreadable(f"{field.name} is not an RFC 3339 timestamp") from None
    if not EARLIEST <= utc <= LATEST:
        raise Unreadable(f"{field.name} is not of this century")
    return utc


def _legs(field: pa.Field, value: Any) -> list[dict[str, Any]]:
    legs = _expect(field, list, value)
    if len(legs) > MOST_LEGS:
        raise Unreadable(f"{field.name} has more than {MOST_LEGS:,} legs")
    return [_leg(field, leg) for leg in legs]


def _leg(field: pa.Field, leg: Any) -> dict[str, Any]:
    known = _expect(field, dict, leg)
    return {
        name: None if known.get(name) is None else _LEG_READERS[name](part, known[name])
        for name, part in LEG_FIELDS.items()
    }


def _flag(field: pa.Field, value: Any) -> Any:
    return _expect(field, bool, value)


def _reader_of(kind: pa.DataType) -> Reader:
    if pa.types.is_decimal(kind):
        return _decimal
    if pa.types.is_timestamp(kind):
        return _timestamp
    if pa.types.is_list(kind):
        return _legs
    if pa.types.is_boolean(kind):
        return _flag
    return _integer if pa.types.is_integer(kind) else _text


# Asking pyarrow for names and types takes longer than reading a value does.
_LEG_READERS = {name: _reader_of(field.type) for name, field in LEG_FIELDS.items()}


@cache
def _readers(entity: Entity) -> tuple[tuple[pa.Field, Reader], ...]:
    return tuple((field, _reader_of(field.type)) for field in entity.fields)


@cache
def _names(entity: Entity) -> frozenset[str]:
    return frozenset(entity.fields.names)
