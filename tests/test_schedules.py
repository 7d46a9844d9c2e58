"""The recipes of `pipelines/schedules`: they call the command as it is, nothing else of ours."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli import app
from tests.test_imports import ROOT

FOLDER = ROOT / "pipelines" / "schedules"
README = (FOLDER / "README.md").read_text()
RECIPES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
UNITS = sorted(path.name for path in FOLDER.glob("rfq*.*"))
COMMANDS = {info.callback.__name__ for info in app.registered_commands if info.callback}


def crontab() -> list[str]:
    """What each line of the crontab hands to its shell."""
    lines = (FOLDER / "crontab").read_text().splitlines()
    timed = [line for line in lines if re.match(r"[\d*@]", line)]
    return [re.sub(r"^(@\w+|(\S+ ){4}\S+) ", "", line).replace("\\%", "%") for line in timed]


def test_every_recipe_is_listed_and_says_whether_it_was_tried() -> None:
    table = [line for line in README.splitlines() if line.startswith("| [")]

    listed = set(re.findall(r"\[([\w.-]+)\]\((?!#)", "\n".join(table)))
    assert listed == {path.name for path in FOLDER.iterdir()} - {"README.md"}
    assert all(re.search(r"\| (tried|untried|linted)", line) for line in table)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_calls_the_command_and_imports_nothing_of_ours(recipe: str) -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(recipe))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", ""), *(alias.name for alias in node.names)]
    }

    assert not imported & {"pipelines", "transforms"}
    assert re.search(r"rfq\"?,? \"?(run|backfill)", recipe)


def test_every_command_of_a_recipe_is_one_of_ours() -> None:
    texts = [path.read_text() for path in FOLDER.iterdir()]

    called = set(re.findall(r"\.venv/bin/rfq\"?,? \"?(\w+)", "\n".join(texts)))

    assert called == {"run", "status", "backfill", "backup", "watch"}
    assert called <= COMMANDS


@pytest.mark.parametrize("line", crontab())
def test_a_line_of_the_crontab_is_one_of_a_shell(line: str, tmp_path: Path) -> None:
    """With a command that says what it was called with in the place of ours."""
    command = tmp_path / ".venv" / "bin" / "rfq"
    command.parent.mkdir(parents=True)
    command.write_text('#!/bin/sh\necho "$@" >> called\n')
    command.chmod(0o755)

    ended = subprocess.run(
        ["sh", "-c", line.replace("/srv/rfq", shlex.quote(str(tmp_path)))], capture_output=True
    )

    assert (ended.returncode, ended.stderr) == (0, b"")
    words = (tmp_path / "called").read_text().split()
    assert words[0] in ("run", "status", "backup")
    assert words[0] != "backup" or re.fullmatch(r"backups/\d{4}-\d\d-\d\d", words[1])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for name in UNITS:
        unit = (FOLDER / name).read_text()
        rfq = Path(sys.executable).with_name("rfq")
        (tmp_path / name).write_text(unit.replace("/srv/rfq/.venv/bin/rfq", str(rfq)))

    ended = subprocess.run(
        ["systemd-analyze", "verify", *(tmp_path / name for name in UNITS)],
        capture_output=True,
        text=True,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Persistent=true" in (FOLDER / "rfq.timer").read_text()
