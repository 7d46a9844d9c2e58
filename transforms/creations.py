"""Where the rows of an id stand: all tables are about in the order in which ids were created.

So an id is looked for where it was created, in few blocks of a table of any length. When that was
is noted by the hash of the id: 8 bytes each are read through in a tenth of the time of the ids.
"""

import duckdb

from transforms import incremental

# Seconds. The market takes 45 minutes for a block of 122,880 rows.
FAR_APART_S = 600
MOST_SPANS = 16


def note_all(connection: duckdb.DuckDBPyConnection, name: str, key: str, raw: str) -> None:
    """Note when each id of the staging table *name* was created, and all else raw says of that."""
    noted = f"incremental.{name}_creations"
    connection.execute(
        f"create or replace table {noted} as"  # noqa: S608
        f" select hash({key}) as id_hash, created_ts from staging.{name};"
        f" insert into {noted}"
        f" select distinct id_hash, created_ts {_anti(f'raw.{raw}', noted)}"
    )


def note_changed(connection: duckdb.DuckDBPyConnection, name: str, raw: str) -> None:
    """Note what the rows in `changed_RAW` say that was not noted of the ids looked for."""
    connection.execute(
        f"insert into incremental.{name}_creations"
        f" select distinct id_hash, created_ts {_anti(f'changed_{raw}', f'located_{name}')}"
    )


def locate(connection: duckdb.DuckDBPyConnection, name: str, raw: str) -> None:
    """Look for the ids in `sought_NAME`: their creations are in `located_NAME` then.

    What was loaded since the last build is not noted yet: its creations are among `moments_NAME` as
    well, which are all at which a row of these ids may have been created.
    """
    connection.execute(
        f"create or replace temp table located_{name} as"  # noqa: S608
        f" from incremental.{name}_creations"
        f" where id_hash in (select hash(id) from sought_{name})"
    )
    news = f"select created_ts from raw.{raw} where load > getvariable('last_load')"  # noqa: S608
    located = f"select created_ts from located_{name}"  # noqa: S608
    connection.execute(f"create or replace temp table moments_{name} as {located} union {news}")
    name_spans(connection, name, f"moments_{name}")


def name_spans(connection: duckdb.DuckDBPyConnection, name: str, moments: str) -> None:
    """Let `near_NAME(created_ts)` tell whether that is in one of the spans that hold *moments*.

    *moments* is a table with a column `created_ts`. With constants DuckDB skips whole blocks.
    """
    query = incremental.text("spans")
    for placeholder, value in (("moments", moments), ("far", FAR_APART_S), ("most", MOST_SPANS)):
        query = query.replace(f"${placeholder}", str(value))
    spans = connection.execute(query).fetchall()
    within = [
        f"created_ts between timestamptz '{low}' and timestamptz '{high}'" for low, high in spans
    ]
    _name(connection, name, " or ".join(within) or "false")


def name_all(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Let `near_NAME(created_ts)` be true of every row."""
    _name(connection, name, "true")


def _anti(versions: str, noted: str) -> str:
    hashed = f"(select hash(id) as id_hash, created_ts from {versions})"  # noqa: S608
    return f"from {hashed} anti join {noted} using (id_hash, created_ts)"


def _name(connection: duckdb.DuckDBPyConnection, name: str, within: str) -> None:
    connection.execute(f"create or replace temp macro near_{name}(created_ts) as ({within})")
