"""Where and when a figure was measured."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


def heading() -> str:
    """Date, processor, cores, versions, load before the run, and the command."""
    command = shlex.join(["python", *sys.argv])
    versions = f"Python {platform.python_version()}, polars {version('polars')}"
    return (
        f"{datetime.now(UTC):%Y-%m-%d} · {_processor()}, {os.cpu_count()} cores · {versions} · "
        f"load {os.getloadavg()[0]:.1f} · {command}"
    )


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
