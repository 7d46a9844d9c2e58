"""Raw's columns stand in `raw.sql` alone; what rests on them says which file to change."""

import duckdb
import pyarrow as pa
import pytest

from pipelines.kalshi.entities import ADDED, ENTITIES, QUOTE, RFQ, Entity, is_private
from transforms.bounds import BOUNDS
from transforms.raw import (
    LEGS,
    TIMESTAMP,
    create_raw_tables,
    is_shown_own,
    raw_schema,
    with_conditions,
)


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda each: each.key)
def test_what_no_row_lacks_is_what_its_table_demands(entity: Entity) -> None:
    demanded = {field.name for field in raw_schema(entity.table) if not field.nullable}

    assert demanded - {*ADDED} == {*entity.required}, (
        "pipelines/kalshi/entities.py and transforms/raw/raw.sql disagree on what no row lacks"
    )


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda each: each.key)
def test_what_a_load_adds_is_in_the_table_of_each_entity(entity: Entity) -> None:
    columns = raw_schema(entity.table).names

    assert [name for name in columns if name in ADDED] == [*ADDED]
    assert not {*ADDED} & {*entity.fields.names}


def test_bounds_are_of_columns_that_exist() -> None:
    legs = {field.name for field in LEGS.value_type}
    missing = {
        f"{table}.{bound.field}"
        for table, bounds in BOUNDS.items()
        for bound in bounds
        if bound.field not in (legs if bound.is_of_legs else raw_schema(table).names)
    }

    assert missing == set(), "transforms/bounds.py names what transforms/raw/raw.sql does not have"


def test_arrow_knows_each_column_as_the_database_does() -> None:
    """What was read from the text of `raw.sql`, beside what DuckDB makes of it."""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        create_raw_tables(connection)
        tables = connection.execute("select table_name from duckdb_tables()").fetchall()
        for (table,) in tables:
            described = connection.execute(f"describe raw.{table}").fetchall()
            stored = connection.sql(f"from raw.{table}").to_arrow_table().schema
            known = raw_schema(table)
            assert [(each.name, "YES" if each.nullable else "NO") for each in known] == [
                (name, null) for name, _, null, *_ in described
            ]
            assert known.types == stored.types, table

    assert len(tables) > 15
    fields = QUOTE.fields
    assert fields.field("yes_bid_dollars").type == pa.decimal128(18, 6)
    assert fields.field("created_ts").type == TIMESTAMP
    assert RFQ.fields.field("mve_selected_legs").type == LEGS
    assert "leg_list" not in RFQ.fields.names
    assert raw_schema("rfq_versions").field("unknown_fields").type == pa.string()


def test_private_fields_are_told_by_their_names() -> None:
    private = {name for each in ENTITIES for name in each.fields.names if is_private(name)}

    assert private == {
        *("creator_user_id", "creator_order_id", "creator_subaccount", "post_only"),
        *("rfq_creator_user_id", "rfq_creator_order_id", "rfq_creator_subaccount"),
    }


def test_rows_in_memory_are_ours_by_the_same_rule_as_rows_in_raw() -> None:
    """An empty private field was not shown: it makes an RFQ nobody's."""
    rfqs = pa.table({"creator_user_id": pa.array([None, "", "u-1"], pa.string())})
    with duckdb.connect() as connection:
        connection.register("rfqs", rfqs)
        found = connection.execute(with_conditions("select $is_shown_own from rfqs")).fetchall()

    assert is_shown_own(rfqs).to_pylist() == [False, False, True]
    assert found == [(False,), (False,), (True,)]
