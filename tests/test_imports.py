"""Imports go left: the two halves meet only in the database. And no file is a long one."""

import ast
import subprocess
import sys
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What puts the rooms of `pipelines` together, and so may import from each of them.
ABOVE_THE_ROOMS = tuple(
    f"pipelines.{name}"
    for name in ("building", "cli", "cli_watch", "entry", "executors", "job", "landing", "watch")
)

FORBIDDEN = {
    "transforms": ("pipelines", "dlt", "httpx"),
    "transforms/raw": ("pipelines", "transforms.build", "transforms.definitions", "polars"),
    "transforms/definitions": ("transforms.build", "transforms.marts", "transforms.metrics"),
    "transforms/marts": ("transforms.metrics",),
    "pipelines/kalshi": (
        "pipelines.sandbox",
        "pipelines.store",
        "pipelines.operations",
        "pipelines.commands",
        *ABOVE_THE_ROOMS,
    ),
    "pipelines/store": ("pipelines.operations", "pipelines.commands", *ABOVE_THE_ROOMS),
    "pipelines/operations": ("pipelines.commands", *ABOVE_THE_ROOMS),
    "pipelines/commands": ABOVE_THE_ROOMS,
    "pipelines/sandbox": ("transforms", "pipelines.kalshi", "pipelines.job", "dlt", "httpx"),
    "notebooks": ("pipelines", "dlt"),
}


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_a_folder_imports_nothing_to_its_right(folder: str) -> None:
    sources = sorted((ROOT / folder).rglob("*.py"))

    found = [
        f"{source.relative_to(ROOT)} imports {name}"
        for source in sources
        for name in imported(source)
        if any(name == bad or name.startswith(f"{bad}.") for bad in FORBIDDEN[folder])
    ]

    assert sources
    assert found == []


@pytest.mark.parametrize("folder", ["notebooks", "pipelines", "transforms"])
def test_no_file_is_longer_than_five_hundred_lines(folder: str) -> None:
    lengths = {
        source: len(source.read_text().splitlines()) for source in (ROOT / folder).rglob("*.py")
    }

    assert lengths
    assert [source for source, length in lengths.items() if length > 500] == []


def test_of_transforms_the_load_knows_the_raw_tables_alone() -> None:
    found = {
        name
        for source in (ROOT / "pipelines" / "kalshi").rglob("*.py")
        for name in imported(source)
        if name.startswith("transforms") and not name.startswith("transforms.raw")
    }

    assert found == set()


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import pipelines.kalshi.client.reader", {"dlt", "pyarrow", "duckdb", "polars"}),
        ("import transforms.raw", {"dlt", "polars", "httpx"}),
        (
            "import sys; sys.argv[1:] = ['--help']; from pipelines import entry; entry.command()",
            {"dlt", "duckdb", "jinja2", "marimo", "polars"},
        ),
        (
            "import sys; sys.argv[1:] = ['status']; from pipelines import entry; entry.command()",
            {"dlt", "jinja2", "marimo", "polars"},
        ),
    ],
    ids=["the exchange client", "the raw tables", "rfq --help", "rfq status"],
)
def test_nothing_is_imported_that_is_not_needed(code: str, absent: set[str]) -> None:
    """In an interpreter of its own, where nothing is there already."""
    listed = f"{code}; import sys; print([name.split('.')[0] for name in sys.modules])"

    said = subprocess.run(
        [sys.executable, "-c", listed], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert absent & set(literal_eval(said.stdout.splitlines()[-1])) == set()


def imported(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
