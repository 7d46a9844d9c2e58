"""What a process that stays keeps of the memory that its threads have used."""

import platform
import subprocess
import sys

import pytest

# Each thread holds something while the others ask, so that none can use what another let go of.
THREADS = """
import ctypes, sys, threading
from pipelines.store.memory import share_heap
if {is_shared}:
    share_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(6)
def ask():
    libc.malloc(10_000)
    together.wait()
threads = [threading.Thread(target=ask) for _ in range(5)]
for each in threads:
    each.start()
together.wait()
for each in threads:
    each.join()
libc.malloc_stats()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep one heap")
@pytest.mark.parametrize("is_shared", [True, False])
def test_threads_share_one_heap_and_would_not_unless_told(is_shared: bool) -> None:
    code = THREADS.format(is_shared=is_shared)

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert (told.stderr.count("Arena ") == 1) == is_shared, told.stderr
