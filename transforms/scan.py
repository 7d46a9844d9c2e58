"""Relations of the open database as lazy frames."""

from collections.abc import Iterator
from threading import Lock

import duckdb
import polars as pl
from polars.io.plugins import register_io_source


def scan(connection: duckdb.DuckDBPyConnection, relation: str, reading: Lock) -> pl.LazyFrame:
    """Return *relation*, an SQL query, as a lazy frame that reads the columns its plan needs.

    DuckDB's own lazy frame reads from the threads that polars runs, and refuses when two of them
    come at once; a second connection would not see what the open transaction has written. So
    *reading* lets one in at a time.
    """

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = "*" if columns is None else ", ".join(f'"{name}"' for name in columns) or "1"
        with reading:
            frame = connection.sql(f"select {wanted} from ({relation})").pl()  # noqa: S608
        frame = frame.head(n_rows) if n_rows is not None else frame
        yield frame if predicate is None else frame.filter(predicate)

    schema = connection.sql(f"from ({relation}) limit 0").pl().schema
    return register_io_source(read, schema=schema, is_pure=True)
