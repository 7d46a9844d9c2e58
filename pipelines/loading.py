"""dlt at work: loads handed on to raw, one package each.

A pipeline and its directory serve one thread. What a package that failed has left there dlt would
take up before all else, so the next load begins in another directory.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import dlt
import duckdb

from pipelines.destination import HeldDuckDb
from pipelines.kalshi.client.errors import ExchangeError
from pipelines.kalshi.extraction import Extraction
from pipelines.kalshi.passes import Load, failures_of
from pipelines.kalshi.reading import Ending, Pass
from pipelines.kalshi.resources import kalshi

States: TypeAlias = dict[str, Any]


class Loader:
    """Loads into the held database of *connection*, by way of files in *directory*."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        directory: Path,
        on_stored: Callable[[Extraction, States], None] = lambda *_: None,
    ) -> None:
        self._connection = connection
        self._directory = directory
        self._on_stored = on_stored
        self._held: dlt.Pipeline | None = None
        self.current: Load | None = None

    def states(self) -> States:
        """The state of each resource, as raw holds it."""
        pipeline = self._pipeline()
        pipeline.sync_destination()
        return _states(pipeline)

    def load(
        self,
        extraction: Extraction,
        passes: tuple[Pass, ...],
        between: Callable[[], None] = lambda: None,
    ) -> list[ExchangeError]:
        """Run *passes*, in as many loads as it takes: each is kept if a later one fails.

        *between* is called after each that has left something for the next one.
        """
        endings: dict[str, Ending] = {}
        while passes:
            load = self.load_once(extraction, passes)
            endings |= load.endings
            passes = load.left()
            if passes:
                between()
        return failures_of(endings)

    def load_once(self, extraction: Extraction, passes: tuple[Pass, ...]) -> Load:
        """Run *passes* until the load is full, and store it."""
        extraction.begin_load()
        load = self.current = Load(extraction, passes)
        pipeline, self._held = self._pipeline(), None
        pipeline.run(kalshi(load))
        self._held = pipeline
        extraction.end_load()
        self._on_stored(extraction, _states(pipeline))
        # dlt keeps what it has loaded: files without rows, but one folder more for each load.
        loaded = Path(pipeline.working_dir) / "load" / "loaded"
        shutil.rmtree(loaded, ignore_errors=True)
        loaded.mkdir(parents=True, exist_ok=True)
        return load

    def _pipeline(self) -> dlt.Pipeline:
        if self._held is None:
            directory = tempfile.mkdtemp(dir=self._directory, prefix="dlt-")
            self._held = dlt.pipeline(
                "kalshi",
                pipelines_dir=directory,
                destination=HeldDuckDb(self._connection, staging_dataset_name_layout="_merge_%s"),
                dataset_name="raw",
            )
        return self._held


def _states(pipeline: dlt.Pipeline) -> States:
    sources: Any = pipeline.state.get("sources", {})
    states: States = sources.get("kalshi", {}).get("resources", {})
    return states
