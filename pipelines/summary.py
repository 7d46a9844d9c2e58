"""What a run found, as short tables on stdout."""

import sys

from rich.console import Console
from rich.table import Table

from pipelines.database import Database
from pipelines.headline import headline


def show_summary(database: Database) -> None:
    """Print what the published file says to whoever the account is, and how to ask it more."""
    with database.reading() as connection:
        parts = headline(connection)
    console = _console()
    for part in parts:
        table = Table(title=part.title, show_header=False, title_justify="left")
        for line in part.lines:
            table.add_row(line.name, line.value, line.rests_on)
        console.print(table)
    console.print(f"published: {database.path.resolve()}", soft_wrap=True, highlight=False)
    for part in parts:
        if part.further:
            console.print(f"try: {part.further}", soft_wrap=True, highlight=False)


def _console() -> Console:
    # A pipe has no width, and a table cut to 80 columns would lose what it was asked for.
    return Console() if sys.stdout.isatty() else Console(width=200)
