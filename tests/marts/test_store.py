"""What a mart's table is filled with can be read, and is in memory no longer than that takes."""

import weakref

import duckdb
import polars as pl
import pyarrow as pa

from transforms.tables import lent


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


def test_rows_that_were_stored_are_let_go_of_before_the_transaction_ends() -> None:
    """DuckDB would keep all that it was given until then, and a build is one transaction."""
    rows = [pa.table({"n": [1, 2]})]
    kept = weakref.ref(rows[0])
    with duckdb.connect() as connection:
        connection.execute("begin")
        with lent(connection, rows.pop()):
            connection.execute("create table stored as from _rows")
            connection.execute("insert into stored from _rows where n = 2")

        assert kept() is None
        assert connection.execute("from stored order by n").fetchall() == [(1,), (2,), (2,)]
