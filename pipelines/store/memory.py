"""How much memory a process takes: set by the product, and not by who runs it or by chance."""

import ctypes
import os
from contextlib import suppress

import duckdb

# DuckDB takes four fifths of the machine unless told otherwise. What it needs more than this it
# writes to the folder of the run.
MEMORY_BYTES = 1_250_000_000
# Of <malloc.h>.
_M_ARENA_MAX = -8


def limit_memory(connection: duckdb.DuckDBPyConnection) -> None:
    """Let DuckDB take so much memory, or half of the machine's where that is less, and no more."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit_mb = min(MEMORY_BYTES, physical // 2) // 1_000_000
    connection.execute(f"set memory_limit = '{limit_mb}MB'")


def share_heap() -> None:
    """Let all threads of this process and Arrow share one heap, where the C library is glibc.

    Otherwise it keeps eight for each core, and each keeps what its greatest use has left scattered
    in it: of 450 MB that a watch had taken after seven hours, 100 were in use. Arrow's own keeps
    apart what each thread has used, and dlt has new threads in each load: 12 MB more in each hour.
    To be called before polars and Arrow are imported: they begin threads, and a heap stays in use.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    # Whoever only reads a published file does without pyarrow.
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())


def release_memory(connection: duckdb.DuckDBPyConnection) -> None:
    """Give back what the process holds and has no use for now, and let DuckDB read blocks again.

    DuckDB keeps the blocks that it has read until it has all that it may take, and what it has
    freed until much is freed at once. For a small limit it lets go of all blocks that are not in
    use; what of temporary tables is beyond it waits in its folder. Where more is in use than that,
    it lets go of the same and refuses the limit. With the usual limit set again, it gives their
    memory back. Nobody may ask anything meanwhile.
    """
    try:
        with suppress(duckdb.Error):
            connection.execute("set memory_limit = '1MB'")
    finally:
        limit_memory(connection)
    _trim_heap()


def _trim_heap() -> None:
    """Give the system back what was freed in the heap, where the C library is glibc.

    By itself that gives back what is freed at the heap's end, and keeps what lies between blocks
    that are in use. Once a watch had closed its file, 21 MB of its 431 were such.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
