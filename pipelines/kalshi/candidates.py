"""Which records may have to be read by id: kept in small tables, folded from what is new in raw.

`candidates.sql` says what they hold, by queries over all of raw. Those would read more in every
run, so they are asked once; after that, each load's rows are folded into the tables. A load that
was killed left no note, and whatever it had stored is folded by the next one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import duckdb

from pipelines.kalshi.versions import GONE
from transforms.raw import with_conditions

_TABLES = ("folded", "quotes", "rfqs", "unknown_rfqs")
_NEWS = ("rfq_versions", "quote_versions", "tombstones")

# Whose state is looked up again, each with the latest moment at which it can have been created:
# NULL where nothing tells that, which has all of raw looked through.
_ASKED = {
    "quotes": """
        select id, min(until_ts) as until_ts from (
            select id, created_ts as until_ts from news_of_quote_versions
            union all
            select id, known.created_ts
            from news_of_tombstones left join candidates.quotes as known using (id)
            where resource = 'quotes'
        ) group by id
    """,
    "rfqs": """
        select id, min(until_ts) as until_ts from (
            select rfq_id as id, created_ts as until_ts from news_of_quote_versions
            union all select rfq_id, created_ts from found_quotes
            union all
            select id, created_ts from news_of_rfq_versions
            where $is_shown_own or id in (from candidates.unknown_rfqs)
            union all
            select id, known.created_ts
            from news_of_tombstones left join candidates.rfqs as known using (id)
            where resource = 'rfqs'
        ) group by id
    """,
}
_FOUND = {
    "quotes": """
        select
            id, any_value(rfq_id) as rfq_id, min(created_ts) as created_ts,
            max(creator_id) as creator_id, max(rfq_creator_id) as rfq_creator_id,
            coalesce(bool_and($is_open), false) as is_open
        from held_quote_versions where {condition} group by id
    """,
    "rfqs": """
        select
            id, min(created_ts) as created_ts,
            coalesce(bool_or($is_shown_own), false) as is_own,
            coalesce(bool_and($is_open), false) as is_open,
            coalesce(bool_or(not $is_open), false) as is_over
        from held_rfq_versions where {condition} group by id
    """,
}
_FOLD = """
create or replace temp table over_rfqs as
select id from news_of_rfq_versions where not $is_open
union select id from found_rfqs where is_over union from gone_rfqs;

delete from candidates.rfqs where id in (select id from asked_rfqs union from over_rfqs);
insert into candidates.rfqs
select id, created_ts, is_own from found_rfqs
where is_open and id not in (from over_rfqs);

delete from candidates.unknown_rfqs
where id in (select id from asked_rfqs union select id from news_of_rfq_versions);
insert into candidates.unknown_rfqs
select id from asked_rfqs where id not in (select id from found_rfqs union from gone_rfqs);

delete from candidates.quotes where id in (select id from asked_quotes);
insert into candidates.quotes
select id, rfq_id, created_ts, creator_id, rfq_creator_id, false from found_quotes
where is_open and id not in (from gone_quotes);
update candidates.quotes set is_rfq_over = rfq_id in (from over_rfqs)
where rfq_id in (select id from asked_rfqs union from over_rfqs);
"""


class Candidates:
    """The tables of one held database, by a cursor that has the views of `Held`."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor

    def bring_up(self, load: int) -> None:
        """Fold what raw holds of the loads before *load*, or make the tables anew."""
        folded = self._folded()
        if folded is None or folded >= load:
            self._make(load - 1)
        elif folded < load - 1:
            for table in _NEWS:
                self._execute(
                    f"create or replace temp view news_of_{table} as"
                    f" from raw.{table} where load > {folded} and load < {load}"
                )
            with self._transaction("commit"):
                self._fold()
                self._execute("update candidates.folded set load = $1", [load - 1])

    @contextmanager
    def with_news(self) -> Iterator[None]:
        """Within, the tables hold the news of this load as well, which dlt has yet to store."""
        with self._transaction("rollback"):
            self._fold()
            yield

    @contextmanager
    def _transaction(self, end: str) -> Iterator[None]:
        self._execute("begin")
        try:
            yield
        except BaseException:
            self._execute("rollback")
            raise
        self._execute(end)

    def _folded(self) -> int | None:
        found = self._execute(
            "select table_name from duckdb_tables() where database_name = current_catalog()"
            " and schema_name = 'candidates' order by all"
        ).fetchall()
        if [name for (name,) in found] != list(_TABLES):
            return None
        return int(self._execute("select load from candidates.folded").fetchall()[0][0])

    def _make(self, folded: int) -> None:
        for resource in _FOUND:
            gone = _gone(resource, "raw.tombstones", "'-infinity'")
            self._execute(f"create or replace temp view gone_{resource} as {gone}")
        with self._transaction("commit"):
            self._execute((files("pipelines.kalshi") / "candidates.sql").read_text())
            self._execute(
                "create or replace table candidates.folded as select $1 as load", [folded]
            )
        for resource in _FOUND:
            self._execute(f"drop view gone_{resource}")

    def _fold(self) -> None:
        if self._is_any(*(f"news_of_{table}" for table in _NEWS)):
            for resource in _FOUND:
                self._find(resource)
            self._execute(_FOLD)

    def _find(self, resource: str) -> None:
        """Collect what is held of each record that the news may have changed: `found_…`, `gone_…`.

        Each is looked for around the day on which it must have been created, and everywhere only if
        it is not found there, or nothing tells the day.
        """
        asked, found = f"asked_{resource}", f"found_{resource}"
        self._execute(f"create or replace temp table {asked} as {_ASKED[resource]}")
        nothing = _FOUND[resource].format(condition="false")
        self._execute(f"create or replace temp table {found} as {nothing}")
        days = self._execute(
            f"select min(until_ts), max(until_ts) from {asked}"  # noqa: S608
            " where until_ts is not null group by until_ts::date"
        ).fetchall()
        for low, high in days:
            # Observed: an RFQ lives three hours, so it is at most that much older than its quotes.
            # Nor need all versions of an id show its creation to the same digit.
            span = (
                "between timestamptz '{}' - interval 4 hours and timestamptz '{}' + interval 1 hour"
            )
            created = f"created_ts {span.format(low, high)}"
            self._insert_found(resource, f"until_ts between '{low}' and '{high}'", created)
        left = f"id not in (select id from {found})"  # noqa: S608
        if self._is_any(f"(from {asked} where {left})"):
            self._insert_found(resource, left, "true")
        gone = _gone(resource, "held_tombstones", self._tombstones_since(asked))
        self._execute(
            f"create or replace temp table gone_{resource} as"  # noqa: S608
            f" select id from ({gone}) semi join {asked} using (id)"
        )

    def _insert_found(self, resource: str, asked: str, created: str) -> None:
        condition = f"id in (select id from asked_{resource} where {asked}) and {created}"  # noqa: S608
        self._execute(
            f"insert into found_{resource} {_FOUND[resource].format(condition=condition)}"
        )

    def _tombstones_since(self, asked: str) -> str:
        """Before when no tombstone can tell anything of the ids in *asked*.

        One is younger than its id; all that is said of one absence bears about the same moment.
        """
        earliest = f"select min(until_ts) - interval 1 day from {asked}"  # noqa: S608
        of_news = "select min(gone_ts) - interval 8 days from news_of_tombstones"
        ((since,),) = self._execute(
            f"select coalesce(least(({earliest}), ({of_news})), '-infinity')::varchar"
        ).fetchall()
        return f"'{since}'"

    def _is_any(self, *relations: str) -> bool:
        exist = " or ".join(f"exists (from {relation})" for relation in relations)
        return bool(self._execute(f"select {exist}").fetchall()[0][0])

    def _execute(self, query: str, values: list[Any] | None = None) -> duckdb.DuckDBPyConnection:
        return self._cursor.execute(with_conditions(query), values)


def _gone(resource: str, tombstones: str, since: str) -> str:
    return GONE.format(tombstones=tombstones, resource=resource, since=f"timestamptz {since}")
