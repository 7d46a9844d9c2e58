"""Every benchmark still goes all its way, on little, in the nightly profile."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.benches.__main__ import BENCHES, HERE
from tests.profile import nightly

ROOT = Path(__file__).parents[1]
NO_BENCHMARK = {"__main__", "heading", "rest_peer"}


def test_one_command_knows_every_benchmark() -> None:
    assert {path.stem for path in HERE.glob("*.py")} - NO_BENCHMARK == BENCHES.keys()


@nightly("it takes some minutes")
@pytest.mark.parametrize("name", BENCHES)
def test_a_benchmark_goes_all_its_way(name: str) -> None:
    command = [sys.executable, "-m", "tests.benches", "--smoke", name]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
