"""dlt as we use it: one table of settings, one held connection to DuckDB, no notes of old loads.

dlt looks for every setting in the environment, in several files and in secret stores, under names
as short as REFRESH, and many of them change what a load keeps. While ours runs, dlt has one
provider of settings: the table below. Whatever is not in it has dlt's default.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt
import duckdb
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.doc import CustomLoaderDocProvider
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.configuration.utils import get_resolved_traces
from dlt.common.destination.client import DestinationClientConfiguration
from dlt.common.runtime.run_context import RunContext
from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials

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
# So many of the last states are kept. A run restores the newest whose load is noted as complete.
_STATES_KEPT = 3
_FORGET = f"""
begin;
-- A killed load may have stored its state without being noted: no run ever restores that one.
create or replace temp table kept_states as
select _dlt_load_id from raw._dlt_pipeline_state
where _dlt_load_id in (select load_id from raw._dlt_loads where status = 0)
order by _dlt_load_id desc limit {_STATES_KEPT};
delete from raw._dlt_pipeline_state where _dlt_load_id not in (from kept_states);
delete from raw._dlt_loads where load_id < (select min(_dlt_load_id) from kept_states);
-- dlt makes it for tables that earlier versions merged rows into, and leaves it empty.
drop schema if exists _merge_raw cascade;
commit;
"""  # noqa: S608 -- a number of our own


def forget_old_loads(connection: duckdb.DuckDBPyConnection) -> None:
    """Remove what dlt notes of each load and never reads again: every start would read it all."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGET)


class HeldDuckDb(dlt.destinations.duckdb):
    """Asks for its configuration once.

    dlt asks some fifty times a run, to learn what DuckDB can do: an eighth of the work of a load
    that finds nothing new. None of it changes while a run lasts.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, **settings: Any) -> None:
        credentials = DuckDbCredentials()
        # Not as an argument: dlt would take nothing but DuckDB's own class for a connection.
        credentials._external_conn = connection
        super().__init__(credentials, **settings)

    _known: DestinationClientConfiguration | None = None

    @property
    def destination_type(self) -> str:
        """The usual one: it stands in the state that every run restores."""
        return "dlt.destinations.duckdb"

    def configuration(self, initial_config: Any, accept_partial: bool = False) -> Any:
        """Return the resolved settings; the partial ones are those that were found first."""
        if not accept_partial:
            return super().configuration(initial_config)
        if self._known is None:
            self._known = super().configuration(initial_config, accept_partial=True)
        return self._known


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
        # dlt notes each setting that it looks up, and forgets them as a load ends, if one began.
        get_resolved_traces().clear()


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
