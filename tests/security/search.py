"""Everything a file tells, however it is packed."""

import gzip
import io
import zlib
from base64 import b64decode
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq


def found_in_files(folder: Path, canaries: Iterable[str]) -> set[tuple[str, str]]:
    """Which canary is in which file below *folder*, DuckDB files and logs left out."""
    wanted = list(canaries)
    return {
        (str(path.relative_to(folder)), canary)
        for path in folder.rglob("*")
        if path.is_file() and ".duckdb" not in path.name and path.name != "key.pem"
        for text in _unpacked(path)
        for canary in wanted
        if canary.encode() in text
    }


def found_in_bytes(path: Path, canaries: Iterable[str]) -> set[tuple[str, str]]:
    """Which canary is in the bytes of a file, in use or not."""
    content = path.read_bytes()
    return {(path.name, canary) for canary in canaries if canary.encode() in content}


def found_in_tables(path: Path, canaries: Iterable[str]) -> set[tuple[str, str]]:
    """Which canary is in which table of a DuckDB file; dlt's state is looked at unpacked."""
    wanted = list(canaries)
    with duckdb.connect(path, read_only=True) as connection:
        tables = connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables()"
        ).fetchall()
        return {
            (table, canary)
            for (table,) in tables
            for row in connection.execute(f"select t::varchar from {table} as t").fetchall()
            for text in _with_state(table, row[0])
            for canary in wanted
            if canary in text
        }


def _unpacked(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    yield content
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    if content[:4] == b"PAR1":
        yield repr(pq.read_table(io.BytesIO(content)).to_pylist()).encode()


def _with_state(table: str, text: str) -> Iterator[str]:
    yield text
    if table.endswith("_dlt_pipeline_state"):
        for word in text.replace(",", " ").replace("'", " ").split():
            if len(word) > 100:
                yield zlib.decompress(b64decode(word)).decode()
