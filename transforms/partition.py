"""A part of the marts from its rows alone, so that any process or machine can compute it: the facts
of some RFQs, or a mart of some markets, days or hours.

Rows come and go as Arrow IPC streams. Nothing here knows of a database, and nothing private is in
what it is given: staging has no private field.
"""

import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from inspect import signature
from io import BytesIO
from typing import Any, Literal

import polars as pl
import pyarrow as pa

from transforms.keys import RFQ, Mart, Sums
from transforms.marts import MARTS
from transforms.rules import rules
from transforms.settings import Settings

# To plan a query for polars' streaming engine costs more than to run it over so few rows.
FEW_ROWS = 50_000
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="lz4")
FACTS: tuple[Mart, ...] = tuple(mart for mart, key in MARTS.items() if key == RFQ)
SUMS: dict[Mart, Sums] = {mart: key for mart, key in MARTS.items() if isinstance(key, Sums)}
_MADE = {mart.__name__ for mart in FACTS}
_OWN_OF = {"own_quote_facts": "quote_facts", "own_rfq_facts": "visible_rfq_facts"}
_DERIVED = {"settings", "quoted_rfqs", "visible_rfq_facts", *_OWN_OF}
NAMES: tuple[str, ...] = tuple(
    sorted({name for mart in FACTS for name in signature(mart).parameters} - _MADE - _DERIVED)
)
"""What `build_partition` is given: the rows of each name that belong to the partition's RFQs."""

Rows = dict[str, bytes]
Work = Callable[[Rows, bytes], Rows]
Sent = tuple[Work, Rows, bytes]
"""What is to be computed, and its inputs and the settings, as `build_partition` takes them."""


def build_partition(inputs: Rows, settings: bytes) -> Rows:
    """Compute what has a row per RFQ or quote, and what those rows add to each sum.

    *inputs* has the rows of each of `NAMES`, *settings* is what `sent` has made of `Settings`. What
    comes back has the rows of each mart of `FACTS`, and of each of `SUMS` the parts to be added up.
    """
    given, made = _Given(inputs, settings), Rows()
    for mart in FACTS:
        frame = mart(**given.of(mart)).collect(engine=given.engine)
        given.frames[mart.__name__] = frame.lazy()
        made[mart.__name__] = written(frame)
    for mart, sums in SUMS.items():
        made[mart.__name__] = written(
            sums.parts(**given.of(sums.parts)).collect(engine=given.engine)
        )
    return made


def build_marts(marts: tuple[Mart, ...], inputs: Rows, settings: bytes) -> Rows:
    """Compute the rows of *marts* of some keys: *inputs* has what `names_of` them is, of those."""
    given, made = _Given(inputs, settings), Rows()
    for mart in marts:
        made[mart.__name__] = written(mart(**given.of(mart)).collect(engine=given.engine))
    return made


def names_of(marts: Iterable[Mart]) -> set[str]:
    """Return the names of what `build_marts` is given: what is ours is told from among all."""
    return {_OWN_OF.get(name, name) for name in asked_by(marts)}


def asked_by(marts: Iterable[Mart]) -> set[str]:
    """Return the names of the rows that *marts* have parameters for."""
    return {name for mart in marts for name in signature(mart).parameters} - {"settings"}


class Here:
    """Builds part after part in this process. What builds elsewhere does as this does.

    *workers* are those that have built any, *n_partitions* how many parts of the RFQs were built.
    """

    is_elsewhere = False

    def __init__(self, name: str = "single") -> None:
        self.name = name
        self.workers: set[str] = set()
        self.n_partitions = 0

    def build_all(self, parts: Iterable[Sent]) -> Iterator[Rows]:
        """Give back what was made of each part, in their order."""
        for work, inputs, settings in parts:
            yield work(inputs, settings)


def build_elsewhere(work: Work, inputs: Rows, settings: bytes) -> tuple[str, Rows]:
    """Build a part; return which process of which machine it was as well."""
    return f"{platform.node()}:{os.getpid()}", work(inputs, settings)


class _Given:
    """What the marts of a partition read, by the names of their parameters."""

    def __init__(self, inputs: Rows, settings: bytes) -> None:
        rows = {name: read(stream) for name, stream in inputs.items()}
        self.engine = engine_for(sum(frame.height for frame in rows.values()))
        self.frames = {name: frame.lazy() for name, frame in rows.items()}
        self._settings = _settings(settings)

    def of(self, mart: Mart) -> dict[str, pl.LazyFrame | Settings]:
        names = signature(mart).parameters
        return {name: self._settings if name == "settings" else self._rows(name) for name in names}

    def _rows(self, name: str) -> pl.LazyFrame:
        if name in self.frames:
            return self.frames[name]
        if name in _OWN_OF:
            return self._rows(_OWN_OF[name]).filter(pl.col("visibility") == "own")
        if name == "quoted_rfqs":
            return self._with_quotes(self.frames["rfqs"])
        # What is left is `visible_rfq_facts`: our own or quoted by us, or with any other quote.
        facts, is_ours = self.frames["rfq_facts"], pl.col("visibility") != "foreign"
        return pl.concat([facts.filter(is_ours), self._with_quotes(facts.filter(~is_ours))])

    def _with_quotes(self, rfqs: pl.LazyFrame) -> pl.LazyFrame:
        return rfqs.join(self.frames["quotes"], on="rfq_id", how="semi")


def engine_for(n_rows: int) -> Literal["in-memory", "auto"]:
    """Return which of polars' engines takes a query over so many rows."""
    return "in-memory" if n_rows <= FEW_ROWS else "auto"


def written(frame: pl.DataFrame) -> bytes:
    """Return *frame* as an Arrow IPC stream, compressed.

    To send a byte to another process and back takes longer than to compress twenty. Arrow's own
    writer takes half of the time of polars'.
    """
    rows, stream = frame.to_arrow(compat_level=pl.CompatLevel.newest()), BytesIO()
    with pa.ipc.new_stream(stream, rows.schema, options=_COMPRESSED) as into:
        into.write_table(rows)
    return stream.getvalue()


def read(stream: bytes) -> pl.DataFrame:
    """Return the frame that `written` wrote."""
    return pl.DataFrame(opened(stream))


def opened(stream: bytes) -> pa.Table:
    """Return the rows that `written` wrote, for whoever stores them and asks no more."""
    return pa.ipc.open_stream(stream).read_all()


def sent(settings: Settings) -> bytes:
    """Return *settings* as JSON."""
    return json.dumps(asdict(settings), default=datetime.isoformat).encode()


def _settings(told: bytes) -> Settings:
    values: dict[str, Any] = json.loads(told)
    for name in ("as_of", "known_until"):
        values[name] = values[name] and datetime.fromisoformat(values[name])
    return Settings(**values)


def versions() -> Mapping[str, str]:
    """Return what decides whether two processes compute the same."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"Python": python, "polars": pl.__version__, "the rules of rfq": rules()[:16]}
