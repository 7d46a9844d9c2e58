"""The table of the crash suite, shown at the end of a test run."""

from collections import Counter

import pytest

_COLUMNS = ("kills", "lost", "doubled", "stale", "stuck")
_ROWS = pytest.StashKey[dict[str, Counter[str]]]()


class Table:
    """Counts by kind of kill."""

    def __init__(self, rows: dict[str, Counter[str]]) -> None:
        self._rows = rows

    def add(self, name: str, counts: Counter[str]) -> None:
        """Put *counts* into the row *name*."""
        self._rows.setdefault(name, Counter()).update(counts)


@pytest.fixture
def table(pytestconfig: pytest.Config) -> Table:
    """Where a test puts what it counted."""
    return Table(pytestconfig.stash.setdefault(_ROWS, {}))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table."""
    rows = config.stash.get(_ROWS, {})
    if not rows:
        return
    terminalreporter.section("crash suite")
    terminalreporter.write_line(f"{'':8}" + "".join(f"{column:>9}" for column in _COLUMNS))
    for name, counts in rows.items():
        cells = "".join(f"{counts[column]:9,}" for column in _COLUMNS)
        terminalreporter.write_line(f"{name:8}{cells}")
