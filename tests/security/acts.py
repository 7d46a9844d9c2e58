"""What is done inside a worker at a named point, or before its run."""

import os
import shutil
from pathlib import Path


def copy_working_files(folder: Path, to: Path) -> None:
    """Keep what the working directories of *folder* hold right now, modes included."""
    for directory in folder.glob(".*.run-*"):
        shutil.copytree(directory, to / directory.name)


def ask_for_telemetry(endpoint: str) -> None:
    """Switch dlt's telemetry on after our code has switched it off."""
    import pipelines.job  # noqa: F401

    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "true"
    os.environ["RUNTIME__DLTHUB_TELEMETRY_ENDPOINT"] = endpoint
