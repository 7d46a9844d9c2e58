"""dlt's DuckDB destination, held to one connection."""

from typing import Any

import dlt
import duckdb
from dlt.common.destination.client import DestinationClientConfiguration
from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials

# So many of the last states are kept. A run restores the newest whose load is noted as complete.
_STATES_KEPT = 3
_FORGET = f"""
begin;
create or replace temp table kept_states as
select _dlt_load_id from raw._dlt_pipeline_state order by _dlt_load_id desc limit {_STATES_KEPT};
delete from raw._dlt_pipeline_state where _dlt_load_id not in (from kept_states);
delete from raw._dlt_loads where load_id < (select min(_dlt_load_id) from kept_states);
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
