"""What marts read: for each name in a signature a relation of the database, as a lazy frame."""

import inspect
from collections.abc import Iterator, Mapping
from threading import Lock

import duckdb
import polars as pl
from polars.io.plugins import register_io_source

from transforms import incremental
from transforms.creations import name_spans
from transforms.keys import Mart
from transforms.settings import Settings
from transforms.staging import TABLES

# What marts read besides RFQs and quotes: what raw tells of the reading, and what markets have in
# common, nearly all of it each time.
LOGS = {
    **{name: f"raw.{name}" for name in ("accepted_losses", "coverage", "open_sweeps")},
    "passes": "served_moments",
    "read_stretches": "read_stretches",
    "looked_hours": "incremental.looked_hours",
    "fast_markets": "incremental.fast_markets",
    "listed_markets": """(
        select count(*) filter (least_hash <> greatest_hash) as n_of_two_lists, count(*) as n_listed
        from (
            select min(legs_hash) as least_hash, max(legs_hash) as greatest_hash
            from incremental.leg_lists
            where n_listed > 0 and market_ticker is not null group by market_ticker
        )
    )""",
}
# The RFQ facts are stored in two tables, so that what is asked of the few RFQs whose quotes we see
# reads no strangers' RFQ. `is_matured` is told by the clock and not stored.
VISIBLE, FOREIGN = "incremental.visible_rfq_facts", "incremental.foreign_rfq_facts"
SENT = "sent_rfqs"
# Of the own facts those that are timed up to the as-of time on any clock, and some others.
WAITING = {
    "waiting_own_rfq_facts": "end_cause is null or state not in ('executed', 'closed_unfilled')",
    "waiting_own_quote_facts": (
        "end_cause is null or has_accept and not has_confirm and not is_lapsed"
    ),
}


def relation(name: str) -> str:
    """Return the query of all rows that a mart's parameter *name* stands for."""
    if name in WAITING:
        rows = relation(name.removeprefix("waiting_"))
        return f"select * from ({rows}) where {WAITING[name]}"  # noqa: S608
    if name.startswith("own_"):
        rows = relation(name.removeprefix("own_").replace("rfq_facts", "visible_rfq_facts"))
        return f"select * from ({rows}) where visibility = 'own'"  # noqa: S608
    if name in LOGS:
        return f"from {LOGS[name]}"
    if name == "visible_rfq_facts":
        is_matured = "created_ts <= getvariable('matured_ts') as is_matured"
        return f"select *, {is_matured} from {VISIBLE}"  # noqa: S608
    if name == "foreign_minutes":
        return _by_minute("read_edges")
    return f"from staging.{name}" if name in TABLES else f"from marts.{name}"


def sent_rfqs(of_part: str) -> str:
    """Return the query of when RFQs were sent, of those facts that the clause *of_part* leaves."""
    query = incremental.text("sent").replace("$by_minute", _by_minute("quoting_edges"))
    return query.replace("$of_part", of_part)


def find_edges_of_quoting(connection: duckdb.DuckDBPyConnection, of_part: str) -> None:
    """Find the minutes that `sent_rfqs` of the same *of_part* tells RFQ by RFQ."""
    connection.execute(incremental.text("quoting_edges").replace("$of_part", of_part))
    name_spans(connection, "quoting_edges", within_minutes("quoting_edges"))


def within_minutes(minutes: str) -> str:
    """Return the query of the first and the last moment of *minutes*, a table."""
    ends = "[minute_start_ts, minute_start_ts + interval 59999999 microsecond]"
    return f"(select unnest({ends}) as created_ts from {minutes})"  # noqa: S608


def _by_minute(edges: str) -> str:
    return incremental.text("by_minute").replace("$edges", edges)


class Inputs:
    """Relations of one database as lazy frames, each of which reads the columns its plan needs.

    DuckDB's own lazy frame reads from the threads that polars runs, and refuses when two of them
    come at once; a second connection would not see what the open transaction has written. So a
    lock lets one in at a time.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._reading = Lock()
        # Several marts ask for the same rows, and to ask DuckDB for their types takes 4 ms.
        self._schemas: dict[str, pl.Schema] = {}

    def of(
        self, mart: Mart, relations: Mapping[str, str], settings: Settings
    ) -> dict[str, pl.LazyFrame | Settings]:
        """Return what *mart* names in its signature: *relations* by name, else all rows of one."""
        return {
            name: settings
            if name == "settings"
            else self.scan(relations.get(name) or relation(name))
            for name in inspect.signature(mart).parameters
        }

    def scan(self, relation: str) -> pl.LazyFrame:
        """Return *relation*, an SQL query."""

        def read(
            columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _: int | None
        ) -> Iterator[pl.DataFrame]:
            wanted = "*" if columns is None else ", ".join(f'"{name}"' for name in columns) or "1"
            with self._reading:
                frame = self._connection.sql(f"select {wanted} from ({relation})").pl()  # noqa: S608
            frame = frame.head(n_rows) if n_rows is not None else frame
            yield frame if predicate is None else frame.filter(predicate)

        return register_io_source(read, schema=self._schema(relation), is_pure=True)

    def _schema(self, relation: str) -> pl.Schema:
        if relation not in self._schemas:
            nothing = self._connection.sql(f"from ({relation}) limit 0").pl()
            self._schemas[relation] = nothing.schema
        return self._schemas[relation]
