"""Worked cases: a data set, the values worked out by hand, and what a plausible mistake returns."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.metrics.comparison import is_same
from transforms.metrics import evaluate

OURS = Path(__file__).parent / "golden"
LISTED_IN_PART = {
    ("15_rival_lost_before_the_accept_and_an_act_after_the_recorded_end", "quote_outcome")
}
SHARED = Path(__file__).parents[3] / "shared" / "golden"


def folders() -> list[Path]:
    """The folder named by RFQ_GOLDEN_DIR, else our own cases and the shared ones where present."""
    named = os.environ.get("RFQ_GOLDEN_DIR")
    return [Path(named)] if named else [OURS, *filter(Path.is_dir, [SHARED])]


def cases() -> Iterator[Any]:
    for folder in folders():
        for file in sorted(folder.rglob("*.json")):
            for case in json.loads(file.read_text()):
                yield pytest.param(case, id=case["name"])


def asked(value: Any, name: str, case: dict[str, Any]) -> Any:
    if (case["name"], name) not in LISTED_IN_PART:
        return value
    return {key: value[key] for key in case["expected"][name]}


def evaluated(case: dict[str, Any]) -> dict[str, Any]:
    return evaluate(
        case["rfqs"], case["quotes"], case["as_of"], fills=case.get("fills"), **case["params"]
    )


@pytest.mark.parametrize("case", list(cases()))
def test_every_value_is_the_one_worked_by_hand(case: dict[str, Any]) -> None:
    """And none is what a plausible mistake returns."""
    metrics = evaluated(case)

    wrong = {
        name: (metrics[name], expected)
        for name, expected in case["expected"].items()
        if not is_same(asked(metrics[name], name, case), expected)
    }
    mistaken = {
        name: value for name, value in case["naive_wrong"].items() if is_same(metrics[name], value)
    }
    assert wrong == {}
    assert mistaken == {}
