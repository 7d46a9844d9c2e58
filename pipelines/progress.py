"""Progress on a terminal; where there is none, a line now and then and one per pass at the end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from pipelines.kalshi.extraction import Progress
from pipelines.stopping import stoppable

# A first load of the market may take hours: a log should show that it moves.
LINE_EVERY_S = 60.0


@contextmanager
def shown_progress() -> Iterator[Callable[[Progress], None]]:
    """Yield the function that shows where a load stands, on stderr."""
    console = Console(stderr=True)
    last: dict[str, Progress] = {}
    said_s = time.monotonic()
    # Stoppable, because the spinner hides the cursor of the terminal until it is undone.
    with stoppable(), console.status("connecting to the exchange", spinner="line") as status:

        def show(progress: Progress) -> None:
            nonlocal said_s
            last[progress.name] = progress
            status.update(_line(progress))
            if not console.is_terminal and time.monotonic() - said_s >= LINE_EVERY_S:
                _print(console, progress)
                said_s = time.monotonic()

        yield show
    for progress in last.values():
        _print(console, progress)


def _print(console: Console, progress: Progress) -> None:
    console.print(_line(progress), highlight=False, soft_wrap=True)


def _line(progress: Progress) -> str:
    reached = f", at {progress.reached_ts:%Y-%m-%d %H:%M} UTC" if progress.reached_ts else ""
    return (
        f"{progress.name}: {progress.pages:,} pages, {progress.rows_seen:,} rows, "
        f"{progress.new_versions:,} new{reached} · budget {progress.read_tokens_left:,} tokens "
        f"+ {progress.read_tokens_per_s:,}/s, waited {progress.read_waited_s:.1f} s"
    )
