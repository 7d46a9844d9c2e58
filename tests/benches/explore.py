"""How soon a page to explore is there, and a filter seen, over an account's million quotes.

python tests/benches/explore.py                     # 1,000,000 quotes, 5 rounds
python tests/benches/explore.py 100000 3 cost
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[2]))

from playwright.sync_api import Page

from tests.benches.heading import heading
from tests.benches.report import desk, multiply
from tests.notebooks.browser import opened

QUOTES, ROUNDS, PAGES = 1_000_000, 5, ("today", "fills", "cost", "speed", "makers", "rfq", "market")
# What the pages are compared with: marimo, and one line of text.
EMPTY = """
import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo

    mo.Html('<main id="page">empty</main>')
    return


app.run() if __name__ == "__main__" else None
"""
SERVE_EMPTY = """
import json, socket, sys, marimo, uvicorn
listener = socket.create_server(("127.0.0.1", 0))
print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}/empty/"}), flush=True)
app = marimo.create_asgi_app(quiet=True).with_app(path="/empty", root=sys.argv[1]).build()
uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off")).run([listener])
"""


@contextmanager
def serving(*command: object) -> Iterator[str]:
    """The address that a command prints on its first line."""
    with subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())["url"]
        server.terminate()


class Session:
    """When the session of a page began, and when the last of its outputs came."""

    def __init__(self, page: Page) -> None:
        self.began_s = self.last_s = 0.0
        page.on("websocket", self._begin)

    def _begin(self, websocket: Any) -> None:
        self.began_s = time.perf_counter()
        websocket.on("framereceived", self._hear)

    def _hear(self, frame: Any) -> None:
        self.last_s = time.perf_counter()


def loaded(page: Page, url: str) -> float:
    """How long until the page shows what it has to say."""
    began_s = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector("#page")
    return time.perf_counter() - began_s


def filtered(page: Page, unit: str) -> float:
    """How long from a choice to the picture of it."""
    began_s = time.perf_counter()
    page.get_by_label("unit", exact=True).select_option(unit)
    page.locator("#page", has_text=f"prices in {unit}").wait_for()
    return time.perf_counter() - began_s


def main(quotes: int, rounds: int, names: tuple[str, ...]) -> None:
    print(heading())
    with tempfile.TemporaryDirectory() as directory, opened() as browser:
        path, empty = Path(directory) / "rfq.duckdb", Path(directory) / "empty.py"
        desk(path)
        n_rfqs, n_quotes = multiply(path, quotes)
        empty.write_text(EMPTY)
        rfq = Path(sys.executable).with_name("rfq")
        print(f"RFQs {n_rfqs:,}, quotes {n_quotes:,}, medians of {rounds}, in seconds")
        print(
            f"{'page':<8} {'last output':>12} {'in browser':>11} {'over empty':>11} {'filter':>7}"
        )
        with (
            serving(rfq, "explore", "--no-browser", "--database", path) as url,
            serving(sys.executable, "-c", SERVE_EMPTY, empty) as empty_url,
        ):
            page = browser.new_context(viewport={"width": 1200, "height": 900}).new_page()
            session = Session(page)
            origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
            loaded(page, url)
            loaded(page, empty_url)
            for name in names:
                outputs, whole, over, choices = [], [], [], []
                for _ in range(rounds):
                    nothing_s = loaded(page, empty_url)
                    whole.append(loaded(page, f"{origin}/{name}/"))
                    over.append(whole[-1] - nothing_s)
                    page.wait_for_timeout(700)
                    outputs.append(session.last_s - session.began_s)
                    choices.append(filtered(page, "percent"))
                figures = [statistics.median(each) for each in (outputs, whole, over, choices)]
                print("{:<8} {:>12.2f} {:>11.2f} {:>11.2f} {:>7.2f}".format(name, *figures))


if __name__ == "__main__":
    quotes, rounds = [*map(int, sys.argv[1:3]), *(QUOTES, ROUNDS)[len(sys.argv[1:3]) :]]
    main(quotes, rounds, tuple(sys.argv[3:]) or PAGES)
