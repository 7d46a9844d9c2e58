"""Run the tests of its area against each of a random sample of one-place mutants.

    python -m tests.mutation --seed 14 --sample 200

prints a line for each mutant and at the end the counts and the survivors as Markdown. It ends with
1 where fewer than 92 % of the mutants that change something were killed. `changes_nothing.toml`
names the mutants that no test can notice, each with the reason.
"""

import argparse
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from tests.mutation.mutants import Mutant, mutants_of

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
WANTED_SHARE = 0.92
# The longest of the areas takes about three minutes without a mutant.
LIMIT_S = 600.0
NO_CACHE = ("-p", "no:cacheprovider", "--durations=0", "--durations-min=1e9")
KILLED, TIMED_OUT, SURVIVED, SAME = "killed", "timed out", "survived", "changes nothing"


def area_of(path: str) -> tuple[str, ...]:
    """The tests that are run against a mutant of *path*: those of the longest path that fits."""
    areas: dict[str, str] = tomllib.loads((HERE / "areas.toml").read_text())["areas"]
    fitting = max((each for each in areas if path.startswith(each)), key=len)
    return tuple(areas[fitting].split())


def reasons() -> dict[tuple[str, str, str], str]:
    """Why a mutant changes nothing, by its path and its lines before and after."""
    listed = tomllib.loads((HERE / "changes_nothing.toml").read_text())["mutant"]
    return {(each["path"], each["before"], each["after"]): each["why"] for each in listed}


def main() -> int:
    asked = _arguments()
    mutants = mutants_of(ROOT)
    chosen = random.Random(asked.seed).sample(mutants, asked.sample)
    wanted = [pair for pair in enumerate(chosen, 1) if not asked.only or pair[0] in asked.only]
    known = reasons()
    with _copy() as tree:
        ends: list[tuple[Mutant, str]] = []
        for number, mutant in wanted:
            started = time.monotonic()
            is_same = (mutant.path, mutant.before, mutant.after) in known
            end = SAME if is_same else _run(tree, mutant)
            ends.append((mutant, end))
            _say(f"{number:4} {end:15} {time.monotonic() - started:5.0f} s  {_shown(mutant)}")
    return _report(asked.seed, len(mutants), ends)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the sample; all")
    return parser.parse_args()


@contextmanager
def _copy() -> Iterator[Path]:
    """A copy of what is under version control, in which mutants are written."""
    with tempfile.TemporaryDirectory(prefix="rfq-mutants-") as folder:
        tree = Path(folder)
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
        yield tree


def _run(tree: Path, mutant: Mutant) -> str:
    file = tree / mutant.path
    source = file.read_bytes()
    file.write_bytes(mutant.applied(source))
    try:
        return SURVIVED if _passes(tree, area_of(mutant.path)) else KILLED
    except subprocess.TimeoutExpired:
        return TIMED_OUT
    finally:
        file.write_bytes(source)


def _passes(tree: Path, area: tuple[str, ...]) -> bool:
    """Whether all tests pass; what they started is ended with them."""
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-n", "0", *NO_CACHE, *area]
    present = [each for each in command if not each.startswith("tests/") or (tree / each).exists()]
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryFile() as said:
        tests = subprocess.Popen(
            present,
            cwd=tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            return tests.wait(LIMIT_S) == 0
        finally:
            with suppress(ProcessLookupError):
                os.killpg(tests.pid, signal.SIGKILL)
            tests.wait()


def _report(seed: int, n_places: int, ends: list[tuple[Mutant, str]]) -> int:
    counts = Counter(end for _, end in ends)
    n_changing = len(ends) - counts[SAME]
    n_killed = counts[KILLED] + counts[TIMED_OUT]
    share = n_killed / n_changing if n_changing else 1.0
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    _say(f"\nSeed {seed}, {datetime.now(UTC):%Y-%m-%d}, {machine}.\n")
    _say("| places | tried | change nothing | killed | by time | survived | share killed |")
    _say("|---|---|---|---|---|---|---|")
    _say(
        f"| {n_places:,} | {len(ends)} | {counts[SAME]} | {n_killed} | {counts[TIMED_OUT]}"
        f" | {counts[SURVIVED]} | {share:.1%} |\n"
    )
    for mutant in (mutant for mutant, end in ends if end == SURVIVED):
        _say(f"- {_shown(mutant)}")
    return 0 if share >= WANTED_SHARE else 1


def _shown(mutant: Mutant) -> str:
    return f"`{mutant.path}:{mutant.line}` `{mutant.before}` → `{mutant.after}`"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
