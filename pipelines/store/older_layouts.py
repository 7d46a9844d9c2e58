"""What earlier versions of ours have left in a private file, and how it goes on from there."""

import logging

import duckdb

from pipelines.store.stamp import LAYOUT, tables_in
from transforms.raw import create_raw_tables, raw_schema

_log = logging.getLogger(__name__)

# Layout 1 had the legs in each version. The hash of a list is made as a load makes it.
_LEG_LIST = "md5(coalesce(market_ticker, '') || chr(31) || mve_selected_legs)"
_LEGS_APART = f"""
insert into raw.leg_lists by name
select {_LEG_LIST} as leg_list, nullif(market_ticker, '') as market_ticker, mve_selected_legs,
    min($load) as load
from raw.rfq_versions_before where mve_selected_legs is not null group by all;
insert into raw.rfq_versions by name
select $columns, {_LEG_LIST} as leg_list from raw.rfq_versions_before;
drop table raw.rfq_versions_before;
"""  # noqa: S608 -- no input in it


def take_over(connection: duckdb.DuckDBPyConnection) -> None:
    """Bring the tables of raw to today's layout: all of it at once, or nothing."""
    columns = _columns_of_versions(connection)
    if columns and "load" not in columns:
        _log.warning(
            "an earlier version loaded this database and did not note when lists were served: what "
            "it read is load 0, and its RFQs count as read late, not as watched"
        )
    connection.execute("begin")
    try:
        if "mve_selected_legs" in columns:
            _keep_legs_apart(connection, columns)
        else:
            create_raw_tables(connection)
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def leave_older_layout(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop what earlier versions built in the private file, once it is published from elsewhere."""
    for schema in ("staging", "marts", "incremental"):
        connection.execute(f"drop schema if exists {schema} cascade")


def _keep_legs_apart(connection: duckdb.DuckDBPyConnection, columns: set[str]) -> None:
    _log.warning("an earlier version loaded this database: its legs are stored once from now on")
    connection.execute("alter table raw.rfq_versions rename to rfq_versions_before")
    create_raw_tables(connection)
    kept = [name for name in raw_schema("rfq_versions").names if name in columns]
    apart = _LEGS_APART.replace("$columns", ", ".join(kept))
    connection.execute(apart.replace("$load", "load" if "load" in columns else "0"))
    if ("raw", "_dlt_version") in tables_in(connection):
        # dlt would add the column again, which its note of the tables still has.
        connection.execute("delete from raw._dlt_version")
    # One without a stamp gets today's.
    connection.execute("update raw.stamp set layout = $1", [LAYOUT])


def _columns_of_versions(connection: duckdb.DuckDBPyConnection) -> set[str]:
    found = connection.execute(
        "select column_name from duckdb_columns() where database_name = current_catalog()"
        " and schema_name = 'raw' and table_name = 'rfq_versions'"
    ).fetchall()
    return {name for (name,) in found}
