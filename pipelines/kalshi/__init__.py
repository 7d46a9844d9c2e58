"""Kalshi's RFQs and quotes. `from pipelines.kalshi import kalshi` is their dlt source."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.kalshi.source import kalshi

__all__ = ["kalshi"]


def __getattr__(name: str) -> Any:
    """Import the source once it is asked for: the exchange's client needs neither dlt nor Arrow."""
    if name != "kalshi":
        raise AttributeError(name)
    from pipelines.kalshi.source import kalshi

    return kalshi
