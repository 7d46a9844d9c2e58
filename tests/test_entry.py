"""The command as a process: signals from its first line to its last, and streams that fail it."""

import errno
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines import building, job
from pipelines.kalshi.extraction import LoadSettings
from pipelines.sandbox import Account, Market, serve
from pipelines.store.database import Database
from tests.profile import nightly
from tests.running import UNHURRIED, Command, Ended, access_of, ignore

pytestmark = pytest.mark.usefixtures("few_marts")
RFQ = "from pipelines.entry import main; main()"
# Sends itself a signal where the named module is about to be imported.
AT_IMPORT = """
import os, signal, sys

def at_import(event, arguments):
    if event == "import" and arguments[0] == {module!r}:
        for number in {numbers!r}:
            os.kill(os.getpid(), number)

sys.addaudithook(at_import)
"""
# Sends itself a signal once the private file is open: in the middle of what opens it.
WHILE_OPENING = """
import os, signal, threading

def is_open(name):
    try:
        return os.readlink("/proc/self/fd/" + name).endswith("private.duckdb")
    except OSError:
        return False

def wait():
    while not any(map(is_open, os.listdir("/proc/self/fd"))):
        pass
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=wait, daemon=True).start()
"""
# Is nudged while it undoes what it began, as it is ten times a second until it ends, and once more
# where something has swallowed the first `Stopped`.
WHILE_UNDOING = """
import os, signal
from pipelines import stopping

stopping.heed()
# The nudges come from here alone.
stopping.RAISED_EVERY_S = stopping.UNDOING_LASTS_AT_MOST_S = 3600

def undo():
    signal.raise_signal(signal.SIGALRM)
    try:
        raise ValueError
    except ValueError:
        signal.raise_signal(signal.SIGALRM)
    print("undone", flush=True)

try:
    with stopping.stoppable():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            {then}
        finally:
            undo()
except stopping.Stopped as end:
    print(end.code, flush=True)
os._exit(0)
"""
SWALLOWED = """
        except stopping.Stopped:
            pass
        try:
            signal.raise_signal(signal.SIGALRM)
            raise AssertionError("still here")
"""
# Sends itself a signal when all is done, and what is left is to write out a last line.
AT_THE_END = """
import os, signal
from pipelines import stopping

real = stopping.earned

def earned(code):
    real(code)
    os.kill(os.getpid(), signal.SIGTERM)
    raise AssertionError("still here")

stopping.earned = earned
"""


@pytest.fixture(scope="module")
def held(
    few_marts: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, dict[str, str]]]:
    """A database that was loaded once, and the environment that its exchange and key need."""
    market = Market(behavior=UNHURRIED)
    desk = market.add_account("desk", key="ed25519")
    market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")
    folder = tmp_path_factory.mktemp("held")
    key = folder / "key.pem"
    key.touch(mode=0o600)
    key.write_text(desk.private_key_pem)
    with serve(market) as exchange:
        database = Database(folder / "rfq.duckdb")
        job.run(database, access_of(exchange, desk, LoadSettings()), ignore)
        yield (
            database,
            {
                "SOURCES__KALSHI__BASE_URL": exchange.base_url,
                "SOURCES__KALSHI__API_KEY_ID": desk.api_key_id,
                "SOURCES__KALSHI__PRIVATE_KEY_PATH": str(key),
            },
        )


def started(first: str, *arguments: object, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start the command after the lines *first*, by way of the command *prefix*."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", first + RFQ, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def in_shell(redirected: str, *arguments: object, **environment: str) -> tuple[int, str]:
    """Run the command in a shell; its exit code, and what went to stderr if that is open."""
    words = [sys.executable, "-c", RFQ, *map(str, arguments)]
    ended = subprocess.run(
        ["bash", "-c", f'"$@" {redirected}', "bash", *words],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stderr


# Signals


@pytest.mark.parametrize(
    ("module", "numbers", "code"),
    [
        ("pipelines.console", [signal.SIGTERM], 143),
        ("typer", [signal.SIGINT], 130),
        ("rich.console", [signal.SIGHUP], 129),
        ("pipelines.job", [signal.SIGTERM, signal.SIGTERM], 143),
        ("dlt.common", [signal.SIGTERM], 143),
        ("_duckdb", [signal.SIGINT], 130),
    ],
)
def test_a_signal_ends_the_command_while_it_is_still_importing(
    module: str, numbers: list[int], code: int, tmp_path: Path
) -> None:
    # Whoever runs the tests may have told them to live on when the terminal is closed.
    heeded = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
    first = heeded + AT_IMPORT.format(module=module, numbers=[int(number) for number in numbers])

    process = started(first, "build", "--database", tmp_path / "rfq.duckdb")

    said = process.communicate()
    assert process.returncode == code
    assert said[0] == ""
    assert said[1].startswith(f"rfq: stopped by {signal.Signals(numbers[0]).name}")
    assert said[1].count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_signal_while_duckdb_opens_its_file_is_no_bug(
    held: tuple[Database, dict[str, str]],
) -> None:
    process = started(WHILE_OPENING, "build", "--database", held[0].path)

    ended = Ended(0, *process.communicate())
    told = "rfq: stopped by SIGTERM. Nothing was published.\n"
    assert (process.returncode, ended.out, ended.error) == (143, "", told)
    assert "build ended with 143" in ended.err


@pytest.mark.parametrize("then", ["signal.pause()", f"signal.pause(){SWALLOWED}"])
def test_undoing_is_not_interrupted_by_the_nudges_that_a_long_query_needs(then: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WHILE_UNDOING.format(then=then)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.stdout.split() == ["undone", "143"], ended.stderr


def test_a_signal_after_all_is_done_changes_nothing(held: tuple[Database, dict[str, str]]) -> None:
    process = started(AT_THE_END, "status", "--database", held[0].path)

    process.communicate()

    assert process.returncode == 0


def test_a_signal_while_others_are_told_how_a_run_ended_changes_nothing() -> None:
    """The first one waits until they are told, a second one ends the process as it had ended."""
    code = (
        "import os, signal; from pipelines import stopping; stopping.heed();"
        " stopping.raise_from_here(); stopping.finished(65);"
        " os.kill(os.getpid(), signal.SIGTERM); print('still here', flush=True);"
        " os.kill(os.getpid(), signal.SIGTERM); print('no more', flush=True)"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (ended.returncode, ended.stdout, ended.stderr) == (65, "still here\n", "")


def test_what_nohup_ignores_stays_ignored(held: tuple[Database, dict[str, str]]) -> None:
    numbers = [int(signal.SIGHUP), int(signal.SIGINT)]
    ignoring = ("sh", "-c", 'trap "" HUP INT; exec "$@"', "sh")
    first = AT_IMPORT.format(module="typer", numbers=numbers)

    process = started(first, "status", "--database", held[0].path, prefix=ignoring)

    said = process.communicate()
    assert (process.returncode, said[1]) == (0, "")


def test_a_sandbox_that_is_stopped_before_it_serves_was_stopped(tmp_path: Path) -> None:
    first = AT_IMPORT.format(module="pipelines.sandbox.server", numbers=[int(signal.SIGTERM)])

    process = started(first, "sandbox", "--days", "0")

    assert process.communicate() == ("", "rfq: stopped by SIGTERM.\n")
    assert process.returncode == 143


# Output


@pytest.mark.parametrize(
    "redirected",
    [pytest.param("> /dev/full", marks=nightly("it repeats closed output")), ">&- 2>&- <&-"],
)
def test_a_run_that_published_is_done_whatever_becomes_of_its_output(
    redirected: str, held: tuple[Database, dict[str, str]]
) -> None:
    database, environment = held
    before = database.path.stat().st_ino

    code, said = in_shell(redirected, "run", "--database", database.path, **environment)

    assert code == 0
    assert database.path.stat().st_ino != before
    missed = "rfq: done, but stdout could not be written: [Errno 28] No space left on device\n"
    assert said.endswith(missed) == (redirected == "> /dev/full")
    assert "rfq: " not in said.removesuffix(missed)
    # With the streams closed, the next file opened would be where a library prints to.
    with duckdb.connect(database.private_path, read_only=True) as connection:
        assert connection.execute("select count(*) from raw.rfq_versions").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("redirected", "code", "complaint"),
    [
        ("> /dev/full", 75, "rfq: stdout could not be written: [Errno 28] No space left on device"),
        (">&-", 0, ""),
        ("| head -1; exit ${PIPESTATUS[0]}", 0, ""),
    ],
)
def test_a_status_fails_only_where_somebody_waits_for_it(
    redirected: str, code: int, complaint: str, held: tuple[Database, dict[str, str]]
) -> None:
    ended = in_shell(redirected, "status", "--database", held[0].path)

    assert ended[0] == code
    assert ended[1].startswith(complaint)
    assert bool(ended[1]) == bool(complaint)


def test_a_sandbox_that_cannot_say_how_to_connect_ends() -> None:
    code, said = in_shell("> /dev/full", "sandbox", "--days", "0")

    assert code == 75
    assert said.startswith("rfq: stdout could not be written: [Errno 28]")


def test_a_locale_without_our_characters_gets_others(tmp_path: Path) -> None:
    code, _ = in_shell(f"> {tmp_path}/out", "run", "--help", PYTHONIOENCODING="ascii")

    assert code == 0
    assert b"rfq run --sandbox ? rfq run ?" in (tmp_path / "out").read_bytes()


@pytest.mark.parametrize(("columns", "kind"), [(0, "dumb"), (1, "xterm")])
def test_a_terminal_of_no_width_is_written_to(
    columns: int, kind: str, held: tuple[Database, dict[str, str]]
) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", columns, columns, 0, 0))
    words = [sys.executable, "-c", RFQ, "status", "--database", str(held[0].path)]
    with subprocess.Popen(
        words, stdout=theirs, stderr=subprocess.PIPE, env=os.environ | {"TERM": kind}
    ) as process:
        os.close(theirs)
        shown = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)

    assert process.returncode == 0
    assert len(shown) > 100


def _read(terminal: int) -> bytes:
    """The next of what a terminal shows; nothing once nobody writes to it."""
    with suppress(OSError):
        return os.read(terminal, 4096)
    return b""


# Sentences


def test_an_error_after_publishing_does_not_say_that_nothing_was_published(
    rfq: Command, held: tuple[Database, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., Any] = building.replace_published

    def replace_published(*arguments: Any, **settings: Any) -> None:
        real(*arguments, **settings)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(building, "replace_published", replace_published)

    ended = rfq("build", "--database", held[0].path)

    assert ended.code == 75
    assert ended.error == (
        "rfq: the disk is full: make room, then run again. "
        "The new tables were published before that.\n"
    )


def test_a_status_of_a_file_that_is_open_elsewhere_says_nothing_of_publishing(
    rfq: Command, held: tuple[Database, dict[str, str]]
) -> None:
    holder = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(held[0].path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()

        ended = rfq("status", "--database", held[0].path)

        process.communicate("\n")
    assert ended.code == 0
    assert "rows" in ended.out
    assert "published." not in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("build",),
        ("load",),
        ("run",),
        ("backfill", "--since", "2026-11-01"),
        ("run", "--base-url", "nonsense"),
    ],
)
def test_a_command_that_cannot_succeed_leaves_nothing_behind(
    arguments: tuple[str, ...], rfq: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    ended = rfq(*arguments)

    assert ended.code == 78
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["TERMINAL_WIDTH", "_RFQ_COMPLETE"])
def test_a_setting_of_the_library_that_reads_our_arguments_is_not_ours(
    name: str, tmp_path: Path
) -> None:
    code, said = in_shell(f"> {tmp_path}/out", "--help", **{name: "nonsense"})

    assert code == 0, said


def test_a_broken_pipe_of_our_own_is_no_wish_to_end(
    rfq: Command, desk: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Typer ends with 1 and no word at an EPIPE, whatever broke."""

    def broken(*_: Any, **__: Any) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(job, "rebuild", broken)

    assert rfq("build", "--database", tmp_path / "rfq.duckdb").code == 70
