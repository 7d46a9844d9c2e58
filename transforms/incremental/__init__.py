"""The SQL of a build that goes on from the last, by name: a file each beside this one."""

from importlib.resources import files

import duckdb


def text(name: str) -> str:
    """Return the SQL called *name*, in which `$` marks what is to be put in."""
    return (files(__name__) / f"{name}.sql").read_text()


def execute(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Execute the SQL called *name*, in which nothing is to be put in."""
    connection.execute(text(name))
