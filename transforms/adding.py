"""What a build adds to a mart that is sums, and takes off it.

It is kept in the database until all is known, so that a build of any length holds no more of it in
memory than a part.
"""

from collections.abc import Iterator

import duckdb
import polars as pl

from transforms.keys import Sums
from transforms.tables import Frame, lent, same

KEYS_PER_PART = 200_000


class Change:
    """What there is to add to the sums of the mart *name*: rows of the sums' key and columns."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, name: str, sums: Sums) -> None:
        self.sums = sums
        self.touched = f"touched_{name}"
        """The table of the keys of which a sum changes, once what is held has been taken."""
        self._connection = connection
        self._name = name
        self._table = f"change_of_{name}"
        # Each column that is summed up, with its type.
        self._summed: dict[str, str] = {}
        connection.execute(f"drop table if exists temp.{self._table}")

    @property
    def is_any(self) -> bool:
        """Whether something was added, be it of no rows."""
        return bool(self._summed)

    def add(self, parts: Frame) -> None:
        """Add *parts*."""
        with lent(self._connection, parts):
            if not self._summed:
                empty = f"create temp table {self._table} as from _rows limit 0"
                self._connection.execute(empty)
                described = self._connection.execute(f"describe {self._table}").fetchall()
                columns = {column: kind for column, kind, *_ in described}
                self._summed = {
                    column: kind
                    for column, kind in columns.items()
                    if column not in self.sums.columns
                }
            self._connection.execute(f"insert into {self._table} by name from _rows")

    def take_held(self) -> None:
        """Add what the mart holds of the keys that change, to which the change is then put."""
        changes = " or ".join(f"sum({column}) <> 0" for column in self._summed)
        columns = ", ".join([*self.sums.columns, *self._summed])
        key = ", ".join(self.sums.columns)
        self._connection.execute(
            f"create or replace temp table {self.touched} as select {key} from {self._table}"  # noqa: S608
            f" group by all having {changes};"
            f" insert into {self._table} by name select {columns} from marts.{self._name} as held"
            f" semi join {self.touched} as touched on {same(self.sums.columns)}"
        )

    def totals(self) -> Iterator[pl.DataFrame]:
        """Return the sums by key, some keys at a time; a key of which nothing is left has none."""
        key = ", ".join(self.sums.columns)
        summed = ", ".join(
            f"coalesce(sum({column}), 0)::{kind} as {column}"
            for column, kind in self._summed.items()
        )
        total = f"total_of_{self._name}"
        self._connection.execute(
            f"create or replace temp table {total} as"  # noqa: S608
            f" select *, (row_number() over (order by {key}) - 1) // {KEYS_PER_PART} as part"
            f" from (select {key}, {summed} from {self._table} group by all)"
            f" where {self.sums.counted} <> 0;"
            f" drop table {self._table}"
        )
        query = f"select coalesce(max(part), 0) from {total}"  # noqa: S608
        ((last,),) = self._connection.execute(query).fetchall()
        for part in range(last + 1):
            of_part = f"select * exclude (part) from {total} where part = {part}"  # noqa: S608
            yield self._connection.sql(of_part).pl()
        self._connection.execute(f"drop table {total}")
