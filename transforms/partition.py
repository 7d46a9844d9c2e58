"""The facts of some RFQs from their rows alone, so that any process or machine can compute them.

Rows come and go as Arrow IPC streams. Nothing here knows of a database, and nothing private is in
what it is given: staging has no private field.
"""

import json
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from inspect import signature
from io import BytesIO
from typing import Any, Literal

import polars as pl

from transforms.keys import RFQ, Mart, Sums
from transforms.marts import MARTS
from transforms.rules import rules
from transforms.settings import Settings

# To plan a query for polars' streaming engine costs more than to run it over so few rows.
FEW_ROWS = 50_000
FACTS: tuple[Mart, ...] = tuple(mart for mart, key in MARTS.items() if key == RFQ)
SUMS: dict[Mart, Sums] = {mart: key for mart, key in MARTS.items() if isinstance(key, Sums)}
_MADE = {mart.__name__ for mart in FACTS}
_DERIVED = {"settings", "visible_rfq_facts", "own_quote_facts"}
NAMES: tuple[str, ...] = tuple(
    sorted({name for mart in FACTS for name in signature(mart).parameters} - _MADE - _DERIVED)
)
"""What `build_partition` is given: the rows of each name that belong to the partition's RFQs."""

Rows = dict[str, bytes]
BuildAll = Callable[[Iterable[tuple[Rows, bytes]]], Iterator[Rows]]
"""Builds partitions, here or elsewhere, and gives back what was made of each in their order."""


def build_partition(inputs: Rows, settings: bytes) -> Rows:
    """Compute what has a row per RFQ or quote, and what those rows add to each sum.

    *inputs* has the rows of each of `NAMES`, *settings* is what `sent` has made of `Settings`. What
    comes back has the rows of each mart of `FACTS`, and of each of `SUMS` the parts to be added up.
    """
    rows = {name: read(stream) for name, stream in inputs.items()}
    engine = engine_for(sum(frame.height for frame in rows.values()))
    given = _Given({name: frame.lazy() for name, frame in rows.items()}, _settings(settings))
    made: Rows = {}
    for mart in FACTS:
        frame = mart(**given.of(mart)).collect(engine=engine)
        given.frames[mart.__name__] = frame.lazy()
        made[mart.__name__] = written(frame)
    for mart, sums in SUMS.items():
        made[mart.__name__] = written(sums.parts(**given.of(sums.parts)).collect(engine=engine))
    return made


def one_by_one(partitions: Iterable[tuple[Rows, bytes]]) -> Iterator[Rows]:
    """Build each partition where it is asked for."""
    return (build_partition(*each) for each in partitions)


class _Given:
    """What the marts of a partition read, by the names of their parameters."""

    def __init__(self, frames: dict[str, pl.LazyFrame], settings: Settings) -> None:
        self.frames = frames
        self._settings = settings

    def of(self, mart: Mart) -> dict[str, pl.LazyFrame | Settings]:
        return {name: self._given(name) for name in signature(mart).parameters}

    def _given(self, name: str) -> pl.LazyFrame | Settings:
        if name == "settings":
            return self._settings
        if name == "own_quote_facts":
            return self.frames["quote_facts"].filter(pl.col("visibility") == "own")
        if name == "visible_rfq_facts":
            quoted = self.frames["quotes"].select("rfq_id").unique()
            is_visible = pl.col("visibility") != "foreign"
            rfqs = self.frames["rfq_facts"]
            seen = rfqs.filter(~is_visible).join(quoted, on="rfq_id", how="semi")
            return pl.concat([rfqs.filter(is_visible), seen])
        return self.frames[name]


def engine_for(n_rows: int) -> Literal["in-memory", "auto"]:
    """Return which of polars' engines takes a query over so many rows."""
    return "in-memory" if n_rows <= FEW_ROWS else "auto"


def written(frame: pl.DataFrame) -> bytes:
    """Return *frame* as an Arrow IPC stream."""
    stream = BytesIO()
    frame.write_ipc_stream(stream)
    return stream.getvalue()


def read(stream: bytes) -> pl.DataFrame:
    """Return the frame that `written` wrote."""
    return pl.read_ipc_stream(stream)


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
    return {"Python": platform.python_version(), "polars": pl.__version__, "rules": rules()[:16]}
