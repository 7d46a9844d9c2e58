"""When a metric counts as equal to what was expected."""

from typing import Any

import pytest


def is_same(value: Any, expected: Any) -> bool:
    """Whether *value* is what was expected: maps by the same ids, numbers to nine digits."""
    match expected:
        case dict():
            return set(value) == set(expected) and all(
                is_same(value[key], expected[key]) for key in expected
            )
        case list():
            return len(value) == len(expected) and all(map(is_same, value, expected))
        case int() | float():
            return value is not None and value == pytest.approx(expected, rel=1e-9, abs=1e-12)
        case _:
            return bool(value == expected)
