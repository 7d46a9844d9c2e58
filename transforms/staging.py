"""The staging tables: the current state of each id, chosen among all that were seen of it.

The choice is a query per table, in `views/`. It needs nothing but the states of the id itself, so
the rows of a few ids are replaced by running it over those alone.
"""

from collections.abc import Mapping
from datetime import UTC
from importlib.resources import files

import duckdb

from transforms.bounds import believed, believed_legs, named
from transforms.settings import Settings

# Each table with the column that holds the id, the raw table of the id's states, and the table of
# the ids that changed.
TABLES = {
    "rfqs": ("rfq_id", "rfq_versions", "changed_rfqs"),
    "rfq_legs": ("rfq_id", "rfq_versions", "changed_rfqs"),
    "quotes": ("quote_id", "quote_versions", "changed_quotes"),
}
# Where rows of an id stand in raw, and where a build that goes on has put those of what changed.
STATES = ("rfq_versions", "quote_versions", "last_seen", "tombstones")
EVERYTHING = {name: f"raw.{name}" for name in STATES}
CHANGED = {name: f"changed_{name}" for name in STATES}


def stage(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Make the staging tables anew, as the data stood at `settings.as_of`."""
    connection.execute("drop schema if exists staging cascade")
    connection.execute("create schema staging")
    for name in TABLES:
        _execute(connection, f"create table staging.{name} as", name, EVERYTHING, settings)


def restage(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Replace the rows of the ids in the tables `changed_rfqs` and `changed_quotes`.

    What they showed before is kept in `replaced_rfqs` and `replaced_quotes`.
    """
    for name, (key, _, changed) in TABLES.items():
        status = "" if name == "rfq_legs" else ", status"
        connection.execute(
            f"create or replace temp table replaced_{name} as"  # noqa: S608
            f" select rowid as place, {key}{status} from staging.{name}"
            f" where {key} in (from {changed})"
        )
        connection.execute(
            f"delete from staging.{name} where rowid in (select place from replaced_{name})"  # noqa: S608
        )
        _execute(connection, f"insert into staging.{name}", name, CHANGED, settings)


def _execute(
    connection: duckdb.DuckDBPyConnection,
    use: str,
    name: str,
    states: Mapping[str, str],
    settings: Settings,
) -> None:
    _, raw, _ = TABLES[name]
    query = view(name, raw, f"from {states[raw]}")
    for table in ("last_seen", "tombstones"):
        query = query.replace(f"raw.{table}", states[table])
    known = {"as_of": settings.as_of.astimezone(UTC), "viewer_id": settings.viewer_id}
    asked = {parameter: of for parameter, of in known.items() if f"${parameter}" in query}
    connection.execute(f"{use}\n{query}", asked)


def view(name: str, raw: str, versions: str) -> str:
    """Return the query of a staging table over *versions*, a query of rows of that raw table."""
    query = (files("transforms") / "views" / f"{name}.sql").read_text()
    query = query.replace("$versions", believed(raw, versions))
    query = query.replace("$out_of_bounds", named(raw))
    return believed_legs(query) if name == "rfq_legs" else query
