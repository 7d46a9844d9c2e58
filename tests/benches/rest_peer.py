"""dlt's own REST source on the exchange's lists, beside which loading is measured."""

from pathlib import Path
from typing import Any

Lists = dict[str, tuple[str, dict[str, Any]]]
"""By the name of a table: which list it holds, and what that is asked for with."""


def source_of(base_url: str, lists: Lists, **client: Any) -> Any:
    """The source that reads *lists* and merges them by id; *client* is how it asks."""
    from dlt.sources.rest_api import rest_api_source

    resources = [
        {
            "name": name,
            "primary_key": "id",
            "write_disposition": "merge",
            "endpoint": {"path": f"communications/{key}", "params": params, "data_selector": key},
        }
        for name, (key, params) in lists.items()
    ]
    paginator = {"type": "cursor", "cursor_path": "cursor", "cursor_param": "cursor"}
    asks = {"base_url": f"{base_url}/", "paginator": paginator, **client}
    return rest_api_source({"client": asks, "resources": resources})


def pipeline_in(folder: Path) -> Any:
    """The pipeline that loads them into a DuckDB file in *folder*, where its state is as well."""
    import dlt

    return dlt.pipeline(
        "peer",
        pipelines_dir=str(folder / "peer"),
        destination=dlt.destinations.duckdb(str(folder / "peer.duckdb")),
        dataset_name="raw",
    )
