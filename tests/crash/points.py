"""The named points of a run at which the suite kills it."""

from tests.crash.worker import Point

_READER = "pipelines.kalshi.client.reader"
_EXTRACT = "dlt.extract.extract"
_STORAGE = "dlt.common.storages.load_storage"
_CLIENT = "dlt.destinations.job_client_impl"
_DUCKDB = "dlt.destinations.impl.duckdb"

# Once, as only a first run makes the private file.
FIRST_RUN = {
    "private file: not yet made": Point("pipelines.store.database", "Database._create", "before"),
    "private file: just made": Point("pipelines.store.database", "Database._create", "after"),
    "first load: schema not updated": Point(
        _CLIENT, "SqlJobClientBase.update_stored_schema", "before"
    ),
    "first load: schema updated": Point(_CLIENT, "SqlJobClientBase.update_stored_schema", "after"),
}

# Once, as only the run that takes over a database of the earlier layout has anything to drop.
RAW_TAKEN_OVER = {
    "take-over: legs apart": Point("pipelines.store.older_layouts", "_keep_legs_apart", "after"),
    "take-over: raw committed": Point("pipelines.store.database", "take_over", "after"),
}
TAKE_OVER = {
    "take-over: published": Point("pipelines.building", "leave_older_layout", "before"),
    "take-over: dropped": Point("pipelines.building", "leave_older_layout", "after"),
}

POINTS = {
    "page: before the first": Point(_READER, "ExchangeReader.get_rfqs", "before"),
    "page: after the first": Point(_READER, "ExchangeReader.get_rfqs", "after"),
    "page: first quotes": Point(_READER, "ExchangeReader.get_quotes", "after"),
    "load: number reserved": Point("pipelines.kalshi.extraction", "Extraction.begin_load", "after"),
    "extract: before the commit": Point(_EXTRACT, "Extract.commit_packages", "before"),
    "extract: after the commit": Point(_EXTRACT, "Extract.commit_packages", "after"),
    "extract: second load": Point(_EXTRACT, "Extract.commit_packages", "after", 2, in_slices=True),
    "normalize: before the commit": Point(
        _STORAGE, "LoadStorage.commit_new_load_package", "before"
    ),
    "normalize: after the commit": Point(_STORAGE, "LoadStorage.commit_new_load_package", "after"),
    "load: before a job": Point(f"{_DUCKDB}.duck", "DuckDbCopyJob.run", "before"),
    "load: after a job": Point(f"{_DUCKDB}.duck", "DuckDbCopyJob.run", "after"),
    "load: second job": Point(f"{_DUCKDB}.duck", "DuckDbCopyJob.run", "after", 2),
    "load: before a commit": Point(
        f"{_DUCKDB}.sql_client", "DuckDbSqlClient.commit_transaction", "before"
    ),
    "load: after a commit": Point(
        f"{_DUCKDB}.sql_client", "DuckDbSqlClient.commit_transaction", "after"
    ),
    "load id: before its row": Point(_CLIENT, "SqlJobClientBase.complete_load", "before"),
    "load id: after its row": Point(_CLIENT, "SqlJobClientBase.complete_load", "after"),
    "load id: before the second": Point(
        _CLIENT, "SqlJobClientBase.complete_load", "before", 2, in_slices=True
    ),
    "load id: after the second": Point(
        _CLIENT, "SqlJobClientBase.complete_load", "after", 2, in_slices=True
    ),
    "archive: after": Point(_STORAGE, "LoadStorage.complete_load_package", "after"),
    "staging: brought up to date": Point("transforms.build", "_prepare", "after"),
    "marts: in the middle": Point("transforms.tables", "Tables.store", "after", 3),
    "marts: before the commit": Point("transforms.build", "_sign", "after"),
    "marts: committed": Point("pipelines.building", "build", "after"),
    "publish: last file copied": Point("pipelines.building", "base_of", "after"),
    "publish: draft half written": Point("pipelines.store.publish", "describe", "before"),
    "publish: draft written": Point("pipelines.store.publish", "describe", "after"),
    "publish: draft checked": Point("pipelines.building", "demand_sound", "after"),
    "publish: draft noted": Point("pipelines.building", "note_draft", "after"),
    "publish: before the replace": Point("pipelines.store.publish", "_sync", "after", 1),
    "publish: after the replace": Point("pipelines.store.publish", "_sync", "before", 2),
    "publish: done": Point("pipelines.building", "replace_published", "after"),
    "publish: while a part of the market's list is left": Point(
        "pipelines.publishing", "Publisher.publish_ours", "after", in_slices=True
    ),
}
