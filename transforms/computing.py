"""Computing the marts: of the moved RFQs first, then of the keys that those belong to.

Keys are taken some at a time, so that a market of any size needs no more memory than a part of it.
"""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import duckdb
import polars as pl

from transforms import incremental
from transforms.creations import name_spans
from transforms.keys import DAY, HOUR, PARTITION, RFQ, WHOLE, Key, Mart, Sums, added_up, negative
from transforms.partition import NAMES, Here, Rows, engine_for, read, sent, written
from transforms.reading import (
    LOGS,
    SENT,
    Inputs,
    find_edges_of_quoting,
    relation,
    sent_rfqs,
    within_minutes,
)
from transforms.settings import Settings
from transforms.tables import Tables, lent, same

_PARTS = {PARTITION: "parts_of_partitions", DAY: "parts_of_days", HOUR: "parts_of_hours"}
_BEFORE = {name: f"from before_{name}" for name in ("rfq_facts", "quote_facts")}


class Computation:
    """The marts of one build, which goes on from what is there or finds nothing."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        marts: Mapping[Mart, Key],
        settings: Settings,
        *,
        goes_on: bool,
        builder: Here,
    ) -> None:
        self._connection = connection
        self._builder = builder
        self._marts = marts
        self._settings = settings
        self._goes_on = goes_on
        self._tables = Tables(connection, [mart.__name__ for mart in marts], goes_on=goes_on)
        self._inputs = Inputs(connection)
        self._change: dict[Mart, pl.DataFrame] = {}
        self._engine = self._engine_of_polars()

    def run(self) -> dict[str, int]:
        """Compute all marts; return rows per mart."""
        self._of_rfqs()
        self._count_by_minute()
        incremental.execute(self._connection, "parts")
        for mart, key in self._marts.items():
            if isinstance(key, Sums):
                self._add_up(mart, key)
            elif key == WHOLE:
                self._of_whole(mart)
            elif key != RFQ:
                self._of_key(mart, key)
        return self._tables.counts()

    def _of_rfqs(self) -> None:
        """Compute what has a row per RFQ or quote, and add up what those rows add to sums."""
        marts = [mart for mart, key in self._marts.items() if key == RFQ]
        if self._goes_on:
            self._forget_moved(marts)
        else:
            incremental.execute(self._connection, "nothing_before")
        settings, of_all = sent(self._settings), self._rows_of_all()
        parts = self._parts("parts_of_rfqs")
        partitions = ((of_all | self._rows_of_part(part), settings) for part in parts)
        for made in self._builder.build_all(partitions):
            for mart in marts:
                self._tables.store(mart.__name__, read(made[mart.__name__]))
            for mart, sums in self._with_sums():
                self._add(mart, sums, read(made[mart.__name__]).lazy())

    def _count_by_minute(self) -> None:
        """Count strangers' RFQs by minute, where they have changed."""
        name_spans(self._connection, "touched_minutes", within_minutes("touched_minutes"))
        incremental.execute(self._connection, "minutes")
        name_spans(self._connection, "read_edges", within_minutes("read_edges"))

    def _rows_of_all(self) -> Rows:
        """Return the rows that every part needs, whichever its RFQs are, as they are sent."""
        return {name: self._sent(relation(name)) for name in NAMES if name in LOGS}

    def _rows_of_part(self, part: int) -> Rows:
        """Return the rows of a part of the RFQs, as they are sent."""
        return {name: self._sent(query) for name, query in _read_of_rfqs(part).items()}

    def _sent(self, query: str) -> bytes:
        return written(self._connection.sql(query).pl())

    def _forget_moved(self, marts: list[Mart]) -> None:
        """Take the moved RFQs out of tables and sums, and count what has matured as such."""
        incremental.execute(self._connection, "before")
        self._take_off(_BEFORE)
        self._take_off(_aged(is_matured=False))
        self._put_on_read(_aged(is_matured=True))
        for mart in marts:
            self._tables.delete_moved(mart.__name__)

    # Sums

    def _take_off(self, relations: Mapping[str, str]) -> None:
        for mart, sums in self._with_sums():
            self._add(mart, sums, negative(self._parts_read(sums, relations), sums))

    def _put_on_read(self, relations: Mapping[str, str]) -> None:
        for mart, sums in self._with_sums():
            self._add(mart, sums, self._parts_read(sums, relations))

    def _with_sums(self) -> Iterator[tuple[Mart, Sums]]:
        return ((mart, key) for mart, key in self._marts.items() if isinstance(key, Sums))

    def _parts_read(self, sums: Sums, relations: Mapping[str, str]) -> pl.LazyFrame:
        return sums.parts(**self._inputs.of(sums.parts, relations, self._settings))

    def _add(self, mart: Mart, sums: Sums, parts: pl.LazyFrame) -> None:
        before = [self._change[mart].lazy()] if mart in self._change else []
        self._change[mart] = added_up([*before, parts], sums).collect(engine=self._engine)

    def _add_up(self, mart: Mart, sums: Sums) -> None:
        """Put the change of the sums on what the mart holds of the same keys."""
        is_changed = pl.any_horizontal(pl.exclude(sums.columns) != 0)
        change = self._change[mart].filter(is_changed)
        total = added_up([self._held(mart, sums, change), change.lazy()], sums)
        left = total.filter(pl.col(sums.counted) != 0)
        self._tables.store(mart.__name__, sums.finished(left).collect(engine=self._engine))

    def _held(self, mart: Mart, sums: Sums, change: pl.DataFrame) -> pl.LazyFrame:
        """Take what the mart holds of the keys of *change* out of it."""
        if not self._goes_on:
            return change.clear().lazy()
        with lent(self._connection, change.select(sums.columns), "_change"):
            held = self._connection.sql(
                f"from marts.{mart.__name__} as held semi join _change as touched on"
                f" {same(sums.columns)}"
            )
            rows: pl.DataFrame = held.pl()
            self._tables.delete(mart.__name__, sums.columns, "_change")
        return rows.lazy().select(
            *sums.columns, pl.col(change.columns[len(sums.columns) :]).fill_null(0)
        )

    # Keys

    def _of_key(self, mart: Mart, key: tuple[str, ...]) -> None:
        table = _PARTS[key]
        for part in self._parts(table):
            frame = self._computed(mart, self._read_of_key(mart, key, part))
            if self._goes_on:
                touched = f"(from {table} where part = {part})"
                self._tables.delete(mart.__name__, key, touched)
            self._tables.store(mart.__name__, frame)

    def _of_whole(self, mart: Mart) -> None:
        self._tables.replace(mart.__name__, self._computed(mart, {}))

    def _read_of_key(self, mart: Mart, key: tuple[str, ...], part: int) -> dict[str, str]:
        """Return what *mart* reads of the part's keys, by name.

        Days and hours are constants, so that DuckDB skips whole blocks of others.
        """
        of_part = {DAY: self._of_days, HOUR: self._of_hours}.get(key, _of_markets)(part)
        names = [name for name in inspect.signature(mart).parameters if name not in LOGS]
        if SENT in names:
            find_edges_of_quoting(self._connection, of_part)
        return {
            name: sent_rfqs(of_part)
            if name == SENT
            else f"select * from ({relation(name)}) as held {of_part}"  # noqa: S608
            for name in names
            if name != "settings"
        }

    def _of_days(self, part: int) -> str:
        days = self._column("cohort_date", "parts_of_days", part)
        known = ", ".join(f"date '{day.isoformat()}'" for day in days if day is not None)
        is_known = f"cohort_date in ({known})" if known else "false"
        return f"where {is_known} or cohort_date is null" if None in days else f"where {is_known}"

    def _of_hours(self, part: int) -> str:
        hours = sorted(self._column("hour_start_ts", "parts_of_hours", part))
        if not hours:
            return "where false"
        first, last = (f"timestamptz '{hour.isoformat()}'" for hour in (hours[0], hours[-1]))
        each = f"select hour_start_ts from parts_of_hours where part = {part}"  # noqa: S608
        return (
            f"where created_ts >= {first} and created_ts < {last} + interval 1 hour"
            f" and date_trunc('hour', created_ts) in ({each})"
        )

    def _column(self, column: str, table: str, part: int) -> list[Any]:
        query = f"select {column} from {table} where part = {part}"  # noqa: S608
        return [value for (value,) in self._connection.execute(query).fetchall()]

    def _parts(self, table: str) -> list[int]:
        query = f"select distinct part from {table} order by part"  # noqa: S608
        return [int(part) for (part,) in self._connection.execute(query).fetchall()] or [0]

    def _computed(self, mart: Mart, relations: Mapping[str, str]) -> pl.DataFrame:
        plan = mart(**self._inputs.of(mart, relations, self._settings))
        return plan.collect(engine=self._engine)

    def _engine_of_polars(self) -> Literal["in-memory", "auto"]:
        counted = "select sum(estimated_size) from duckdb_tables() where schema_name = 'staging'"
        ((rows,),) = self._connection.execute(counted).fetchall()
        return engine_for(rows or 0)


def _aged(*, is_matured: bool) -> dict[str, str]:
    """Return the facts that have matured since the last build, as not matured or as matured."""
    return {
        "rfq_facts": f"select *, {is_matured} as is_matured from aged_rfq_facts",  # noqa: S608
        "quote_facts": "from before_quote_facts limit 0",
    }


def _of_markets(part: int) -> str:
    touched = f"(from parts_of_partitions where part = {part}) as touched"
    return f"semi join {touched} on {same(PARTITION)}"


def _read_of_rfqs(part: int) -> dict[str, str]:
    """Return what is read to compute a part of the RFQs, by name."""
    places = f"select place from parts_of_rfqs where part = {part} and"  # noqa: S608
    quoted = f"select rfq_id from parts_of_rfqs where part = {part} and has_quotes"  # noqa: S608
    quoted_rfqs = (
        "select * exclude (cohort_date) from incremental.quoted_rfqs"  # noqa: S608
        f" where rowid in ({places} has_quotes)"
    )
    unquoted_rfqs = (
        f"from staging.rfqs where near_moved(created_ts) and rowid in ({places} not has_quotes)"
    )
    return {
        "rfqs": f"({unquoted_rfqs}) union all by name ({quoted_rfqs})",
        "quoted_rfqs": quoted_rfqs,
        "quotes": f"from staging.quotes where rfq_id in ({quoted})",
    }
