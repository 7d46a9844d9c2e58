"""Signals, from the first line of the command to its last.

=========================  ===================================================================
while there is             a signal
=========================  ===================================================================
nothing to undo            ends the process on the spot
something to undo          raises `Stopped` where the main thread stands, within `stoppable()`
the run is over            changes nothing: others are told how it ended, after `finished()`
nothing left to do         ends the process with the code that it has earned, after `earned()`
=========================  ===================================================================

A second signal ends the process at once, and so do five seconds after the first: undoing needs no
more care than a kill, as what a load has not committed is read again. A watch has nine, in which it
lands what it has seen.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from pipelines import effects

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
UNDOING_LASTS_AT_MOST_S = 5.0
RAISED_EVERY_S = 0.1


class Stopped(SystemExit):
    """Asked to end by a signal. Its exit code is the shell's: 128 plus the signal's number."""

    code: int

    def __init__(self, number: int) -> None:
        super().__init__(0 if _process.is_meant_to_be_stopped else 128 + number)
        self.signal = signal.Signals(number)

    def __str__(self) -> str:
        return f"stopped by {self.signal.name}. {effects.so_far()}".rstrip()


class _Process:
    """What a signal meets. Signals are sent to a process, so there is one of these."""

    received: int | None = None
    undoing = 0
    is_meant_to_be_stopped = False
    is_over = False
    lasts_at_most_s = UNDOING_LASTS_AT_MOST_S
    finished: int | None = None
    earned: int | None = None


_process = _Process()


def heed() -> None:
    """Answer SIGHUP, SIGINT and SIGTERM from here on; one that is ignored (nohup) stays ignored."""
    for each in SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, _answer)
    signal.signal(signal.SIGALRM, _answer_again)
    _watch()


def stopped() -> Stopped | None:
    """The signal that this process was sent, if any."""
    return None if _process.received is None else Stopped(_process.received)


def finished(code: int) -> None:
    """Raise nothing any more: what the command did is done, and how it ended is being told."""
    _process.finished = code


def earned(code: int) -> None:
    """Let no signal change the exit code any more."""
    _process.earned = code


@contextmanager
def stoppable() -> Iterator[None]:
    """Within, a signal is raised as `Stopped`, so that what was begun is undone."""
    _process.undoing += 1
    try:
        yield
    except BaseException:
        # DuckDB turns what a handler raises during a query into an error of its own.
        if _process.received is not None:
            raise Stopped(_process.received) from None
        raise
    finally:
        _process.undoing -= 1


def allow(seconds: float) -> None:
    """Let undoing last so long."""
    _process.lasts_at_most_s = seconds


def raise_from_here() -> None:
    """Raise every signal as `Stopped` until the command is over: its end has to be recorded."""
    _process.undoing += 1


@contextmanager
def until_stopped() -> Iterator[None]:
    """Within, a signal is the end that is meant: `Stopped` goes no further, its exit code is 0."""
    with stoppable():
        _process.is_meant_to_be_stopped = True
        with suppress(Stopped):
            yield
        _process.is_over = True


def _answer(number: int, _frame: FrameType | None) -> None:
    is_second = _process.received is not None
    _process.received = number
    is_told = _process.finished is not None and _process.earned is None
    if is_told and not is_second:
        return
    if is_second or not _process.undoing or _process.earned is not None:
        _exit()
    sys.unraisablehook = _show_unraisable
    raise Stopped(number)


def _answer_again(number: int, _frame: FrameType | None) -> None:
    """Raise it once more: a query may be long, and what is raised in a destructor is dropped."""
    is_over = _process.is_over or _process.finished is not None
    is_wanted = _process.received and _process.undoing and not is_over
    if is_wanted and not _is_undoing(sys.exception()):
        raise Stopped(_process.received or number)


def _is_undoing(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, Stopped):
        error = error.__context__
    return error is not None


def _show_unraisable(unraisable: Any) -> None:
    if not isinstance(unraisable.exc_value, Stopped):
        sys.__unraisablehook__(unraisable)


def _watch() -> None:
    """Hear of signals in a thread too: the main thread may be in a library for long."""
    from threading import Thread

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    Thread(target=_insist, args=[reader], name="signals", daemon=True).start()


def _insist(reader: int) -> None:
    """Nudge the main thread until it ends; end the process at a second signal, or after a while.

    A signal may reach any thread, and Python answers it in the main one, once that comes back from
    where it waits: the nudge, a signal to this thread alone, makes it come back.
    """
    from threading import main_thread
    from time import monotonic, sleep

    main = main_thread().ident or 0
    heard = b""
    while not heard:
        heard = _heeded(os.read(reader, 512))
    os.set_blocking(reader, False)
    end_s = monotonic() + _process.lasts_at_most_s
    while len(heard) < 2 and monotonic() < end_s:
        signal.pthread_kill(main, signal.SIGALRM)
        sleep(RAISED_EVERY_S)
        with suppress(BlockingIOError):
            heard += _heeded(os.read(reader, 512))
    _process.received = heard[0]
    _exit()


def _heeded(numbers: bytes) -> bytes:
    return bytes(number for number in numbers if number in SIGNALS)


def _exit() -> None:
    end = stopped()
    code = _process.finished if _process.earned is None else _process.earned
    if code is not None or end is None:
        os._exit(code or 0)
    if end.code:
        # Not by way of sys.stderr: the main thread may be in the middle of writing to it.
        with suppress(OSError):
            os.write(2, f"rfq: {end}\n".encode())
    os._exit(end.code)
