"""Which tests may notice a mutant, and in which order they are run: cheap ones that execute its
line first.

A test that starts a process is taken to execute everything there, as nothing was recorded of it.
So is all of an area, where no test of it executes the line, and where the line is SQL in a file.
"""

import ast
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutants import Mutant
from tests.mutation.plugin import WHOLE_FILE

HANGS_S = 30.0
"""A test hangs after this and five times what it took when it was recorded."""

COSTS_S = (0.5, 5.0)
"""What a test costs: little, some, or much."""


@dataclass(frozen=True)
class TimedTest:
    """One test as it ran on the source without a mutant."""

    name: str
    seconds: float
    is_hidden: bool
    """Whether it may execute what was not recorded: it starts processes, or did not pass."""

    @property
    def limit_s(self) -> float:
        return HANGS_S + 5 * self.seconds

    @property
    def cost(self) -> int:
        return sum(self.seconds > each for each in COSTS_S)


@dataclass(frozen=True)
class Place:
    """Where a mutant is: a file of the source and lines of it, none where they are not measured."""

    path: str
    lines: frozenset[int]


@dataclass(frozen=True)
class Recording:
    """What the tests of one file executed: for each file of the source, the lines by test."""

    tests: tuple[TimedTest, ...]
    lines: dict[str, dict[str, list[int]]]

    @classmethod
    def read(cls, file: Path) -> "Recording":
        recorded = json.loads(file.read_text())
        tests = (
            TimedTest(name, each["seconds"], each["starts"] or not each["passes"])
            for name, each in recorded["tests"].items()
        )
        return cls(tuple(tests), recorded["lines"])

    def executes(self, place: Place, context: str) -> bool:
        executed = self.lines.get(place.path, {}).get(context, ())
        return not place.lines.isdisjoint(executed)

    def notices(self, place: Place) -> bool:
        """Whether a test of the file executes the place."""
        return not place.lines or any(
            self.executes(place, context) for context in self.lines.get(place.path, ())
        )

    def distance(self, place: Place, test: TimedTest) -> int:
        """How far *test* is from the place: 0 where it executes it itself."""
        if self.executes(place, test.name):
            return 0
        if test.is_hidden:
            return 3
        if self.executes(place, WHOLE_FILE):
            # The file imports the place; this test also executes something beside it, or not.
            return 1 if test.name in self.lines[place.path] else 2
        return 4 if place.lines else 2


NEAR = 2


def near(place: Place, area: Sequence[Recording]) -> list[TimedTest]:
    """The tests that execute the place, or the imports and shared fixtures of whose file do."""
    return _ordered(place, area, lambda distance: distance <= NEAR)


def far(place: Place, area: Sequence[Recording]) -> list[TimedTest]:
    """The other tests that have to pass before the mutant has survived.

    They are the rest of the files that notice it, as a test may look at what an earlier one of its
    file has computed, the tests that start processes, and all of the area where nothing notices it.
    """
    noticing = [each for each in area if each.notices(place)]
    hiding = [each for each in area if any(test.is_hidden for test in each.tests)]
    files = [each for each in area if not noticing or each in noticing or each in hiding]
    return _ordered(place, files, lambda distance: distance > NEAR)


def _ordered(
    place: Place, files: Sequence[Recording], is_wanted: Callable[[int], bool]
) -> list[TimedTest]:
    numbered = (
        (file.distance(place, test), test.cost, number, position, test)
        for number, file in enumerate(files)
        for position, test in enumerate(file.tests)
    )
    return [each[-1] for each in sorted(each for each in numbered if is_wanted(each[0]))]


def place_of(mutant: Mutant, source: bytes) -> Place:
    is_python = mutant.path.endswith(".py")
    return Place(mutant.path, frozenset(lines_of(source, mutant.line) if is_python else ()))


def lines_of(source: bytes, line: int) -> range:
    """The lines of the innermost statement at *line*, without the statements that it holds."""
    holding = [each for each in _statements(ast.parse(source)) if line in _all_lines(each)]
    innermost = min(holding, key=lambda each: len(_all_lines(each)))
    inner = [_all_lines(each).start for each in _statements(innermost) if each is not innermost]
    lines = _all_lines(innermost)
    return range(lines.start, max(line + 1, min([lines.stop, *inner])))


def _statements(tree: ast.AST) -> Iterator[ast.stmt]:
    return (each for each in ast.walk(tree) if isinstance(each, ast.stmt))


def _all_lines(statement: ast.stmt) -> range:
    decorators = getattr(statement, "decorator_list", [])
    start = min([statement.lineno, *(each.lineno for each in decorators)])
    return range(start, (statement.end_lineno or start) + 1)
