"""What a run found, as short tables on stdout."""

import sys

from rich.console import Console
from rich.table import Table

from pipelines.commands.headline import Part, headline
from pipelines.console import say
from pipelines.store.database import Database


def show_summary(database: Database, *, is_plain: bool = False, remark: str | None = None) -> None:
    """Print what the published file says to whoever the account is, and how to ask it more.

    Plain, for a log: each number on a line of its own, without boxes and without advice. A *remark*
    says why the run has not published, and what is shown is of an earlier one.
    """
    with database.reading() as connection:
        parts = headline(connection)
    if remark:
        say(remark)
    word = "shown" if remark else "published"
    if is_plain:
        _show_plainly(f"{word}: {database.path.resolve()}", parts)
        return
    console = _console()
    for part in parts:
        table = Table(title=part.title, show_header=False, title_justify="left")
        for line in part.lines:
            table.add_row(line.name, line.value, line.rests_on)
        console.print(table)
    console.print(f"{word}: {database.path.resolve()}", soft_wrap=True, highlight=False)
    for part in parts:
        if part.further:
            console.print(f"try: {part.further}", soft_wrap=True, highlight=False)


def _show_plainly(file: str, parts: list[Part]) -> None:
    say(f"{file}, {parts[0].title}")
    for line in (line for part in parts for line in part.lines):
        say(f"{line.name}: {line.value}" + (f" ({line.rests_on})" if line.rests_on else ""))


def _console() -> Console:
    # A pipe has no width, and a table cut to 80 columns would lose what it was asked for.
    return Console() if sys.stdout.isatty() else Console(width=200)
