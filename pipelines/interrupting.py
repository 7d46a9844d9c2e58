"""Builds that another thread may end: DuckDB ends the query of a cursor, whoever asks for it."""

from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import Any

import duckdb

from pipelines.kalshi.client.exchange_clock import passed_s
from pipelines.kalshi.extraction import Extraction


class Builds:
    """The build that is at work in one of the other threads: there is one at most."""

    def __init__(self) -> None:
        self._connection: duckdb.DuckDBPyConnection | None = None

    @contextmanager
    def cursor(self, extraction: Extraction) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for a build, which may be interrupted until the block ends."""
        with extraction.connection.cursor() as connection:
            self._connection = connection
            try:
                yield connection
            finally:
                self._connection = None

    def interrupt(self) -> None:
        """End the query that a build is at, if any. Polars is not to be interrupted."""
        connection = self._connection
        if connection is not None:
            with suppress(duckdb.Error):
                connection.interrupt()

    def wait_for(self, work: Future[Any] | None, at_most_s: float) -> None:
        """Wait for another thread, and end the builds that it is at, one query after the other."""
        until_s = passed_s() + at_most_s
        while work is not None and not work.done() and passed_s() < until_s:
            self.interrupt()
            wait([work], 0.1)
