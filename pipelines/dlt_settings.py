"""dlt, with no settings but those that stand here.

dlt looks for every setting in the environment, in several files and in secret stores, under names
as short as REFRESH, and many of them change what a load keeps. While ours runs, dlt has one
provider of settings: the table below. Whatever is not in it has dlt's default.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.doc import CustomLoaderDocProvider
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.runtime.run_context import RunContext

SETTINGS: dict[str, Any] = {
    "runtime": {
        # It reports to its vendor unless told otherwise.
        "dlthub_telemetry": False,
        # It would answer a signal only between its own steps.
        "intercept_signals": False,
        # Its log names values that DuckDB refused.
        "log_level": "CRITICAL",
    },
    # A pass must see what the ones before it have read, so no resource is begun before its turn.
    "extract": {"next_item_mode": "fifo"},
    "load": {
        # It would keep private rows that it is done with.
        "delete_completed_jobs": True,
        "truncate_staging_dataset": True,
    },
    # It would look for Airflow, and ask it for settings.
    "providers": {"enable_airflow_secrets": False},
}


@contextmanager
def own_settings(directory: Path) -> Iterator[None]:
    """Let dlt have the settings of this module alone, and *directory* for whatever it writes.

    Afterwards it has those that it had before, which it looks for when they are first needed.
    """
    temporary = tempfile.tempdir
    # It writes its SQL to the system's folder for temporary files, which others share and fill.
    tempfile.tempdir = str(directory)
    try:
        with Container().injectable_context(PluggableRunContext(_RunContext(directory))):
            yield
    finally:
        tempfile.tempdir = temporary


class _RunContext(RunContext):
    """One folder instead of those that dlt takes from the environment, one provider of settings."""

    def __init__(self, directory: Path) -> None:
        super().__init__(str(directory))
        self._directory = str(directory)

    @property
    def global_dir(self) -> str:
        return self._directory

    @property
    def run_dir(self) -> str:
        return self._directory

    @property
    def local_dir(self) -> str:
        return self._directory

    @property
    def data_dir(self) -> str:
        return self._directory

    @property
    def module(self) -> None:
        """The folder is no Python module; dlt would try to import it by its name."""

    def initial_providers(self) -> list[ConfigProvider]:
        return [CustomLoaderDocProvider("rfq", lambda: SETTINGS, supports_secrets=True)]
