"""Pytest, started again and again without its imports: a process that has the libraries, and forks.

Run as a script, with the names of the modules to import in a file. Each line that it reads is a
request (`Request` as JSON), each line that it writes the exit code of its pytest, null where its
time was up. It imports nothing of ours, so that each fork reads the source of its own folder.
"""

import importlib
import json
import os
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TypedDict


class Request(TypedDict):
    folder: str
    """Where pytest runs, and where it finds the source."""
    said: str
    """The file that gets what pytest prints."""
    arguments: list[str]
    limit_s: float


def main() -> None:
    for name in Path(sys.argv[1]).read_text().splitlines():
        # A module that others replace while they are imported is left to them.
        with suppress(Exception):
            importlib.import_module(name)
    for line in sys.stdin:
        sys.stdout.write(f"{json.dumps(_run(json.loads(line)))}\n")
        sys.stdout.flush()


def _run(request: Request) -> int | None:
    """The exit code of pytest; what it started is ended with it."""
    child = os.fork()
    if child == 0:
        _become_pytest(request)
    handle = os.pidfd_open(child)
    try:
        ended, _, _ = select.select([handle], [], [], request["limit_s"])
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status) if ended else None
    finally:
        os.close(handle)


def _become_pytest(request: Request) -> None:
    code = 3
    try:
        os.setsid()
        os.chdir(request["folder"])
        nothing = os.open(os.devnull, os.O_RDONLY)
        said = os.open(request["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number, replaced in enumerate((nothing, said, said)):
            os.dup2(replaced, number)
        sys.path[0] = request["folder"]
        import pytest

        code = pytest.main(request["arguments"])
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        # Threads that a test left behind are not waited for.
        os._exit(code)


if __name__ == "__main__":
    main()
