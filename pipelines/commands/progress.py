"""Where a run stands: by phase on a terminal; in a log a line now and then, and one per pass."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.progress import (
    BarColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import (
    Progress as Display,
)

from pipelines import effects
from pipelines.kalshi.extraction import Progress
from pipelines.operations import logs
from pipelines.stopping import stoppable

# A first load of the market may take hours: a log should show that it moves.
LINE_EVERY_S = 60.0

OnProgress = Callable[[Progress], None]
Span = tuple[datetime, datetime]

_log = logging.getLogger(__name__)


@contextmanager
def shown_progress(span: Span | None = None) -> Iterator[OnProgress]:
    """Yield the function that shows on stderr where a load stands.

    *span* is the one that a backfill reads from its beginning to its end.
    """
    last: dict[str, Progress] = {}
    is_terminal = sys.stderr.isatty() and not logs.is_json()
    # Stoppable, because a display hides the cursor of the terminal until it is undone.
    with stoppable(), _on_terminal(span) if is_terminal else _in_log() as show:

        def noted(progress: Progress) -> None:
            last[progress.name] = progress
            show(progress)

        yield noted
    for progress in last.values():
        _say(progress)


@contextmanager
def _in_log() -> Iterator[OnProgress]:
    said_s = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal said_s
        if time.monotonic() - said_s >= LINE_EVERY_S:
            _say(progress)
            said_s = time.monotonic()

    yield show


@contextmanager
def _on_terminal(span: Span | None) -> Iterator[OnProgress]:
    """A line for each phase with the time it takes, and a bar that fills where its end is known."""
    display = Display(
        SpinnerColumn("line", finished_text=" "),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[where]}"),
        console=Console(stderr=True),
        transient=True,
    )
    shown: dict[str, TaskID] = {}

    def go_to(phase: str) -> None:
        for task in shown.values():
            display.update(task, total=1, completed=1)
        if phase not in shown:
            shown[phase] = display.add_task(phase, total=None, where="")

    def show(progress: Progress) -> None:
        task = shown.get("load")
        if task is not None:
            share = _share(progress, span)
            total = None if share is None else 1
            display.update(task, total=total, completed=share or 0, where=_line(progress))

    with display:
        go_to("connect")
        effects.watch_phases(go_to)
        try:
            yield show
        finally:
            effects.watch_phases(None)


def _share(progress: Progress, span: Span | None) -> float | None:
    """How much of the span a pass over it has read; None for a pass whose end is not known."""
    if span is None or progress.reached_ts is None or not progress.name.startswith("backfill"):
        return None
    since, until = span
    return min(1.0, max(0.0, (progress.reached_ts - since) / (until - since)))


def _say(progress: Progress) -> None:
    figures = {"pass": progress.name, "pages": progress.pages, "rows_seen": progress.rows_seen}
    _log.info("%s", _line(progress), extra={"event": "pass_read", "figures": figures})


def _line(progress: Progress) -> str:
    reached = f", at {progress.reached_ts:%Y-%m-%d %H:%M} UTC" if progress.reached_ts else ""
    return (
        f"{progress.name}: {progress.pages:,} pages, {progress.rows_seen:,} rows, "
        f"{progress.new_versions:,} new{reached} · budget {progress.read_tokens_left:,} tokens "
        f"+ {progress.read_tokens_per_s:,}/s, waited {progress.read_waited_s:.1f} s"
    )
