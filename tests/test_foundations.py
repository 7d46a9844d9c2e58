"""What the project stands on: its dependencies, their locks, the Python it needs, its own gate."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.test_imports import ROOT, imported

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"notebooks", "pipelines", "transforms", "tests"}
# Asked for by others at run time: dlt's destination, and DuckDB for moments with a time zone.
NOT_IMPORTED = {"pytz", "sqlglot"}
COMMANDS = {"duckdb-cli", "mypy", "pytest-xdist", "ruff"}
RUNS = ["notebooks", "postgres", "report", "scale", "shell"]
PINNED = re.compile(r"^([\w.\[\]-]+)==(\S+)", re.MULTILINE)


def declared(*extras: str) -> dict[str, Requirement]:
    """What pyproject asks for, by name, with *extras*."""
    lines = [*PROJECT["dependencies"]]
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return {canonicalize_name(found.name): found for found in map(Requirement, lines)}


def needed(*folders: str) -> set[str]:
    """The packages of others that the code in *folders* imports."""
    modules = {
        name.split(".")[0]
        for folder in folders
        for source in (ROOT / folder).rglob("*.py")
        for name in imported(source)
    }
    others = modules - OURS - set(sys.stdlib_module_names)
    known = packages_distributions()
    # What is not installed here (the peers) goes by the name of its module.
    return {canonicalize_name(known.get(module, [module])[0]) for module in others}


def locked(name: str) -> dict[str, str]:
    return dict(PINNED.findall((ROOT / name).read_text()))


@pytest.mark.parametrize(
    ("folders", "extras"),
    [
        (("pipelines", "transforms"), ("scale",)),
        (("notebooks",), ("notebooks", "report")),
        (("tests",), ("dev", "peers", "postgres", "scale")),
    ],
)
def test_what_is_imported_is_declared(folders: tuple[str, ...], extras: tuple[str, ...]) -> None:
    assert needed(*folders) - declared(*extras).keys() == set()


def test_what_is_declared_is_imported() -> None:
    used = needed("pipelines", "transforms", "notebooks", "tests")

    unused = declared(*RUNS, "dev", "peers").keys() - used

    assert unused == NOT_IMPORTED | COMMANDS


@pytest.mark.parametrize(
    ("lock", "extras"),
    [("requirements.lock", RUNS), ("requirements-dev.lock", [*RUNS, "dev"])],
)
def test_a_lock_pins_what_is_declared_within_its_range(lock: str, extras: list[str]) -> None:
    pinned = locked(lock)

    wrong = {
        name: pinned.get(name)
        for name, requirement in declared(*extras).items()
        if pinned.get(name, "0") not in requirement.specifier
    }

    assert wrong == {}


def test_what_runs_is_developed_with_the_same_versions() -> None:
    runs, develops = locked("requirements.lock"), locked("requirements-dev.lock")

    assert runs.items() <= develops.items()
    assert not {"hypothesis", "mypy", "pytest", "ruff"} & runs.keys()
    assert not locked("tests/peers.lock").keys() & develops.keys()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock", "tests/peers.lock"])
def test_a_lock_names_no_host(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text()


# Python


def test_the_oldest_python_is_the_same_everywhere() -> None:
    oldest = PROJECT["requires-python"].removeprefix(">=")
    numbers = oldest.replace(".", ", ")
    entry = (ROOT / "pipelines" / "entry.py").read_text()
    readme = (ROOT / "README.md").read_text()

    assert f"sys.version_info < ({numbers})" in entry
    assert f"needs Python {oldest} or newer" in entry
    checks = readme.count(
        f"python3 -c 'import sys; sys.version_info >= ({numbers}) or"
        f' sys.exit("rfq needs Python {oldest} or newer")\' && python3 -m venv'
    )
    assert checks == 2
    assert "python3." not in readme
    assert f"version_info < ({numbers})" in (ROOT / ".ci" / "run").read_text()
    for lock in re.findall("--python-version (\\S+)", (ROOT / "CONTRIBUTING.md").read_text()):
        assert lock == oldest


def test_an_older_python_is_told_so_in_one_line() -> None:
    """It must be able to read the files, and meet the check before anything it cannot import."""
    source = (ROOT / "pipelines" / "entry.py").read_text()
    package = (ROOT / "pipelines" / "__init__.py").read_text()
    older = source.replace("sys.version_info <", "(3, 9, 18) <")

    ended = subprocess.run([sys.executable, "-c", older], capture_output=True, check=False)

    assert ast.parse(source, feature_version=(3, 6))
    assert ast.parse(package, feature_version=(3, 6))
    assert ended.returncode == 1
    assert re.fullmatch(rb"rfq needs Python 3\.11 or newer, and this is [\d.]+\n", ended.stderr)


# What is kept


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a checkout of git, which alone knows what is kept")
    listed = subprocess.check_output(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, text=True
    )
    return [ROOT / name for name in listed.split("\0") if name]


def test_what_is_kept_is_small() -> None:
    """A clone stays a matter of seconds: no data, no archive, no environment is kept."""
    large = {path.name for path in tracked() if path.exists() and path.stat().st_size > 300_000}

    assert large == set()


def test_the_top_level_holds_nothing_else() -> None:
    tops = {path.relative_to(ROOT).parts[0] for path in tracked()}

    assert tops == {
        *(".ci", ".dlt", "notebooks", "pipelines", "tests", "transforms"),
        *(".gitignore", ".pre-commit-config.yaml", "pyproject.toml"),
        *("requirements-dev.lock", "requirements.lock"),
        *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md"),
    }


# The gate


@pytest.mark.parametrize(
    ("broken", "code", "last"),
    [
        ([], 0, "lint, types and tests passed"),
        (["pytest"], 1, "failed: tests,peers"),
        (["ruff"], 1, "failed: lint"),
        (["pip", "mypy"], 1, "failed: lint,peers"),
    ],
)
def test_every_step_runs_whatever_another_says(
    broken: list[str], code: int, last: str, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    commands = tmp_path / ".venv" / "bin"
    commands.mkdir(parents=True)
    for name in ("mypy", "pip", "pytest", "ruff"):
        command = commands / name
        command.write_text(f'#!/bin/sh\necho "{name} $1 $2 $3"\nexit {int(name in broken)}\n')
        command.chmod(0o755)

    ended = subprocess.run([tmp_path / ".ci" / "test"], capture_output=True, text=True, check=False)

    lines = ended.stdout.splitlines()
    assert (ended.returncode, lines[-1]) == (code, last)
    # Without what they compare with, there are no comparisons to run.
    comparisons = ["pip"] if "pip" in broken else ["pip", "pytest"]
    assert [line.split()[0] for line in lines[:-1]] == [
        *("pytest", "ruff", "ruff", "mypy"),
        *comparisons,
    ]
