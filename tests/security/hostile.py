"""A value against us for every setting that dlt knows, under every section that it may look in."""

import json
from collections.abc import Iterator
from typing import Any, get_args

from dlt.common.configuration.specs.base_configuration import (
    BaseConfiguration,
    extract_inner_hint,
)
from dlt.common.pipeline import TRefreshMode
from dlt.common.typing import is_literal_type

# What our pipeline, its source, its destination and the parts of dlt that they use look under;
# each of these also below the name of the pipeline.
SECTIONS = [
    (),
    ("runtime",),
    ("extract",),
    ("extract", "data_writer"),
    ("normalize",),
    ("normalize", "data_writer"),
    ("load",),
    ("schema",),
    ("data_writer",),
    ("providers",),
    ("pipelines",),
    ("pipelines", "kalshi"),
    ("sources",),
    ("sources", "kalshi"),
    ("sources", "kalshi", "kalshi"),
    ("sources", "kalshi", "rfqs"),
    ("destination",),
    ("destination", "duckdb"),
    ("destination", "duckdb", "credentials"),
    ("destination", "credentials"),
    ("credentials",),
]
# Those that change what a load keeps, or end it, when dlt believes them.
WORST: dict[str, object] = {
    "refresh": "drop_data",
    "restore_from_destination": False,
    "write_disposition": {"disposition": "merge", "strategy": "insert_only"},
    "schema_contract": "discard_row",
    "progress": "tqdm",
    "naming": "direct",
    "max_table_nesting": 0,
    "loader_file_format": "csv",
    "sentry_dsn": "https://public@127.0.0.1:9/1",
    "dlthub_telemetry_endpoint": "http://127.0.0.1:9/",
    "timestamp_timezone": "America/New_York",
}


def hostile_values() -> dict[str, object]:
    """A value for each field of each specification of dlt that is loaded."""
    fields: dict[str, object] = {}
    for spec in _below(BaseConfiguration):
        for name, hint in spec.get_resolvable_fields().items():
            fields.setdefault(name, _against(hint, getattr(spec, name, None)))
    assert "drop_data" in get_args(TRefreshMode)
    assert len(fields) > 300
    return fields | WORST


def hostile_settings(ours: tuple[str, ...]) -> dict[tuple[str, ...], object]:
    """Each value at each path; what would be a setting of *ours* is left out."""
    below = [*SECTIONS, *(("kalshi", *section) for section in SECTIONS)]
    return {
        (*section, name): value
        for section in below
        for name, value in hostile_values().items()
        if section != ("sources", "kalshi") or name not in ours
    }


def as_environment(settings: dict[tuple[str, ...], object]) -> dict[str, str]:
    """The settings under the names that dlt looks for in the environment."""
    return {
        "__".join(path).upper(): value if isinstance(value, str) else json.dumps(value)
        for path, value in settings.items()
    }


def as_toml(settings: dict[tuple[str, ...], object]) -> str:
    """The settings as a file; where a name is a section too, the section is kept."""
    sections = {path[:n] for path in settings for n in range(len(path))}
    lines: list[str] = []
    for section in sorted(sections):
        lines += [f"[{'.'.join(section)}]"] if section else []
        lines += [
            f"{path[-1]} = {_toml(value)}"
            for path, value in settings.items()
            if path[:-1] == section and path not in sections
        ]
    return "\n".join(lines) + "\n"


def _below(spec: type[BaseConfiguration]) -> Iterator[type[BaseConfiguration]]:
    for each in spec.__subclasses__():
        yield each
        yield from _below(each)


def _against(hint: Any, usual: object) -> object:
    inner = extract_inner_hint(hint, preserve_literal=True)
    if isinstance(usual, bool) or inner is bool:
        return not usual
    if is_literal_type(inner):
        return next((word for word in reversed(get_args(inner)) if word != usual), "hostile")
    if inner in (int, float):
        return -1
    return "hostile"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + " }"
    return json.dumps(value)
