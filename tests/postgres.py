"""A PostgreSQL of a test's own. Without its programs tests skip; where CI is true they fail."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DEBIANS = Path("/usr/lib/postgresql")
# It does not run as root, who runs the gate in a container. Debian's package makes this user.
USER = "postgres"


def programs() -> Path:
    """The folder of `initdb` and `pg_ctl`. Skips the test where they are not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(DEBIANS.glob("*/bin"))
    if not folders:
        end = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        end("PostgreSQL is not installed: apt-get install postgresql")
    return folders[-1]


@contextmanager
def running() -> Iterator[str]:
    """Serve an empty database on a socket in a folder of its own; yield its address."""
    folder = programs()
    # Not in pytest's own folder, which nobody but its owner may enter.
    with tempfile.TemporaryDirectory(prefix="rfq-pg-") as place:
        data = str(Path(place) / "data")
        if os.geteuid() == 0:
            shutil.chown(place, USER)
        _as_user(place, folder / "initdb", "-D", data, "-U", "rfq", "-A", "trust", "--no-sync")
        settings = f"-k {place} -c listen_addresses='' -c fsync=off"
        log = str(Path(place) / "log")
        _as_user(place, folder / "pg_ctl", "-w", "-D", data, "-l", log, "-o", settings, "start")
        try:
            # dlt asks for a host and a password, which a socket does without.
            yield f"postgresql://rfq:none@localhost/postgres?host={place}"
        finally:
            _as_user(place, folder / "pg_ctl", "-w", "-D", data, "-m", "immediate", "stop")


def _as_user(place: str, program: Path, *arguments: str) -> None:
    command = [program, *arguments]
    given = {"cwd": place, "env": {"LC_ALL": "C"}, "stdin": subprocess.DEVNULL}
    user = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
    # The server keeps what it inherits: a pipe would never end.
    with (Path(place) / "said").open("w+") as said:
        ended = subprocess.run(command, stdout=said, stderr=said, check=False, **given, **user)
        said.seek(0)
        assert ended.returncode == 0, said.read()
