"""Computing the marts: of the moved RFQs first, then of the keys that those belong to.

Keys are taken some at a time, so that a market of any size needs no more memory than a part of it.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Literal

import duckdb
import polars as pl

from transforms import incremental
from transforms.adding import Change
from transforms.creations import name_spans
from transforms.keys import DAY, HOUR, PARTITION, RFQ, WHOLE, Key, Mart, Sums, negative
from transforms.partition import (
    NAMES,
    Here,
    Rows,
    asked_by,
    build_marts,
    build_partition,
    engine_for,
    names_of,
    opened,
    sent,
    written,
)
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
from transforms.tables import Frame, Tables, same

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
        self._changes = {
            mart: Change(connection, mart.__name__, key)
            for mart, key in marts.items()
            if isinstance(key, Sums)
        }
        self._engine = self._engine_of_polars()

    def run(self) -> dict[str, int]:
        """Compute all marts; return rows per mart."""
        self._of_rfqs()
        self._count_by_minute()
        incremental.execute(self._connection, "parts")
        for mart, key in self._marts.items():
            if isinstance(key, Sums):
                self._add_up(mart, key)
        for key in _PARTS:
            if key in self._marts.values():
                self._of_key(key)
        for mart, key in self._marts.items():
            if key == WHOLE:
                self._of_whole(mart)
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
        parts_sent = (
            (build_partition, of_all | self._rows_of_part(part), settings) for part in parts
        )
        self._builder.n_partitions = len(parts)
        for part, made in zip(parts, self._builder.build_all(parts_sent), strict=True):
            for mart in marts:
                self._tables.store(mart.__name__, opened(made[mart.__name__]), part)
            for mart, change in self._changes.items():
                change.add(opened(made[mart.__name__]))
        self._tables.show_rfq_facts()

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
        changes = list(self._changes.values())
        if self._is_any("before_rfq_facts", "before_quote_facts"):
            self._count(_BEFORE, changes, is_taken_off=True)
        if self._is_any("aged_rfq_facts"):
            aging = [change for change in changes if change.sums.counts_matured]
            self._count(_aged(is_matured=False), aging, is_taken_off=True)
            self._count(_aged(is_matured=True), aging, is_taken_off=False)
        for mart in marts:
            self._tables.delete_moved(mart.__name__)

    # Sums

    def _count(
        self, relations: Mapping[str, str], changes: list[Change], *, is_taken_off: bool
    ) -> None:
        for change in changes:
            sums = change.sums
            parts = sums.parts(**self._inputs.of(sums.parts, relations, self._settings))
            counted = negative(parts, sums) if is_taken_off else parts
            change.add(counted.collect(engine=self._engine))

    def _add_up(self, mart: Mart, sums: Sums) -> None:
        """Put the change of the sums, if there is any, on what the mart holds of the same keys."""
        change = self._changes[mart]
        if not change.is_any:
            return
        if self._goes_on:
            change.take_held()
            self._tables.delete(mart.__name__, sums.columns, change.touched)
        for totals in change.totals():
            finished = sums.finished(totals.lazy()).collect(engine=self._engine)
            self._tables.store(mart.__name__, finished)

    # Keys

    def _of_key(self, key: tuple[str, ...]) -> None:
        marts = tuple(mart for mart, of_key in self._marts.items() if of_key == key)
        table = _PARTS[key]
        parts = self._parts(table)
        for part, frames in zip(parts, self._frames(marts, key, parts), strict=True):
            for mart, frame in zip(marts, frames, strict=True):
                if self._goes_on:
                    touched = f"(from {table} where part = {part})"
                    self._tables.delete(mart.__name__, key, touched)
                self._tables.store(mart.__name__, frame)

    def _frames(
        self, marts: tuple[Mart, ...], key: tuple[str, ...], parts: list[int]
    ) -> Iterator[Iterable[Frame]]:
        """Compute *marts*, part by part: what is computed elsewhere is sent whole rows, once."""
        if not self._builder.is_elsewhere:
            for part in parts:
                relations = self._read_of_key(asked_by(marts), key, part)
                yield (self._computed(mart, relations) for mart in marts)
            return
        each_read = (self._read_of_key(names_of(marts), key, part) for part in parts)
        work, settings = partial(build_marts, marts), sent(self._settings)
        parts_sent = (
            (work, {name: self._sent(query) for name, query in read_of_part.items()}, settings)
            for read_of_part in each_read
        )
        for made in self._builder.build_all(parts_sent):
            yield (opened(made[mart.__name__]) for mart in marts)

    def _of_whole(self, mart: Mart) -> None:
        self._tables.replace(mart.__name__, self._computed(mart, {}))

    def _read_of_key(self, names: set[str], key: tuple[str, ...], part: int) -> dict[str, str]:
        """Return what is read by *names* to compute a part: of facts those of the part's keys.

        Days and hours are constants, so that DuckDB skips whole blocks of others.
        """
        of_part = {DAY: self._of_days, HOUR: self._of_hours, PARTITION: self._of_markets}[key](part)
        if SENT in names:
            find_edges_of_quoting(self._connection, of_part)
        return {
            name: sent_rfqs(of_part)
            if name == SENT
            else relation(name)
            if name in LOGS
            else f"select * from ({relation(name)}) as held {of_part}"  # noqa: S608
            for name in sorted(names)
        }

    def _of_markets(self, part: int) -> str:
        touched = f"(from parts_of_partitions where part = {part}) as touched"
        return f"semi join {touched} on {same(PARTITION)} where {self._in_days(PARTITION, part)}"

    def _of_days(self, part: int) -> str:
        return f"where {self._in_days(DAY, part)}"

    def _in_days(self, key: tuple[str, ...], part: int) -> str:
        query = f"select distinct cohort_date from {_PARTS[key]} where part = {part} order by all"  # noqa: S608
        days = [day for (day,) in self._connection.execute(query).fetchall()]
        known = ", ".join(f"date '{day.isoformat()}'" for day in days if day is not None)
        is_known = f"cohort_date in ({known})" if known else "false"
        return f"({is_known} or cohort_date is null)" if None in days else is_known

    def _of_hours(self, part: int) -> str:
        # So close that the whole of an hour is one span.
        within = "range(hour_start_ts, hour_start_ts + interval 1 hour, interval 5 minute)"
        last = "hour_start_ts + interval 3599999999 microsecond"
        moments = (
            f"(select unnest(list_append({within}, {last})) as created_ts"  # noqa: S608
            f" from parts_of_hours where part = {part})"
        )
        name_spans(self._connection, "hours", moments)
        each = f"select hour_start_ts from parts_of_hours where part = {part}"  # noqa: S608
        return f"where near_hours(created_ts) and date_trunc('hour', created_ts) in ({each})"

    def _parts(self, table: str) -> list[int]:
        """Return the parts in *table*, which may be none where a build goes on.

        A build of everything computes one of no rows then, from which the tables are made.
        """
        query = f"select distinct part from {table} order by part"  # noqa: S608
        parts = [int(part) for (part,) in self._connection.execute(query).fetchall()]
        return parts if parts or self._goes_on else [0]

    def _is_any(self, *tables: str) -> bool:
        counted = " + ".join(f"(select count(*) from {table})" for table in tables)  # noqa: S608
        ((rows,),) = self._connection.execute(f"select {counted}").fetchall()
        return bool(rows)

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


def _read_of_rfqs(part: int) -> dict[str, str]:
    """Return what is read to compute a part of the RFQs, by name."""
    places = f"select place from parts_of_rfqs where part = {part} and"  # noqa: S608
    quotes = f"select place from parts_of_quotes where part = {part}"  # noqa: S608
    quoted_rfqs = (
        "select * exclude (cohort_date) from incremental.quoted_rfqs"  # noqa: S608
        f" where rowid in ({places} has_quotes)"
    )
    unquoted_rfqs = (
        f"from staging.rfqs where near_moved(created_ts) and rowid in ({places} not has_quotes)"
    )
    return {
        "rfqs": f"({unquoted_rfqs}) union all by name ({quoted_rfqs})",
        "quotes": f"from staging.quotes where rowid in ({quotes})",
    }
