"""What is done inside a worker at a named point, or before its run."""

import shutil
from contextlib import nullcontext
from pathlib import Path


def copy_working_files(folder: Path, to: Path) -> None:
    """Keep what the working directories of *folder* hold right now, modes included."""
    for directory in folder.glob(".*.run-*"):
        shutil.copytree(directory, to / directory.name)


def let_dlt_see_every_setting() -> None:
    """Take away what keeps dlt's settings from dlt."""
    from pipelines import job

    vars(job)["own_settings"] = nullcontext
