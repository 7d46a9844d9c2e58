"""What a mart's table is filled with can be read: a case that a database once got wrong."""

import duckdb
import polars as pl


def test_rows_that_follow_an_insert_of_none_are_seen() -> None:
    """DuckDB 2.0.0 hid them until a checkpoint: the mart of a market with no rows yet."""
    rows = pl.DataFrame({"rfq_id": pl.int_range(300_000, eager=True)})
    with duckdb.connect() as connection:
        connection.execute("begin; create table facts (rfq_id bigint)")

        for frame in (rows.clear(), rows):
            connection.register("_rows", frame.to_arrow())
            connection.execute("insert into facts by name from _rows")
        connection.execute("commit")

        assert connection.execute("select count(*) from facts").fetchall() == [(300_000,)]
        assert connection.execute("select count(distinct rfq_id) from facts").fetchall() == [
            (300_000,)
        ]
