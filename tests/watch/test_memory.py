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
# Each thread makes a table and ends; what it has used is of the one heap, and not of Arrow's.
ARROW = """
import ctypes, threading
from pipelines.store.memory import share_heap
share_heap()
import pyarrow as pa
tables = []
thread = threading.Thread(target=lambda: tables.append(pa.array(range(1_000_000))))
thread.start()
thread.join()
print(pa.default_memory_pool().backend_name, pa.system_memory_pool().bytes_allocated())
"""
# Of 200 MB in blocks of 20 kB every hundredth stays, so that nothing is free at the heap's end.
SCATTERED = """
import ctypes, os
from pathlib import Path
from pipelines.store.memory import trim_heap
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
def resident_mb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000
blocks = [libc.malloc(20_000) for _ in range(10_000)]
for block in blocks:
    ctypes.memset(ctypes.c_void_p(block), 1, 20_000)
for number, block in enumerate(blocks):
    if number % 100:
        libc.free(ctypes.c_void_p(block))
kept = resident_mb()
trim_heap()
print(kept - resident_mb())
"""
of_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others do it otherwise")


def test_arrow_shares_it_too() -> None:
    told = subprocess.run([sys.executable, "-c", ARROW], capture_output=True, text=True, check=True)

    name, size = told.stdout.split()
    assert (name, int(size) >= 8_000_000) == ("system", True)


@of_glibc
def test_what_is_freed_between_what_is_in_use_goes_back_to_the_system() -> None:
    command = [sys.executable, "-c", SCATTERED]

    told = subprocess.run(command, capture_output=True, text=True, check=True)

    assert 150 < int(told.stdout) <= 200


@of_glibc
@pytest.mark.parametrize("is_shared", [True, False])
def test_threads_share_one_heap_and_would_not_unless_told(is_shared: bool) -> None:
    code = THREADS.format(is_shared=is_shared)

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert (told.stderr.count("Arena ") == 1) == is_shared, told.stderr
