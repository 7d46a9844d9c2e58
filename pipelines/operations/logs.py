"""What is logged: lines on stderr, as text or as JSON, through the standard library's logging.

A line of JSON has `ts level run_id event message`, and the last one of a run (`run_ended`) its
figures. Text has the time where no terminal shows it as it comes. Other libraries are heard from
warnings on, and never about requests: their lines would hold addresses.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pipelines.spans import rfc3339

_OURS = ("pipelines", "transforms")


class LogFormat(StrEnum):
    """How lines are written."""

    TEXT = "text"
    JSON = "json"


class _State:
    """One command logs in a process at a time."""

    format = LogFormat.TEXT
    run_id: str | None = None


_state = _State()


class _Lines(logging.Handler):
    """Writes to whatever stderr is at that moment, after what stdout was told."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stdout.flush()
        sys.stderr.write(f"{_written(record)}\n")


_lines = _Lines()
_log = logging.getLogger(__name__)


def begin() -> None:
    """Log as text, from info on, for a command that begins."""
    _state.format, _state.run_id = LogFormat.TEXT, None
    root = logging.getLogger()
    if _lines not in root.handlers:
        root.addHandler(_lines)
    set_level(logging.INFO)


def set_format(chosen: LogFormat) -> None:
    """Write lines as *chosen* from here on."""
    _state.format = chosen


def is_json() -> bool:
    """Whether every line on stderr has to be an object."""
    return _state.format is LogFormat.JSON


def set_level(level: int) -> None:
    """Write our own lines from *level* on."""
    for name in _OURS:
        logging.getLogger(name).setLevel(level)


def failed(message: str) -> None:
    """Log what a command ends with."""
    _log.error("%s", message, extra={"event": "error"})


def set_run_id(run_id: str) -> None:
    """Name the run in every line from here on."""
    _state.run_id = run_id


def _written(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    if is_json():
        return json.dumps(_object(record, moment))
    is_warning = record.levelno >= logging.WARNING
    level = f"{record.levelname.lower()}: " if is_warning else ""
    begin = "" if sys.stderr.isatty() else f"{moment:%Y-%m-%dT%H:%M:%SZ} "
    return f"{begin}{level}{record.getMessage()}"


def _object(record: logging.LogRecord, moment: datetime) -> dict[str, Any]:
    return {
        "ts": rfc3339(moment),
        "level": record.levelname.lower(),
        "run_id": _state.run_id,
        "event": getattr(record, "event", record.levelname.lower()),
        "message": record.getMessage(),
        **getattr(record, "figures", {}),
    }
