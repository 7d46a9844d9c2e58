"""The tables of the marts: rows put in, rows taken out, and a count of both that is checked."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import duckdb
import polars as pl
import pyarrow as pa

from transforms.marts.rfq_facts import TOLD_BY_QUOTES
from transforms.reading import FOREIGN, VISIBLE

RFQ_FACTS, QUOTE_FACTS = "rfq_facts", "quote_facts"
_SHOWN_QUOTES = "insert into shown_quotes select distinct cohort_date, market_ticker from _rows"
_SHOWN_RFQS = (
    "insert into shown_rfqs select distinct cohort_date, market_ticker,"
    " date_trunc('hour', created_ts), {} from _rows"
)
_TOUCHED_MINUTES = (
    "insert into touched_minutes select distinct date_trunc('minute', created_ts) from _rows"
)


Frame: TypeAlias = pl.DataFrame | pa.Table


class _Lent:
    """Rows that DuckDB reads as often as it asks, until they are taken back."""

    def __init__(self, rows: pa.Table) -> None:
        self.rows: pa.Table | None = rows

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        if self.rows is None:
            raise ValueError("these rows were taken back")
        return self.rows.__arrow_c_stream__(requested_schema)


@contextmanager
def lent(
    connection: duckdb.DuckDBPyConnection, frame: Frame, name: str = "_rows"
) -> Iterator[None]:
    """Let statements read *frame* by *name* within the block.

    DuckDB keeps what it was given to the end of its transaction: of ten million RFQs all facts were
    in memory at the end of a build. So it is given something that lets go of them.
    """
    rows = _Lent(frame.to_arrow() if isinstance(frame, pl.DataFrame) else frame)
    connection.register(name, rows)
    try:
        yield
    finally:
        connection.unregister(name)
        rows.rows = None


class Tables:
    """The tables named, all of them empty or, where a build *goes_on*, with what they hold."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, names: Iterable[str], *, goes_on: bool
    ) -> None:
        self._connection = connection
        # How many rows each is to have once the build is done.
        self._expected = {name: self._rows(name) if goes_on else 0 for name in names}

    def counts(self) -> dict[str, int]:
        """Return how many rows each has; RuntimeError where these are not all that were stored."""
        for name, expected in self._expected.items():
            held = self._rows(name)
            if held != expected:
                raise RuntimeError(f"marts.{name} shows {held} of {expected} rows written")
        return self._expected

    def store(self, name: str, frame: Frame, part: int = 0) -> None:
        """Add rows to a mart, which is made with the first; facts are of a *part* of the RFQs."""
        if name == RFQ_FACTS:
            self._store_rfq_facts(pl.DataFrame(frame), part)
        else:
            with lent(self._connection, frame):
                self._insert(f"marts.{name}")
                if name == QUOTE_FACTS:
                    self._connection.execute(_SHOWN_QUOTES)
        self._expected[name] += len(frame)

    def show_rfq_facts(self) -> None:
        """Show both tables as one. Which RFQs have matured is a constant's work and not stored."""
        shown = [f'"{name}"' for name in self._columns(VISIBLE)]
        matured = "created_ts <= timestamptz '{}' as is_matured".format(*self._matured_ts())
        shown.insert(shown.index('"state"') + 1, matured)
        self._connection.execute(
            f"create or replace view marts.{RFQ_FACTS} as select {', '.join(shown)}"  # noqa: S608
            f" from (from {VISIBLE} union all by name from {FOREIGN})"
        )

    def replace(self, name: str, frame: pl.DataFrame) -> None:
        """Make a mart anew."""
        with lent(self._connection, frame):
            self._connection.execute(f"create or replace table marts.{name} as from _rows")
        self._expected[name] = frame.height

    def delete(self, name: str, key: tuple[str, ...], touched: str) -> None:
        """Take out the rows of the keys that are in *touched*, a table or a query in brackets."""
        self._expected[name] -= self._changed(
            f"delete from marts.{name} as held using {touched} as touched where {same(key)}"  # noqa: S608
        )

    def delete_moved(self, name: str) -> None:
        """Take out the rows of the moved RFQs."""
        if name == RFQ_FACTS:
            near = "near_moved(created_ts) and"
            places = {VISIBLE: "rowid in (from held_visible)"}
            places[FOREIGN] = f"{near} rowid in (from held_foreign)"
            statements = [f"delete from {table} where {at}" for table, at in places.items()]  # noqa: S608
        else:
            moved = "select rfq_id from moved_rfqs"
            statements = [f"delete from marts.{name} where rfq_id in ({moved})"]  # noqa: S608
        self._expected[name] -= sum(self._changed(each) for each in statements)

    def _store_rfq_facts(self, frame: pl.DataFrame, part: int) -> None:
        """Keep the RFQs whose quotes we see apart, by which they are asked for."""
        query = f"select rfq_id from parts_of_rfqs where part = {part} and has_quotes"  # noqa: S608
        quoted = self._connection.sql(query).pl()["rfq_id"]
        is_visible = (pl.col("visibility") != "foreign") | pl.col("rfq_id").is_in(
            quoted.implode(), nulls_equal=True
        )
        facts = frame.drop("is_matured")
        with lent(self._connection, facts.filter(is_visible)):
            self._insert(VISIBLE)
            self._connection.execute(_SHOWN_RFQS.format(True))
        with lent(self._connection, facts.filter(~is_visible).drop(TOLD_BY_QUOTES)):
            self._insert(FOREIGN)
            self._connection.execute(_SHOWN_RFQS.format(False))
            self._connection.execute(_TOUCHED_MINUTES)

    def _insert(self, table: str) -> None:
        self._create(table, "from _rows")
        self._connection.execute(f"insert into {table} by name from _rows")

    def _create(self, table: str, rows: str) -> None:
        described = self._connection.execute(f"describe {rows}").fetchall()
        columns = ", ".join(f'"{column}" {kind}' for column, kind, *_ in described)
        self._connection.execute(f"create table if not exists {table} ({columns})")

    def _columns(self, table: str) -> list[str]:
        return [name for name, *_ in self._connection.execute(f"describe {table}").fetchall()]

    def _matured_ts(self) -> Iterable[str]:
        ((moment,),) = self._connection.execute("select getvariable('matured_ts')").fetchall()
        return (moment.isoformat(),)

    def _changed(self, statement: str) -> int:
        ((rows,),) = self._connection.execute(statement).fetchall()
        return int(rows)

    def _rows(self, name: str) -> int:
        # A table knows how many rows it has, and a view would read them.
        tables = (VISIBLE, FOREIGN) if name == RFQ_FACTS else (f"marts.{name}",)
        return sum(self._changed(f"select count(*) from {table}") for table in tables)  # noqa: S608


def same(key: tuple[str, ...]) -> str:
    """Return SQL that is true where rows `held` and `touched` have the same *key*, NULL as well."""
    return " and ".join(f"held.{column} is not distinct from touched.{column}" for column in key)
