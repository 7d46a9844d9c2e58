"""The README's tables of commands, tables and exit codes say what the code has."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import duckdb
import pytest

from pipelines.cli import app
from pipelines.kalshi.client.errors import ExchangeError
from pipelines.kalshi.entities import ENTITIES
from pipelines.kalshi.source import REJECTED
from pipelines.stopping import SIGNALS
from transforms.build import build
from transforms.catalogue import LOGS, describe
from transforms.marts import MARTS
from transforms.raw import create_raw_tables
from transforms.settings import Settings

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
README = (Path(__file__).parents[1] / "README.md").read_text()


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(text: str, pattern: str) -> list[str]:
    """The first cells of the rows whose first cell matches *pattern*, without marks of code."""
    return re.findall(rf"^\| `?({pattern})[ `]", text, flags=re.MULTILINE)


def subclasses(kind: type) -> Iterator[type]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def test_each_command_has_its_row() -> None:
    shown = first_cells(section("Commands"), r"rfq [a-z]+")

    assert app.registered_commands
    names = {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert {name.removeprefix("rfq ") for name in shown} == names


@pytest.fixture(scope="module")
def published() -> set[str]:
    """The names of everything that is published, views included."""
    with duckdb.connect() as connection:
        create_raw_tables(connection)
        connection.execute("insert into raw.accounts values ('desk', now())")
        build(connection, MARTS, Settings(as_of=NOON, viewer_id="desk"))
        describe(connection)
        found = connection.execute(
            "select concat(table_schema, '.', table_name) from information_schema.tables"
            " where table_catalog = current_catalog()"
            " and (table_schema in ('staging', 'marts') or table_name in (select unnest($1)))",
            [LOGS],
        ).fetchall()
    return {name for (name,) in found}


def test_each_published_table_has_its_row(published: set[str]) -> None:
    shown = first_cells(section("Tables"), r"(?:staging|marts|raw)\.\w+")

    assert set(shown) == published
    assert len(shown) == len(set(shown))


def test_each_table_of_another_home_has_its_row() -> None:
    shown = first_cells(section("Other homes"), r"\w+_(?:versions|rows)")

    assert shown == [*(entity.table for entity in ENTITIES), REJECTED]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_what_a_recipe_imports_of_ours_is_there(page: str) -> None:
    text = (Path(__file__).parents[1] / page).read_text()
    recipes = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)

    named = [
        getattr(import_module(node.module), alias.name)
        for recipe in recipes
        for node in ast.walk(ast.parse(recipe))
        if isinstance(node, ast.ImportFrom) and node.module
        if node.module.startswith(("pipelines", "transforms"))
        for alias in node.names
    ]

    assert named


def test_each_exit_code_has_its_row() -> None:
    shown = set(map(int, re.findall(r"\d+", " ".join(_code_cells()))))

    earned = {each.exit_code for each in subclasses(ExchangeError) if hasattr(each, "exit_code")}
    assert earned >= {69, 75, 77, 78}
    assert {0, 2, 65, 70, *earned, *(128 + number for number in SIGNALS)} <= shown


def _code_cells() -> list[str]:
    return first_cells(section("Commands"), r"\d[\d, ]*")
