"""Kalshi's RFQs and quotes as a dlt source for whatever destination dlt has.

    dlt.pipeline("kalshi", destination="postgres", dataset_name="raw").run(kalshi())

It reads the lists by the passes of `rfq load`, and asks no database what earlier runs have handed
on: how far they have read stands in the state that dlt keeps beside the rows, and of a version that
is met again the destination adds none, by id and hash. What only the rows held would tell is not
read here: records by id, what is gone, what was missed.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import dlt
import duckdb
import pyarrow as pa
from dlt.common.configuration.container import Container
from dlt.common.destination.client import WithStateSync
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.pipeline import PipelineContext
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource
from dlt.pipeline.state_sync import load_pipeline_state_from_destination

from pipelines.kalshi.client.api_keys import demand_reading_key
from pipelines.kalshi.client.errors import ConfigurationError
from pipelines.kalshi.client.origin import origins_of_exchange
from pipelines.kalshi.client.reader import open_reader
from pipelines.kalshi.entities import ENTITIES, Entity
from pipelines.kalshi.extraction import Extraction, Limits
from pipelines.kalshi.hashing import as_json
from pipelines.kalshi.passes import Load, passes_of
from pipelines.kalshi.settings import PRODUCTION, ExchangeSettings, given_access

REJECTED = "rejected_rows"
# What the rows of a private file are counted and read again by.
_LEFT_OUT = ("load", "run_id", "is_read_again")
_READ = ("quotes_made", "quotes_received", "rfqs_market", "rfqs_self")


@dlt.source(name="kalshi", section="kalshi")
def kalshi(
    base_url: str = PRODUCTION,
    api_key_id: TSecretStrValue | None = None,
    private_key_path: TSecretStrValue | None = None,
    private_key: TSecretStrValue | None = None,
    scope: str | None = None,
    account: str | None = None,
    overlap_seconds: int | None = None,
    retention_days: int | None = None,
    history_days: int | None = None,
    rejected_share: float | None = None,
    allow_writing_key: TSecretStrValue | None = None,
) -> tuple[DltResource, ...]:
    """Every version of the account's quotes (`quote_versions`) and of RFQs (`rfq_versions`).

    Its settings are those of `[sources.kalshi]` in the README; dlt looks for them.
    """
    exchange = Exchange(given_access(locals()))
    return tuple(
        dlt.resource(_rows, name=entity.key)(exchange, entity) for entity in reversed(ENTITIES)
    )


def _rows(exchange: "Exchange", entity: Entity) -> Iterator[Any]:
    with exchange.opened() as extraction:
        states = dlt.current.resource_state()
        stored = _stored_states()
        if stored is not None:
            states.clear()
            states.update(stored.get(entity.key, {}))
        _demand_same_account(extraction, states)
        passes = passes_of(extraction.reach.scope)
        load = Load(extraction, tuple(each for each in passes if each.name in _READ))
        yield from _handed_on(entity, load.items(entity.key, states))
        if failures := load.failures():
            # dlt stores all of a run or nothing of it.
            raise failures[0]


def _handed_on(entity: Entity, items: Iterator[Any]) -> Iterator[Any]:
    """Of what passes yield, the versions and what could not be read, each content of it once."""
    rejected: set[str] = set()
    for item in items:
        table, rows = item.meta.hints["table_name"], item.data
        if table == entity.table:
            yield _marked(table, "version_hash", rows)
        elif table == REJECTED:
            hashes = rows.column("row_hash").to_pylist()
            new = rows.filter(pa.array([each not in rejected for each in hashes], pa.bool_()))
            rejected.update(hashes)
            yield _marked(table, "row_hash", new)


def _marked(table: str, content_hash: str, rows: pa.Table) -> Any:
    """Mark *rows* for *table*, which takes each content once; lists as JSON text."""
    rows = rows.drop_columns([name for name in rows.column_names if name in _LEFT_OUT])
    for place, each in enumerate(rows.schema):
        if pa.types.is_list(each.type):
            rows = rows.set_column(place, each.name, as_json(rows.column(place)))
    hints = dlt.mark.make_hints(
        table_name=table,
        primary_key=content_hash if table == REJECTED else ("id", content_hash),
        write_disposition={"disposition": "merge", "strategy": "insert-only"},
        # The hash is one of everything, the id included. PostgreSQL keeps an index of it, by which
        # it finds what is held without reading all of it.
        columns={content_hash: {"unique": True}},
        # Arrow would go to PostgreSQL as CSV, in which empty text and NULL are the same.
        file_format="preferred",
    )
    return dlt.mark.with_hints(rows, hints, create_table_variant=True)


def _stored_states() -> dict[str, Any] | None:
    """The states of the resources as the destination has them; None where no pipeline runs.

    Those in dlt's working directory may be ahead of it: they stay when a load is given up, and to
    go on from there would leave out the rows that it was to store. A run that is told to *refresh*
    drops those rows, and has dropped the states with them.
    """
    active = Container()[PipelineContext]
    if not active.is_active() or active.pipeline().destination is None:
        return None
    if _is_refreshed():
        return None
    pipeline = dlt.current.pipeline()
    with pipeline.destination_client() as client:
        if not isinstance(client, WithStateSync):
            return None
        try:
            stored: Any = load_pipeline_state_from_destination(pipeline.pipeline_name, client)
        except DestinationUndefinedEntity:
            stored = None
    sources = (stored or {}).get("sources", {})
    states: dict[str, Any] = sources.get(dlt.current.source_schema().name, {}).get("resources", {})
    return states


def _is_refreshed() -> bool:
    """Whether the run is to drop what is there; who reads the source without a run is not."""
    try:
        package = dlt.current.load_package_state()
    except CurrentLoadPackageStateNotAvailable:
        return False
    return bool(package["state"].get("refresh"))


def _demand_same_account(extraction: Extraction, state: dict[str, Any]) -> None:
    """One data set holds one account of one exchange."""
    exchange = origins_of_exchange(extraction.origin)[0]
    ours = {"exchange": exchange, "account": extraction.account_fingerprint}
    if state.setdefault("held_of", ours) != ours:
        raise ConfigurationError(
            "this data set holds the rows of another account or exchange than this key's",
            advice="Choose another dataset_name, with a pipeline name of its own.",
        )


@dataclass
class Exchange:
    """The exchange as all resources of one run share it: open while any of them reads."""

    access: ExchangeSettings
    _readers: int = 0
    _open: ExitStack = field(default_factory=ExitStack)
    _extraction: Extraction | None = None

    @contextmanager
    def opened(self) -> Iterator[Extraction]:
        """What a resource reads by. Raises `ExchangeError` where the key is not taken."""
        if self._extraction is None:
            with ExitStack() as stack:
                self._extraction = stack.enter_context(_extracting(self.access))
                self._open = stack.pop_all()
        self._readers += 1
        try:
            yield self._extraction
        finally:
            self._readers -= 1
            if not self._readers:
                self._extraction = None
                self._open.close()


@contextmanager
def _extracting(access: ExchangeSettings) -> Iterator[Extraction]:
    with open_reader(access.base_url, access.signer) as reader:
        account = reader.get_communications_id()
        if access.account not in (None, account):
            raise ConfigurationError("this key is of another account than the one named account")
        if not access.allow_writing_key:
            demand_reading_key(reader, access.signer.api_key_id)
        reader.learn_budget()
        held = cast(duckdb.DuckDBPyConnection, _NothingHeld())
        extraction = _Extraction(
            *(reader, held, replace(access.reach, rows_per_load=sys.maxsize)),
            *(uuid4().hex, account, lambda _: None),
            limits=Limits(access.rejected_share),
        )
        extraction.begin_load()
        yield extraction


class _Extraction(Extraction):
    """One whose only load is all that dlt stores of a run: no pass leaves anything to a next."""

    def age_of(self, began: datetime) -> timedelta:
        return timedelta()

    def next_load(self) -> int:
        return 0


class _NothingHeld:
    """A database that holds nothing: whatever the passes ask of what is held, no row answers."""

    def cursor(self) -> "_NothingHeld":
        return self

    def execute(self, query: str, values: object = None) -> "_NothingHeld":
        return self

    def fetchall(self) -> list[Any]:
        return []

    def register(self, name: str, rows: pa.Table) -> None:
        """Take *rows* to be asked for, and forget them."""

    def unregister(self, name: str) -> None:
        """Do nothing: nothing was kept."""
