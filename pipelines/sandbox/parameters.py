"""Parameters and bodies of calls: what may be sent, and reading it as the exchange does.

Unknown names are ignored without a word, as the exchange ignores them.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.sandbox.refusal import Refused, invalid

Kind = Literal["string", "uuid", "int32", "int64", "self", "boolean", "dollars", "count", "side"]
Values = dict[str, Any]

_INT_BITS = {"int32": 32, "int64": 64}


@dataclass(frozen=True, slots=True)
class Field:
    """One query parameter or body field."""

    name: str
    kind: Kind
    required: bool = False
    nullable: bool = False
    minimum: int | None = None
    maximum: int | None = None
    deprecated: bool = False

    @property
    def is_integer(self) -> bool:
        return self.kind in _INT_BITS


def read_query(
    fields: Iterable[Field], query: Iterable[tuple[str, str]], *, check_uuids: bool = True
) -> Values:
    """The known parameters that have a value; of a repeated one, the first counts."""
    sent: dict[str, str] = {}
    for name, value in query:
        sent.setdefault(name, value)
    known = [field for field in fields if sent.get(field.name)]
    return {field.name: _query_value(field, sent[field.name], check_uuids) for field in known}


def _query_value(field: Field, text: str, check_uuids: bool) -> str | int:
    if field.is_integer:
        return _integer(field, text)
    if field.kind == "self" and text != "self":
        raise invalid(f"{field.name} must be self")
    if field.kind == "uuid" and check_uuids:
        check_uuid(field.name, text)
    return text


def _integer(field: Field, text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
        raise invalid(f"{field.name} must be an integer")
    return _in_range(field, int(text))


def _in_range(field: Field, value: int) -> int:
    if not -(1 << _INT_BITS[field.kind] - 1) <= value < 1 << _INT_BITS[field.kind] - 1:
        raise invalid(f"{field.name} is out of range")
    # The limit of a list has its own range check with its own body.
    if field.minimum is not None and value < field.minimum and field.name != "limit":
        raise invalid(f"{field.name} must be at least {field.minimum}")
    return value


def check_uuid(name: str, text: str) -> None:
    """400 unless *text* is a UUID in its usual form."""
    try:
        is_usual = str(uuid.UUID(text)) == text.lower()
    except ValueError:
        is_usual = False
    if not is_usual:
        raise invalid(f"{name} must be a UUID")


def read_body(fields: Iterable[Field], content: bytes) -> Values:
    """The known fields of a JSON object body. What Go could not decode is refused flat."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _undecodable("request body is not valid JSON") from error
    if not isinstance(body, dict):
        raise _undecodable("request body must be a JSON object")
    return {field.name: value for field in fields for value in _body_values(field, body)}


def _body_values(field: Field, body: Mapping[str, Any]) -> list[Any]:
    value: Any = body.get(field.name)
    if value is None:
        if field.required:
            raise invalid(f"{field.name} is required")
        return []
    if not _is_of_kind(field, value):
        raise _undecodable(f"{field.name} has the wrong type")
    if field.is_integer:
        _in_range(field, value)
    if field.kind == "uuid":
        check_uuid(field.name, value)
    return [value]


def _is_of_kind(field: Field, value: Any) -> bool:
    if field.kind == "boolean" or isinstance(value, bool):
        return field.kind == "boolean" and isinstance(value, bool)
    return isinstance(value, int if field.is_integer else str)


def _undecodable(message: str) -> Refused:
    return Refused(400, "invalid_json", message, envelope="flat")
