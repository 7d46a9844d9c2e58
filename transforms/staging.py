"""The staging tables: the current state of each id, chosen among all that were seen of it.

The choice is a query per table, in `views/`. It needs nothing but the states of the id itself, so
the rows of a few ids are replaced by running it over those alone.
"""

from datetime import UTC
from importlib.resources import files

import duckdb

from transforms.bounds import believed, believed_legs, named
from transforms.settings import Settings

# Each table with the column that holds the id, and the raw table of the id's states.
TABLES = {
    "rfqs": ("rfq_id", "rfq_versions", "changed_rfqs"),
    "rfq_legs": ("rfq_id", "rfq_versions", "changed_rfqs"),
    "quotes": ("quote_id", "quote_versions", "changed_quotes"),
}


def stage(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Make the staging tables anew, as the data stood at `settings.as_of`."""
    connection.execute("drop schema if exists staging cascade")
    connection.execute("create schema staging")
    for name, (_, raw, _) in TABLES.items():
        use = f"create table staging.{name} as"
        _execute(connection, use, name, raw, f"from raw.{raw}", settings)


def restage(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Replace the rows of the ids in the tables `changed_rfqs` and `changed_quotes`."""
    for name, (key, raw, changed) in TABLES.items():
        connection.execute(f"delete from staging.{name} where {key} in (from {changed})")  # noqa: S608
        versions = f"from changed_{raw}"
        sights = f"(from raw.last_seen semi join {changed} using (id)) as last_seen"
        _execute(connection, f"insert into staging.{name}", name, raw, versions, settings, sights)


def _execute(
    connection: duckdb.DuckDBPyConnection,
    use: str,
    name: str,
    raw: str,
    versions: str,
    settings: Settings,
    sights: str = "raw.last_seen",
) -> None:
    query = view(name, raw, versions, sights)
    known = {"as_of": settings.as_of.astimezone(UTC), "viewer_id": settings.viewer_id}
    asked = {parameter: of for parameter, of in known.items() if f"${parameter}" in query}
    connection.execute(f"{use}\n{query}", asked)


def view(name: str, raw: str, versions: str, sights: str = "raw.last_seen") -> str:
    """Return the query of a staging table over *versions*, a query of rows of that raw table.

    *sights* stands for `raw.last_seen`, so that a few ids need not the sights of all.
    """
    query = (files("transforms") / "views" / f"{name}.sql").read_text()
    query = query.replace("raw.last_seen", sights)
    query = query.replace("$versions", believed(raw, versions))
    query = query.replace("$out_of_bounds", named(raw))
    return believed_legs(query) if name == "rfq_legs" else query
