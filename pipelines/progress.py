"""Progress on a terminal, and a line per pass where there is none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from pipelines.kalshi.extraction import Progress


@contextmanager
def shown_progress() -> Iterator[Callable[[Progress], None]]:
    """Yield the function that shows where a load stands, on stderr."""
    console = Console(stderr=True)
    last: dict[str, Progress] = {}
    with console.status("connecting to the exchange", spinner="line") as status:

        def show(progress: Progress) -> None:
            last[progress.name] = progress
            status.update(_line(progress))

        yield show
    for progress in last.values():
        console.print(_line(progress), highlight=False, soft_wrap=True)


def _line(progress: Progress) -> str:
    return (
        f"{progress.name}: {progress.pages:,} pages, {progress.rows_seen:,} rows, "
        f"{progress.new_versions:,} new · budget {progress.read_tokens_left:,} tokens "
        f"+ {progress.read_tokens_per_s:,}/s, waited {progress.read_waited_s:.1f} s"
    )
