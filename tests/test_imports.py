"""Imports go left: the two halves meet only in the database."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FORBIDDEN = {
    "transforms": ("pipelines", "dlt", "httpx"),
    "pipelines/kalshi": ("transforms", "pipelines.sandbox", "pipelines.job", "pipelines.cli"),
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


def test_dlt_stays_out_of_the_exchange_client() -> None:
    client = ["client", "signing", "transport", "session", "retry", "errors", "writer", "pages"]

    found = [
        name
        for module in client
        for name in imported(ROOT / "pipelines" / "kalshi" / f"{module}.py")
        if name.split(".")[0] == "dlt"
    ]

    assert found == []


def imported(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
