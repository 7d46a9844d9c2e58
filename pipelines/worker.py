"""A process that computes parts of a build for another one.

Nothing is imported here that the work has no use for.
"""

import os
import signal
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from threading import Thread


def follow_sender() -> None:
    """Let this process end with the one that sends it parts, however that ends, and not by Ctrl-C.

    A worker waits for parts at a pipe whose other end it holds itself, so that no end of the
    sender's would ever reach it there. A terminal interrupts both: the sender answers for all.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sender = parent_process()
    if sender is not None:
        Thread(target=_end_after, args=[sender], name="sender", daemon=True).start()


def _end_after(sender: BaseProcess) -> None:
    sender.join()
    os._exit(0)
