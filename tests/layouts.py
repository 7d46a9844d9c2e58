"""Databases as earlier versions of ours have left them."""

import tarfile
from pathlib import Path

import duckdb

from pipelines.store.database import Database

RECORDED = Path(__file__).parent / "recorded" / "earlier_layout.tar.xz"


def unpack_earlier_layout(folder: Path) -> Database:
    """A small database that the last version with staging and marts in the private file made.

    It read four RFQs, of which one executed, one was withdrawn and two are open, at 12:07 of the
    tests' day with the key of the account `desk`.
    """
    with tarfile.open(RECORDED) as packed:
        packed.extractall(folder, filter="data")
    return Database(folder / "rfq.duckdb")


def as_in_the_earlier_layout(database: Database) -> None:
    """Put staging and marts into the private file as well, which has noted no published file.

    And put legs into the versions that show them.
    """
    with duckdb.connect(database.private_path) as connection:
        connection.execute(f"attach '{database.path}' as published (read_only)")
        tables = connection.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = 'published'"
            " and schema_name in ('staging', 'marts', 'incremental')"
        ).fetchall()
        for schema, table in tables:
            connection.execute(f"create schema if not exists {schema}")
            connection.execute(f"create table {schema}.{table} as from published.{schema}.{table}")
        connection.execute("drop table raw.published_files; detach published")
        put_legs_into_versions(connection)


def put_legs_into_versions(connection: duckdb.DuckDBPyConnection) -> None:
    """Make raw of the private file as versions before layout 2 kept it."""
    connection.execute(
        "create table raw.rfq_versions_before as select versions.* exclude (leg_list),"
        " lists.mve_selected_legs from raw.rfq_versions as versions"
        " left join raw.leg_lists as lists using (leg_list) order by versions.rowid;"
        " drop table raw.rfq_versions; drop table raw.leg_lists;"
        " alter table raw.rfq_versions_before rename to rfq_versions;"
        " update raw.stamp set layout = 1"
    )


def schemas_in(path: Path) -> set[str]:
    """The schemas of the file at *path* that hold a table, but for dlt's own."""
    with duckdb.connect(path, read_only=True) as connection:
        found = connection.execute("select distinct schema_name from duckdb_tables()").fetchall()
    return {schema for (schema,) in found if not schema.startswith("_")}
