"""A version's hash is the one that DuckDB makes: every database of ours holds those."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.kalshi.entities import ENTITIES, QUOTE, RFQ, Entity
from pipelines.kalshi.hashing import version_hashes

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FEW = settings(max_examples=25)
ODD = ["", " ", "null", "é😀\u2028", "\x7f", 'a"b\\c/d', "\x00\x01\b\t\n\f\r\x1f", "=\x1f,", "[]{}"]
TEXT = st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_categories=["Cs"])))


def schema(entity: Entity) -> pa.Schema:
    return entity.fields.append(pa.field("unknown_fields", pa.string()))


def values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Anything that a column of that type takes, and NULL."""
    if pa.types.is_decimal(kind):
        digits = st.integers(1 - 10**kind.precision, 10**kind.precision - 1)
        return st.none() | digits.map(lambda whole: Decimal(whole).scaleb(-kind.scale))
    if pa.types.is_boolean(kind):
        return st.none() | st.booleans()
    if pa.types.is_integer(kind):
        return st.none() | st.integers(-(2**63), 2**63 - 1)
    if pa.types.is_timestamp(kind):
        moment = st.timedeltas(timedelta(days=-300_000), timedelta(days=300_000))
        return st.none() | moment.map(lambda span: NOON + span)
    if pa.types.is_list(kind):
        leg = {each.name: values(each.type) for each in kind.value_type}
        return st.none() | st.lists(st.none() | st.fixed_dictionaries(leg), max_size=3)
    return st.none() | TEXT


def rows_of(entity: Entity) -> st.SearchStrategy[pa.Table]:
    shown = {each.name: values(each.type) for each in schema(entity)}
    rows = st.lists(st.fixed_dictionaries(shown), max_size=6)
    return rows.map(lambda found: pa.Table.from_pylist(found, schema=schema(entity)))


def by_duckdb(entity: Entity, rows: pa.Table) -> list[str]:
    """The definition in SQL, as the first databases were made with it."""
    parts = ", ".join(f"'{each.name}=' || {_text(each)}" for each in schema(entity))
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'Asia/Tokyo'")
        connection.register("rows", rows)
        query = f"select md5(concat_ws(chr(31), {parts})) from rows"
        return [found for (found,) in connection.execute(query).fetchall()]


def _text(field: pa.Field) -> str:
    if pa.types.is_timestamp(field.type):
        return f"epoch_us({field.name})::varchar"
    is_list = pa.types.is_list(field.type)
    return f"to_json({field.name})::varchar" if is_list else f"{field.name}::varchar"


@FEW
@given(rows_of(RFQ))
def test_rfqs_have_the_hashes_of_duckdb(rows: pa.Table) -> None:
    assert version_hashes(RFQ, rows).to_pylist() == by_duckdb(RFQ, rows)


@FEW
@given(rows_of(QUOTE))
def test_quotes_have_the_hashes_of_duckdb(rows: pa.Table) -> None:
    assert version_hashes(QUOTE, rows).to_pylist() == by_duckdb(QUOTE, rows)


@FEW
@given(rows_of(RFQ), st.integers(0, 5), st.integers(0, 5))
def test_a_hash_depends_on_its_row_alone(rows: pa.Table, begin: int, length: int) -> None:
    """Whatever stands beside it: in a slice of a table, in one of several chunks."""
    part = rows.slice(begin, length)
    chunks = pa.concat_tables([part, rows, rows.schema.empty_table()])

    alone, all_ = version_hashes(RFQ, part).to_pylist(), version_hashes(RFQ, rows).to_pylist()

    assert alone == all_[begin : begin + length]
    assert version_hashes(RFQ, chunks).to_pylist() == alone + all_


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda each: each.key)
def test_a_field_that_comes_later_changes_no_old_hash(entity: Entity) -> None:
    """A NULL is in no hash: nothing at all is shown here."""
    nothing = pa.Table.from_pylist([{}], schema=schema(entity))

    assert version_hashes(entity, nothing).to_pylist() == ["d41d8cd98f00b204e9800998ecf8427e"]
    assert version_hashes(entity, nothing.slice(1)).to_pylist() == []
