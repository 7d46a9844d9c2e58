"""One value of a JSON row to its declared type, for the rows that the fast reader refused."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from pipelines.kalshi.schema import LEGS, Entity

# Python reads more as a number than JSON or the fast reader does: 1_000, other alphabets' digits.
_NUMERAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# A server that fills in the zero of its clock (year 1, 1970) means no time at all.
EARLIEST, LATEST = datetime(2001, 1, 1, tzinfo=UTC), datetime(2100, 12, 31, tzinfo=UTC)
# The longest known text has 100 characters; the marts hold each some eighty times over.
LONGEST_TEXT = 10_000
LEG_FIELDS = {field.name: field for field in LEGS.value_type}


class Unreadable(ValueError):
    """A row that cannot be kept as a typed row; the message names the field, never its value."""


def read_field(field: pa.Field, value: Any) -> Any:
    """Return *value* as the Python value of `field.type`; raises `Unreadable`."""
    if value is None:
        return None
    if pa.types.is_decimal(field.type):
        return _decimal(field, value)
    if pa.types.is_timestamp(field.type):
        return _timestamp(field, value)
    if pa.types.is_list(field.type):
        return [_leg(field, leg) for leg in _expect(field, list, value)]
    if pa.types.is_boolean(field.type):
        return _expect(field, bool, value)
    if pa.types.is_integer(field.type):
        return _integer(field, value)
    return _text(field, value)


def unknown_fields(entity: Entity, row: dict[str, Any]) -> str | None:
    """Return what *row* holds besides the declared fields, as JSON text; None when nothing."""
    unknown = {name: value for name, value in row.items() if name not in entity.fields.names}
    legs = row.get("mve_selected_legs") or []
    if any(set(leg) - set(LEG_FIELDS) for leg in legs):
        unknown["mve_selected_legs"] = legs
    return json_text(unknown) if unknown else None


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
    if len(text) > LONGEST_TEXT:
        raise Unreadable(f"{field.name} is longer than {LONGEST_TEXT:,} characters")
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Unreadable(f"{field.name} is not Unicode text")
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


def _leg(field: pa.Field, leg: Any) -> dict[str, Any]:
    known = _expect(field, dict, leg)
    return {name: read_field(part, known.get(name)) for name, part in LEG_FIELDS.items()}
