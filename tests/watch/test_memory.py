"""What a process that stays keeps of the memory that its threads have used."""

import platform
import subprocess
import sys
from pathlib import Path

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
# Refused once all is imported that it needs.
REFUSED = """
import ctypes, sys
from pipelines.entry import command
sys.argv = ["rfq", "watch", "--sandbox", "--quotes-every", "0s", "--database", sys.argv[1]]
assert command() == 78
assert "polars" in sys.modules
ctypes.CDLL(None).malloc_stats()
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
RESIDENT = """
import ctypes, os
from pathlib import Path
import duckdb
from pipelines.store.memory import limit_memory, release_memory
def resident_mb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000
"""
# Of 200 MB in blocks of 20 kB every hundredth stays, so that nothing is free at the heap's end.
SCATTERED = """
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
blocks = [libc.malloc(20_000) for _ in range(10_000)]
for block in blocks:
    ctypes.memset(ctypes.c_void_p(block), 1, 20_000)
for number, block in enumerate(blocks):
    if number % 100:
        libc.free(ctypes.c_void_p(block))
kept = resident_mb()
release_memory(duckdb.connect())
print(kept - resident_mb())
"""
# Random bytes, which a file keeps as they are. A temporary table reads back as it was.
READ = """
connection = duckdb.connect()
connection.execute(f"attach '{path}' as held")
connection.execute("create table held.numbers as select random() as number from range(8_000_000)")
connection.execute("detach held")
connection.execute(f"attach '{path}' as held")
limit_memory(connection)
limits = connection.execute("select current_setting('memory_limit')").fetchall()
connection.execute("create temporary table ours as select range as number from range(10_000)")
connection.execute("select sum(number) from held.numbers")
kept = resident_mb()
release_memory(connection)
print(kept - resident_mb())
assert connection.execute("select current_setting('memory_limit')").fetchall() == limits
assert connection.execute("select sum(number) from ours").fetchall() == [(49_995_000,)]
count = "select count(*) from held.numbers where number < 1"
assert connection.execute(count).fetchall() == [(8_000_000,)]
"""
of_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others do it otherwise")


def test_arrow_shares_it_too() -> None:
    told = subprocess.run([sys.executable, "-c", ARROW], capture_output=True, text=True, check=True)

    name, size = told.stdout.split()
    assert (name, int(size) >= 8_000_000) == ("system", True)


@of_glibc
def test_what_is_freed_between_what_is_in_use_goes_back_to_the_system() -> None:
    assert 150 < _told(RESIDENT + SCATTERED) <= 200


def test_what_duckdb_has_read_goes_back_to_the_system(tmp_path: Path) -> None:
    """It reads 64 MB, keeps them for the next query, and reads them again where that comes."""
    path = f"path = {str(tmp_path / 'held.duckdb')!r}\n"

    assert 50 < _told(RESIDENT + path + READ) <= 80


def _told(code: str) -> int:
    """The number that another Python prints."""
    command = [sys.executable, "-c", code]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@of_glibc
@pytest.mark.parametrize("is_shared", [True, False])
def test_threads_share_one_heap_and_would_not_unless_told(is_shared: bool) -> None:
    code = THREADS.format(is_shared=is_shared)

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert (told.stderr.count("Arena ") == 1) == is_shared, told.stderr


@of_glibc
def test_the_command_has_one_heap_before_anything_begins_threads(tmp_path: Path) -> None:
    command = [sys.executable, "-c", REFUSED, str(tmp_path / "rfq.duckdb")]

    told = subprocess.run(command, capture_output=True, text=True, check=True)

    assert told.stderr.count("Arena ") == 1, told.stderr
