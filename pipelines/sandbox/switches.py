"""What a switch does and what that rests on, declared where the switch is.

Evidence is *documented* by the exchange, *observed* in 2026 recordings by public repositories, or
*assumed* because nothing is known. The guide and the status page show these tables.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, get_args, get_type_hints

HEAD = ("switch", "what it does", "default", "evidence")


@dataclass(frozen=True, slots=True)
class Switch:
    """Annotates the field of a dataclass: what it does, and why we think the exchange does it."""

    what: str
    evidence: str


def switch_rows(settings: Any) -> list[tuple[str, str, str, str]]:
    """Name, meaning, value and evidence of each field of a dataclass annotated with `Switch`."""
    hints = get_type_hints(type(settings), include_extras=True)
    rows = []
    for item in fields(settings):
        switch: Switch = get_args(hints[item.name])[1]
        value = _shown(getattr(settings, item.name))
        rows.append((item.name, switch.what, value, switch.evidence))
    return rows


def _shown(value: Any) -> str:
    if value is None or value is False:
        return "off"
    if isinstance(value, dict):
        return ", ".join(f"{name} {amount}" for name, amount in value.items()) or "none"
    if hasattr(value, "__len__") and not isinstance(value, str):
        return ", ".join(map(str, value)) or "none"
    return "on" if value is True else str(value)


def markdown(defaults: Any) -> str:
    """The table of a dataclass as the guide shows it."""
    rows = [HEAD, ("---",) * len(HEAD)]
    rows += [(f"`{name}`", *rest) for name, *rest in switch_rows(defaults)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
