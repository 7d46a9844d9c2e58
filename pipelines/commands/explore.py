"""`rfq explore`: the pages of `notebooks`, served on this machine by one server and one origin."""

import errno
import json
import secrets
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.options import PUBLISHED, DatabaseOption, OwnFileOption
from pipelines.console import Output
from pipelines.serving import LOOPBACK, listening


def explore(
    page: Annotated[
        str | None,
        typer.Argument(help="Which page to begin with.", show_default="today", metavar="[PAGE]"),
    ] = None,
    database: DatabaseOption = PUBLISHED,
    port: Annotated[
        int,
        typer.Option(min=0, max=65_535, help="Where to listen on 127.0.0.1; 0 takes a free port."),
    ] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address.")
    ] = False,
    own: OwnFileOption = None,
    list_: Annotated[bool, typer.Option("--list", help="Print the names of the pages.")] = False,
) -> None:
    """Explore the published file in a browser, on pages with controls, until interrupted.

    The first line printed is JSON with the address. Examples:
    `rfq explore` · `rfq explore fills --database sandbox.duckdb` · `rfq explore --list`
    """
    from notebooks.explore.pages import NAMES
    from pipelines.console import say

    if list_:
        say("\n".join(NAMES))
        return
    if page is not None and page not in NAMES:
        raise typer.BadParameter(f"{page!r} is no page. There are: {', '.join(NAMES)}")
    _serve(page or NAMES[0], database, own, port, is_shown=not no_browser)


def _serve(page: str, database: Path, own: Path | None, port: int, *, is_shown: bool) -> None:
    """Serve all pages until a signal. Raises `DatabaseError` for want of a port or marimo."""
    from pipelines.commands.pages import last_run, with_extra
    from pipelines.stopping import until_stopped
    from pipelines.store.beside import record_path

    token, database, own = secrets.token_urlsafe(24), database.absolute(), own and own.absolute()
    published = database.resolve()
    with _listening(port) as listener, with_extra("notebooks"), until_stopped(), _apart():
        from notebooks.explore import live
        from notebooks.explore.opening import Served, Source

        served = Served(partial(last_run, published), record_path(published))
        live.serve(Source(database, own, served))
        url = f"http://{LOOPBACK}:{listener.getsockname()[1]}/{page}/?access_token={token}"
        with _served(listener, token):
            _tell(url, is_shown=is_shown)


@contextmanager
def _apart() -> Iterator[None]:
    """Work in an empty folder, where marimo finds no settings but those of our pages.

    It reads the first `.marimo.toml` and the first `pyproject.toml` from the working directory
    upwards, or else the user's. One of them may load other styles, leave cells as they were, cut a
    page, or run each page in a process of its own, which does not know what is served.
    """
    with tempfile.TemporaryDirectory(prefix="rfq-explore-") as folder, chdir(folder):
        for name in (".marimo.toml", "pyproject.toml"):
            Path(folder, name).touch()
        yield


def _tell(url: str, *, is_shown: bool) -> None:
    """Say where the pages are, and wait for a signal."""
    sys.stdout.write(f"{json.dumps({'url': url})}\n")
    sys.stdout.flush()
    if is_shown:
        webbrowser.open(url)
    # Who waits for the address and never gets it would wait for ever.
    if not (isinstance(sys.stdout, Output) and sys.stdout.is_missed()):
        threading.Event().wait()


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    from pipelines.store.errors import DatabaseError

    with ExitStack() as stack:
        try:
            listener = stack.enter_context(listening(port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise DatabaseError(
                f"port {port} is not to be had: choose another one with --port, or 0 for any"
            ) from None
        yield listener


@contextmanager
def _served(listener: socket.socket, token: str) -> Iterator[None]:
    """Answer on *listener* from a thread; stop within a second or two."""
    import uvicorn

    from notebooks.explore.server import Guard, pages

    with as_file(files("notebooks")) as folder:
        server = uvicorn.Server(
            uvicorn.Config(
                Guard(pages(folder), token, listener.getsockname()[1]),
                lifespan="off",
                access_log=False,
                log_level="critical",
                log_config=None,
                timeout_graceful_shutdown=1,
            )
        )
        thread = threading.Thread(target=server.run, args=([listener],), name="pages", daemon=True)
        # The socket already listens, so whoever connects before the loop runs waits in its queue.
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(timeout=3)
