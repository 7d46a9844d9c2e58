"""The hash that tells versions apart: the MD5 of all that a row shows, in one text.

The text is the one that DuckDB makes with casts to `varchar` and with `to_json`, so that hashes are
the same in every database, whoever made it and when.
"""

from hashlib import md5

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kalshi.entities import Entity

# It separates fields and occurs in no JSON text unescaped.
SEPARATOR = "\x1f"
# What JSON text escapes, as DuckDB spells it.
_SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_ESCAPES = str.maketrans({chr(code): f"\\u{code:04X}" for code in range(32)} | _SHORT)
_TO_BE_ESCAPED = r'["\\\x00-\x1f]'


def version_hashes(entity: Entity, rows: pa.Table) -> pa.Array:
    """Return the hash of each row as 32 hex digits; it depends on nothing but the row."""
    found = [
        # Not the separator that it begins with.
        md5(text[1:], usedforsecurity=False).hexdigest()
        for text in _texts(entity, rows).cast(pa.binary()).to_pylist()
    ]
    return pa.array(found, pa.string())


def as_json(legs: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return each list of structs as JSON text, NULL for none; decimals with all their digits."""
    if isinstance(legs, pa.ChunkedArray):
        legs = legs.combine_chunks()
    # Not `legs.values`: a slice of an array has the elements of all of it.
    flat = pc.list_flatten(legs)
    fields = [
        _joined([f'"{field.name}":', pc.fill_null(_as_json(pc.struct_field(flat, i)), "null")])
        for i, field in enumerate(legs.type.value_type)
    ]
    shown = _joined(["{", _joined(fields, ","), "}"]) if len(flat) else pa.array([], pa.string())
    each = pc.if_else(flat.is_null(), "null", shown)
    return _joined(["[", pc.binary_join(_regrouped(legs, each), ","), "]"])


def _texts(entity: Entity, rows: pa.Table) -> pa.ChunkedArray:
    """All that each row shows, as `name=value` of its fields, a separator before each.

    A NULL drops out together with its name, so a field that the exchange adds later changes no old
    hash.
    """
    names = [*entity.fields.names, "unknown_fields"]
    parts = [_joined([f"{SEPARATOR}{name}=", _text(rows.column(name))]) for name in names]
    return _joined([pc.fill_null(part, "") for part in parts])


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    if pa.types.is_list(column.type):
        return as_json(column)
    if pa.types.is_timestamp(column.type):
        # Microseconds since 1970.
        return column.cast(pa.int64()).cast(pa.string())
    return column.cast(pa.string())


def _as_json(values: pa.Array) -> pa.Array:
    text = values.cast(pa.string())
    if not pa.types.is_string(values.type):
        return text
    is_odd = pc.match_substring_regex(text, _TO_BE_ESCAPED)
    if not pc.any(is_odd).as_py():
        return _joined(['"', text, '"'])
    escaped = [value and value.translate(_ESCAPES) for value in text.to_pylist()]
    return _joined(['"', pa.array(escaped, pa.string()), '"'])


def _regrouped(lists: pa.Array, values: pa.Array) -> pa.Array:
    """The lists of as many elements as *lists* have, of *values* in their order."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    ends = pc.cumulative_sum(lengths)
    offsets = pa.concat_arrays([pa.array([0], ends.type), ends])
    return pa.ListArray.from_arrays(offsets, values, mask=lists.is_null())


def _joined(
    parts: list[str | pa.Array | pa.ChunkedArray], separator: str = ""
) -> pa.Array | pa.ChunkedArray:
    """Join the texts of each row; NULL where one of them is."""
    return pc.binary_join_element_wise(*parts, separator)
