"""The mutants of a line, the tests of a file, and the mutants that change nothing."""

import json
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

from tests.mutation.__main__ import reasons
from tests.mutation.covering import Place, Recording, TimedTest, far, lines_of, near
from tests.mutation.mutants import FOLDERS, mutants_in
from tests.mutation.plugin import WHOLE_FILE
from tests.mutation.trials import HERE, KILLED, ROOT, Forks, Results, Trial, area_of


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


# Which tests a mutant is run against

SOURCE = b"""\
LIMIT = 5


@decorated(1)
def f(a,
      b=2):
    if (a
        and b):
        return [a,
                b]
    return None
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [(1, {1}), (4, {4, 5, 6}), (6, {4, 5, 6}), (8, {7, 8}), (10, {9, 10}), (11, {11})],
)
def test_a_mutant_is_executed_with_its_statement(line: int, expected: set[int]) -> None:
    assert set(lines_of(SOURCE, line)) == expected


A = Recording(
    (
        TimedTest("a::slow", 9.0, False),
        TimedTest("a::quick", 0.1, False),
        TimedTest("a::other", 0.1, False),
    ),
    {"x.py": {WHOLE_FILE: [1], "a::slow": [4], "a::quick": [4, 5]}},
)
B = Recording(
    (
        TimedTest("b::process", 2.0, True),
        TimedTest("b::first", 0.1, False),
        TimedTest("b::second", 0.1, False),
    ),
    {"x.py": {WHOLE_FILE: [1], "b::second": [6]}},
)
C = Recording((TimedTest("c::elsewhere", 0.1, False),), {"y.py": {WHOLE_FILE: [1]}})


@pytest.mark.parametrize(
    ("lines", "first", "then"),
    [
        # Whoever executes it, cheap ones first; then their files, and what starts processes.
        ({4}, "a::quick a::slow", "b::process a::other b::first b::second"),
        ({6}, "b::second", "b::process b::first"),
        # An import is executed for a whole file; first those that execute more of the source.
        ({1}, "a::quick b::second a::slow a::other b::first", "b::process"),
        # What nothing executes may be executed where nothing was recorded, or was not measured.
        ({7}, "", "b::process a::quick a::other b::first b::second c::elsewhere a::slow"),
        (set(), "a::quick a::other b::first b::second c::elsewhere a::slow", "b::process"),
    ],
)
def test_a_mutant_meets_the_tests_that_may_notice_it(
    lines: set[int], first: str, then: str
) -> None:
    place = Place("x.py", frozenset(lines))

    assert [each.name for each in near(place, [A, B, C])] == first.split()
    assert [each.name for each in far(place, [A, B, C])] == then.split()


PROJECT = {
    "pipelines/__init__.py": "",
    "pipelines/x.py": """\
LIMIT = 5


def f(a):
    return a < LIMIT


def g():
    return 1
""",
    "tests/test_x.py": """\
import subprocess

import pytest

from pipelines import x


@pytest.fixture(scope="module")
def shared():
    return x.g()


def test_f():
    assert x.f(4)


def test_g(shared):
    assert shared == 1


def test_process():
    subprocess.run(["true"])
""",
}


def test_pytest_records_what_is_executed_and_runs_a_plan(tmp_path: Path) -> None:
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "tests/mutation").symlink_to(HERE)
    recorded, planned, ending = (tmp_path / each for each in ("recorded", "plan", "ending"))
    source, name = tmp_path / "pipelines/x.py", "tests/test_x.py"
    with closing(Forks(tmp_path, [])) as forks:
        forks.run(60, f"--recording={recorded}", name)
        recording = Recording.read(recorded)
        source.write_text(PROJECT["pipelines/x.py"].replace("<", ">="))
        planned.write_text(json.dumps([(f"{name}::test_g", 60), (f"{name}::test_f", 60)]))

        code = forks.run(60, f"--plan={planned}", f"--ending={ending}", name)

    lines = recording.lines["pipelines/x.py"]
    assert lines == {WHOLE_FILE: [1, 4, 8, 9], f"{name}::test_f": [5]}
    assert [each.is_hidden for each in recording.tests] == [False, False, True]
    assert code == 1
    assert json.loads(ending.read_text()) == [f"{name}::test_f", "ran"]


def test_results_go_on_where_they_ended_and_only_of_the_same_sample(tmp_path: Path) -> None:
    file, drawn = tmp_path / "results.jsonl", {"seed": 1}
    trial = Trial(1, "x.py", 5, "a < b", "a <= b", KILLED, "a::quick", 0.5)
    Results(file, drawn).add(trial)

    assert Results(file, drawn).trials == [trial]
    with pytest.raises(SystemExit, match="another sample"):
        Results(file, {"seed": 2})
