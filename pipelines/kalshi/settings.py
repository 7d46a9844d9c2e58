"""Configuration in dlt's own places: `.dlt/config.toml`, `.dlt/secrets.toml`, the environment."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import dlt

from pipelines.kalshi.errors import ConfigurationError
from pipelines.kalshi.extraction import Reach
from pipelines.kalshi.safeguards import demand_no_crash_reports, demand_private_secrets
from pipelines.kalshi.signing import Signer, load_signer

PRODUCTION = "https://external-api.kalshi.com/trade-api/v2"
SECTION = "sources.kalshi"


@dataclass(frozen=True, slots=True)
class Access:
    """Which exchange is asked, as whom, and for how much."""

    base_url: str
    signer: Signer
    reach: Reach
    allow_unknown_host: bool = False
    allow_writing_key: bool = False
    account: str | None = None


def configured_access(base_url: str | None = None, *, allow_unknown_host: bool = False) -> Access:
    """Read [sources.kalshi]; *base_url* overrides it. Raises `ConfigurationError` and its kin."""
    demand_no_crash_reports()
    demand_private_secrets()
    path: Any = dlt.secrets.get(f"{SECTION}.private_key_path")
    signer = load_signer(
        dlt.secrets.get(f"{SECTION}.api_key_id") or "",
        private_key=dlt.secrets.get(f"{SECTION}.private_key"),
        private_key_path=None if path is None else Path(path).expanduser(),
    )
    chosen = base_url or _setting("base_url", PRODUCTION, str)
    allow_writing_key = _setting("allow_writing_key", False, _yes_or_no)
    return Access(chosen, signer, _reach(), allow_unknown_host, allow_writing_key)


def _reach() -> Reach:
    usual = Reach()
    scope = _setting("scope", usual.scope, str)
    if scope not in ("market", "self"):
        raise ConfigurationError(f"{SECTION}.scope is neither market nor self")
    return Reach(
        scope=scope,
        overlap=timedelta(seconds=_setting("overlap_seconds", 300, int)),
        retention=timedelta(days=_setting("retention_days", 7, int)),
        history=timedelta(days=_setting("history_days", 365, int)),
    )


def _yes_or_no(value: object) -> bool:
    known = {"true": True, "false": False}.get(str(value).strip().lower())
    if known is None:
        raise ValueError
    return known


def _setting(name: str, usual: Any, kind: Callable[[Any], Any]) -> Any:
    value: Any = dlt.config.get(f"{SECTION}.{name}")
    if value is None:
        return usual
    try:
        return kind(value)
    except ValueError:
        expected = {int: "a whole number", _yes_or_no: "true or false"}.get(kind, "text")
        raise ConfigurationError(f"{SECTION}.{name} is not {expected}") from None
