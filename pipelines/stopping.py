"""SIGTERM and Ctrl-C: a run unwinds at once, and the next one begins where the last one ended."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
UNWINDING_LASTS_AT_MOST_S = 5.0
RAISED_EVERY_S = 0.1


class Stopped(SystemExit):
    """Asked to end by a signal. Its exit code is the shell's: 128 plus the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)

    def __str__(self) -> str:
        return f"stopped by {self.signal.name}; what was published stays, run again to go on"


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` where the main thread stands on SIGINT or SIGTERM.

    Unwinding needs no more care than a kill: what a load has not committed is read again. So the
    process ends on the spot at a second signal, and where unwinding takes longer than five seconds.
    A signal that is ignored (nohup) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    last_resorts: list[threading.Timer] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        for each in heeded:
            signal.signal(each, signal.SIG_DFL)
        # A query may be long, and Python drops what is raised in a destructor: so raise it again.
        last_resorts.append(_exit_later(128 + number))
        signal.signal(signal.SIGALRM, stop_again)
        signal.setitimer(signal.ITIMER_REAL, RAISED_EVERY_S, RAISED_EVERY_S)
        raise Stopped(number)

    def stop_again(_number: int, _frame: FrameType | None) -> None:
        if not _is_unwinding(sys.exception()):
            raise Stopped(received[0])

    heeded = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    previous = {each: signal.signal(each, stop) for each in heeded}
    try:
        yield
    except BaseException:
        # DuckDB turns what a handler raises during a query into an error of its own.
        if received:
            raise Stopped(received[0]) from None
        raise
    finally:
        if received:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        for timer in last_resorts:
            timer.cancel()
        for each, handler in previous.items():
            signal.signal(each, handler)


def _is_unwinding(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, Stopped):
        error = error.__context__
    return error is not None


def _exit_later(code: int) -> threading.Timer:
    timer = threading.Timer(UNWINDING_LASTS_AT_MOST_S, os._exit, [code])
    timer.daemon = True
    timer.start()
    return timer
