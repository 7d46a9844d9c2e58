"""The staging tables: the current state of each id, chosen among all that were seen of it.

The choice is a query per table, in `views/`. It needs nothing but the states of the id itself, so
the rows of a few ids are replaced by running it over those alone.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC
from importlib.resources import files

import duckdb

from transforms import creations, incremental
from transforms.bounds import believed, believed_legs, legs_broken, named
from transforms.raw import with_conditions
from transforms.settings import Settings

# Each table with the column that holds the id, the raw table of the id's states, and the table of
# the ids that changed.
TABLES = {
    "rfqs": ("rfq_id", "rfq_versions", "changed_rfqs"),
    "quotes": ("quote_id", "quote_versions", "changed_quotes"),
}
# Where rows of an id stand in raw, and where a build that goes on has put those of what changed.
STATES = ("rfq_versions", "quote_versions", "last_seen", "tombstones")
EVERYTHING = {name: f"raw.{name}" for name in STATES}
CHANGED = {name: f"changed_{name}" for name in STATES}
# Legs are kept once per list; `staging.rfq_legs` is a view of them.
_LEG_LISTS = "incremental.leg_lists"
VERSIONS_PER_PART = 250_000


def stage(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Make the staging tables anew, as the data stood at `settings.as_of`."""
    connection.execute("drop schema if exists staging cascade")
    connection.execute("create schema staging; create schema if not exists incremental")
    # A load that was killed may have stored lists that no version names.
    named = "(from raw.leg_lists semi join raw.rfq_versions using (leg_list))"
    connection.execute(f"create or replace table {_LEG_LISTS} as {leg_lists(named)}")
    connection.execute(f"create or replace table incremental.legs as {_legs(_LEG_LISTS)}")
    for name, (key, raw, _) in TABLES.items():
        use = f"create table staging.{name} as from ($query)"
        for versions in _in_parts(connection, raw):
            # In order of creation, by which rows are looked for.
            ordered, states = f"{use} order by created_ts", EVERYTHING | {raw: versions}
            _execute(connection, ordered, name, states, settings)
            use = f"insert into staging.{name} $query"
        creations.note_all(connection, name, key, raw)
    connection.execute(f"create view staging.rfq_legs as {_text('rfq_legs')}")


def _in_parts(connection: duckdb.DuckDBPyConnection, raw: str) -> Iterator[str]:
    """Yield tables that hold all versions in *raw* between them, all of an id in one of them.

    What is computed of one fits in memory: to write it to a file and read it again takes longer
    than the rest. Ids that have shown several times of creation come last.
    """
    table = incremental.text("versions_in_parts").replace("$raw", raw)
    connection.execute(table.replace("$rows_per_part", str(VERSIONS_PER_PART)))
    moments = connection.execute("from ends_of_parts order by all").fetchall()
    ends = [f"timestamptz '{moment}'" for (moment,) in moments]
    for low, high in zip(["'-infinity'", *ends], [*ends, "'infinity'"], strict=True):
        yield (
            f"(from raw.{raw} where created_ts >= {low} and created_ts < {high}"
            " and hash(id) not in (from moved_creations))"
        )
    if connection.execute("from moved_creations limit 1").fetchall():
        yield f"(from raw.{raw} where hash(id) in (from moved_creations))"


def find_changed(connection: duckdb.DuckDBPyConnection) -> None:
    """Find the ids of which something is new, and all that raw holds of them, looked up once.

    `moved_rfqs` may be made of what is found: RFQs that a changed quote names are located as well.
    """
    incremental.execute(connection, "changed")
    _find_versions(connection, "quotes")
    incremental.execute(connection, "named_rfqs")
    _find_versions(connection, "rfqs")
    incremental.execute(connection, "changed_last_seen")


def _find_versions(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Find all versions of the changed ids, by creation first, so that few others' ids are read."""
    _, raw, changed = TABLES[name]
    creations.locate(connection, name, raw)
    near = f"near_{name}(created_ts)"
    places = f"select rowid from raw.{raw} semi join moments_{name} using (created_ts) where {near}"  # noqa: S608
    connection.execute(
        f"create or replace temp table changed_{raw} as"
        f" with created_then as materialized (from raw.{raw} where {near} and rowid in ({places}))"
        f" from created_then where id in (from {changed})"
    )


def restage(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Replace the rows of the ids in the tables `changed_rfqs` and `changed_quotes`.

    What they showed before is kept in `replaced_rfqs` and `replaced_quotes`.
    """
    _add_leg_lists(connection)
    for name, (key, raw, changed) in TABLES.items():
        near = f"near_{name}(created_ts)"
        # Looked for by creation, which all rows of a table can be asked for in little time.
        places = (
            f"select rowid from staging.{name} semi join changed_{raw} using (created_ts)"  # noqa: S608
            f" where {near}"
        )
        connection.execute(
            f"create or replace temp table replaced_{name} as"  # noqa: S608
            f" select rowid as place, {key}, status from staging.{name}"
            f" where {near} and rowid in ({places}) and {key} in (from {changed});"
            f" delete from staging.{name}"
            f" where {near} and rowid in (select place from replaced_{name})"
        )
        creations.note_changed(connection, name, raw)
        _execute(connection, f"insert into staging.{name} $query", name, CHANGED, settings)


def _add_leg_lists(connection: duckdb.DuckDBPyConnection) -> None:
    """Add the lists of legs that changed RFQs are the first to name."""
    named = "select distinct leg_list from changed_rfq_versions"
    connection.execute(
        f"create or replace temp table named_leg_lists as from ({named})"
        f" anti join {_LEG_LISTS} using (leg_list)"
    )
    # Places first, so that of other lists the id is read alone.
    places = "select rowid from raw.leg_lists semi join named_leg_lists using (leg_list)"
    new = f"(from raw.leg_lists where rowid in ({places}))"
    connection.execute(
        f"create or replace temp table new_leg_lists as {leg_lists(new)};"
        f" insert into {_LEG_LISTS} from new_leg_lists;"
        f" insert into incremental.legs {_legs('new_leg_lists')}"
    )


def leg_lists(lists: str) -> str:
    """Return the query of the distinct lists of legs in *lists*, rows of `raw.leg_lists`."""
    query = _text("leg_lists").replace("$lists", lists)
    return query.replace("$are_out_of_bounds", legs_broken())


def _legs(lists: str) -> str:
    return believed_legs(_text("legs").replace("$leg_lists", lists))


def _execute(
    connection: duckdb.DuckDBPyConnection,
    use: str,
    name: str,
    states: Mapping[str, str],
    settings: Settings,
) -> None:
    _, raw, _ = TABLES[name]
    query = view(name, raw, f"from {states[raw]}", _LEG_LISTS)
    for table in ("last_seen", "tombstones"):
        query = query.replace(f"raw.{table}", f"{states[table]} as {table}")
    known = {"as_of": settings.as_of.astimezone(UTC), "viewer_id": settings.viewer_id}
    asked = {parameter: of for parameter, of in known.items() if f"${parameter}" in query}
    connection.execute(use.replace("$query", query), asked)


def view(name: str, raw: str, versions: str, lists: str | None = None) -> str:
    """Return the query of a staging table over *versions*, a query of rows of that raw table.

    *lists* is the table of the lists of legs, where there is one.
    """
    query = _text(name).replace("$states", versions)
    if name == "rfqs":
        lists = lists or f"({leg_lists('raw.leg_lists')})"
        told = f"select leg_list, n_listed, are_legs_out_of_bounds from {lists}"  # noqa: S608
        versions = f"from ({versions}) left join ({told}) using (leg_list)"
    query = query.replace("$versions", believed(raw, versions))
    return query.replace("$out_of_bounds", named(raw))


def _text(name: str) -> str:
    return with_conditions((files("transforms") / "views" / f"{name}.sql").read_text())
