"""The mutants of a line, the tests of a file, and the mutants that change nothing."""

import tomllib
from pathlib import Path

import pytest

from tests.mutation.__main__ import HERE, ROOT, area_of, reasons
from tests.mutation.mutants import FOLDERS, mutants_in


def changed(path: str, source: str) -> list[str]:
    return [each.applied(source.encode()).decode() for each in mutants_in(path, source.encode())]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", ["x = a <= b"]),
        ("x = a is not None", ["x = a is None"]),
        ("x = a in b", ["x = a not in b"]),
        ("x = (a) == (b)", ["x = (a) != (b)"]),
        ("x = a and b", ["x = a or b"]),
        ("x = a + b", ["x = a - b"]),
        ("x = a & ~b", ["x = a | ~b", "x = a & b"]),
        ("x = 5", ["x = 6"]),
        ("x = True", ["x = False"]),
        ("x = min(a)", ["x = max(a)"]),
        ("x = a.first()", ["x = a.last()"]),
        ("x = a.filter(b).c()", ["x = a.c()"]),
        ("f(a)", ["pass"]),
        ("x = a if b else c", ["x = a if (not (b)) else c"]),
        ("x += y", ["x -= y"]),
        # Neither words, nor types, nor what an f-string holds.
        ('"""Text of 5."""', []),
        ("x: int | None = None", []),
        ("X = int | None", []),
        ("def f(a: 'b < c') -> 'd < e': ...", []),
        ('x = f"{a + b} of {c}"', []),
        ('x = "a < b and 5"', []),
    ],
)
def test_the_mutants_of_a_line_of_python(source: str, expected: list[str]) -> None:
    assert changed("x.py", source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("where a and b", ["where a or b"]),
        ("where a <= b", ["where a < b"]),
        ("where a is not null", ["where a is null"]),
        ("where not a", ["where a"]),
        ("select min(a)", ["select max(a)"]),
        ("from a left join b", ["from a join b"]),
        ("order by a desc", ["order by a "]),
        ("where a > 5", ["where a >= 5", "where a > 6"]),
        ("-- where a and 5", []),
        ("a varchar not null, b decimal(18, 2)", []),
        ("where a = $1", ["where a <> $1"]),
    ],
)
def test_the_mutants_of_a_line_of_sql(source: str, expected: list[str]) -> None:
    assert changed("x.sql", source) == expected


def test_a_query_that_python_holds_is_sql() -> None:
    source = 'x = "select a from b where a <= c"'

    assert changed("x.py", source) == ['x = "select a from b where a < c"']


def test_every_file_has_an_area_of_tests_that_exist() -> None:
    areas = tomllib.loads((HERE / "areas.toml").read_text())["areas"]
    sources = [
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        # A section's own file may hold a docstring and nothing to change.
        if path.suffix in (".py", ".sql") and len(path.read_text().splitlines()) > 1
    ]

    assert all(area_of(each) for each in sources)
    assert [area for area in areas if not any(each.startswith(area) for each in sources)] == []
    named = {test.removeprefix("--ignore=") for tests in areas.values() for test in tests.split()}
    assert [test for test in named if not (ROOT / test).exists()] == []


def test_what_changes_nothing_is_a_mutant_of_today_and_says_why() -> None:
    known = reasons()
    there = {
        (each.path, each.before, each.after)
        for path in {path for path, *_ in known}
        for each in mutants_in(path, Path(ROOT / path).read_bytes())
    }

    assert known.keys() <= there
    assert all(known.values())
