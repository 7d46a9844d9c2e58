"""One mutant after the other, each run against the tests that may notice it.

A `Bench` is a copy of the project and a process that forks into pytest there; several work beside
each other.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count, groupby
from pathlib import Path
from typing import Any

from tests.mutation.covering import Recording, TimedTest, far, near, place_of
from tests.mutation.forks import Request
from tests.mutation.mutants import FOLDERS, Mutant

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
KEPT = ROOT / ".mutation"
"""Recordings and results, not under version control."""

KILLED, TIMED_OUT, SURVIVED, SAME = "killed", "timed out", "survived", "changes nothing"
OURS = (*FOLDERS, "notebooks", "tests")
PASSED, NONE_WAS_THERE = 0, 5
"""The exit codes of pytest that tell of no failure."""

PYTEST = ("-x", "-q", "-n", "0", "--assert=plain", "-p", "tests.mutation.plugin")
PYTEST += (
    "-p",
    "no:cacheprovider",
    "-p",
    "no:faulthandler",
    "--durations=0",
    "--durations-min=9e9",
)


@dataclass(frozen=True)
class Trial:
    """How a mutant ended, by which test, after how long."""

    number: int
    path: str
    line: int
    before: str
    after: str
    end: str
    test: str
    seconds: float

    @property
    def mutant(self) -> tuple[str, int, str, str]:
        return self.path, self.line, self.before, self.after

    def __str__(self) -> str:
        return f"`{self.path}:{self.line}` `{self.before}` → `{self.after}`"


class Results:
    """A file of JSON lines: what was drawn, then a line for each trial, the later one counts."""

    def __init__(self, file: Path, drawn: dict[str, Any]) -> None:
        self._file = file
        self._lock = threading.Lock()
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.write_text(f"{json.dumps(drawn)}\n")
        first, *lines = file.read_text().splitlines()
        if json.loads(first) != drawn:
            msg = f"{file} is of another sample or another source: {first}; name another file"
            raise SystemExit(msg)
        self.trials = [Trial(**json.loads(each)) for each in lines]

    def add(self, trial: Trial) -> None:
        with self._lock, self._file.open("a") as file:
            file.write(f"{json.dumps(asdict(trial))}\n")
            self.trials.append(trial)


def area_of(path: str) -> tuple[str, ...]:
    """The files of tests for a mutant of *path*: the area of the longest path that fits."""
    areas: dict[str, str] = tomllib.loads((HERE / "areas.toml").read_text())["areas"]
    named = areas[max((each for each in areas if path.startswith(each)), key=len)].split()
    left_out = {each.removeprefix("--ignore=") for each in named if each.startswith("--ignore=")}
    files = (file for each in named if not each.startswith("--") for file in _files(each))
    return tuple(each for each in dict.fromkeys(files) if each not in left_out)


def _files(name: str) -> list[str]:
    found = sorted((ROOT / name).rglob("test_*.py")) if (ROOT / name).is_dir() else [ROOT / name]
    return [str(each.relative_to(ROOT)) for each in found if each.exists()]


class Forks:
    """A process that has imported *libraries*, and runs pytest in *folder*, one after the other."""

    def __init__(self, folder: Path, libraries: Iterable[str], tree: Path | None = None) -> None:
        self._tree = tree or folder
        self._said = folder / "said"
        named = folder / "libraries"
        named.write_text("\n".join(libraries))
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "forks.py"), str(named)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(self._tree)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, limit_s: float, *arguments: str) -> int | None:
        """The exit code of pytest, none where it took longer."""
        assert self._process.stdin
        assert self._process.stdout
        request = Request(
            folder=str(self._tree),
            said=str(self._said),
            arguments=[*PYTEST, *arguments],
            limit_s=limit_s,
        )
        self._process.stdin.write(f"{json.dumps(request)}\n")
        self._process.stdin.flush()
        code: int | None = json.loads(self._process.stdout.readline())
        return code

    def close(self) -> None:
        self._process.communicate()


_RECORDING: dict[str, threading.Lock] = defaultdict(threading.Lock)
_MOMENTS = count(1_000_000_000)


class Bench:
    """A copy of what is under version control, in which mutants are written and tests are run."""

    def __init__(self, folder: Path, libraries: Iterable[str]) -> None:
        self._tree = folder / "tree"
        self._plan, self._ending = folder / "plan", folder / "ending"
        _copy(self._tree)
        self._source = _digest(
            each for name in FOLDERS for each in (self._tree / name).rglob("*.py")
        )
        self._forks = Forks(folder, libraries, self._tree)

    def close(self) -> None:
        self._forks.close()

    def try_out(self, number: int, mutant: Mutant) -> Trial:
        started = time.monotonic()
        end, test = SURVIVED, ""
        for tests in filter(None, self._rounds(mutant)):
            with self._written(mutant):
                end, test = self._run(tests)
            if end != SURVIVED:
                break
        what = (mutant.path, mutant.line, mutant.before, mutant.after)
        return Trial(number, *what, end, test, round(time.monotonic() - started, 1))

    def _rounds(self, mutant: Mutant) -> Iterator[list[TimedTest]]:
        """The tests to run one after the other, until one of them fails.

        A file that was not recorded yet is, once those that were have not noticed the mutant.
        """
        place = place_of(mutant, (self._tree / mutant.path).read_bytes())
        recordings: list[Recording] = []
        files = sorted(area_of(mutant.path), key=lambda each: not self._recorded(each).exists())
        for is_there, those in groupby(files, key=lambda each: self._recorded(each).exists()):
            for group in [[*those]] if is_there else ([each] for each in those):
                recordings += (new := [self._recording(each) for each in group])
                yield near(place, new)
        yield far(place, recordings)

    @contextmanager
    def _written(self, mutant: Mutant) -> Iterator[None]:
        file = self._tree / mutant.path
        source, state = file.read_bytes(), file.stat()
        try:
            file.write_bytes(mutant.applied(source))
            # Python compiles a file again when its second or its size is another one.
            os.utime(file, times=(moment := next(_MOMENTS), moment))
            yield
        finally:
            file.write_bytes(source)
            os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))

    def passes(self, names: Iterable[str]) -> tuple[str, str]:
        """The end of a run of these tests without a mutant, in their order."""
        return self._run([TimedTest(each, 60.0, False) for each in names])

    def _recorded(self, file: str) -> Path:
        """Where the recording of a file of tests is kept: it lapses with the file or the source."""
        name = f"{file.replace('/', '.')}-{self._source}-{_digest([self._tree / file])}.json"
        return KEPT / "recordings" / name

    def _recording(self, file: str) -> Recording:
        recorded = self._recorded(file)
        with _RECORDING[file]:
            if not recorded.exists():
                recorded.parent.mkdir(parents=True, exist_ok=True)
                part = recorded.with_suffix(".part")
                # All of its tests, also where one of them fails as it is recorded.
                self._forks.run(3600, "--maxfail=0", f"--recording={part}", file)
                part.replace(recorded)
        return Recording.read(recorded)

    def _run(self, tests: list[TimedTest]) -> tuple[str, str]:
        self._plan.write_text(json.dumps([(each.name, each.limit_s) for each in tests]))
        self._ending.write_text(json.dumps(["", "ran"]))
        files = dict.fromkeys(each.name.partition("::")[0] for each in tests)
        limit_s = 120 + 5 * sum(each.seconds for each in tests)
        code = self._forks.run(limit_s, f"--plan={self._plan}", f"--ending={self._ending}", *files)
        test, how = json.loads(self._ending.read_text())
        if code is None or how == "hangs":
            return TIMED_OUT, test
        return (SURVIVED, "") if code in (PASSED, NONE_WAS_THERE) else (KILLED, test)


@contextmanager
def benches(number: int) -> Iterator[list[Bench]]:
    with tempfile.TemporaryDirectory(prefix="rfq-mutants-") as name:
        folder = Path(name)
        libraries = _libraries()
        made = []
        for n in range(number):
            (folder / str(n)).mkdir()
            made.append(Bench(folder / str(n), libraries))
        try:
            yield made
        finally:
            for each in made:
                each.close()


def _libraries() -> list[str]:
    """The modules that the tests import and that are not ours, in the order of their import."""
    program = "import sys, coverage, pytest, tests.conftest; print(*sys.modules, sep='\\n')"
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    names = said.stdout.splitlines()
    return [each for each in names if each.partition(".")[0] not in ("__main__", *OURS)]


def _copy(tree: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(lambda each: (ROOT / each).is_file(), listed.stdout.splitlines()):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)
    (tree / ".venv").symlink_to(ROOT / ".venv")


def _digest(files: Iterable[Path]) -> str:
    read = hashlib.sha256()
    for each in sorted(files):
        read.update(each.read_bytes())
    return read.hexdigest()[:12]
