"""What the gate leaves to the nightly profile, which `HYPOTHESIS_PROFILE=nightly` asks for."""

import os

import pytest

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")
IS_NIGHTLY = PROFILE == "nightly"


def nightly(reason: str) -> pytest.MarkDecorator:
    """Leave a test to the nightly profile, as it takes long or repeats others: the *reason*."""
    return pytest.mark.skipif(not IS_NIGHTLY, reason=reason)
