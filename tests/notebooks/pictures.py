"""The README's pictures, of the sandbox: `python tests/notebooks/pictures.py notebooks/pictures`.

It runs the job against the sandbox, writes the report, serves the pages to explore, and looks at
all in Chromium.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from playwright.sync_api import Browser

from tests.notebooks.browser import opened

REPORT, PAGE = "report", "fills"
LOOKS = {
    "report.png": (REPORT, {"width": 1100, "height": 1000, "scheme": "light"}),
    "report-dark-phone.png": (REPORT, {"width": 390, "height": 844, "scheme": "dark"}),
    "explore.png": (PAGE, {"width": 1100, "height": 1480, "scheme": "dark"}),
}
RFQ = Path(sys.executable).with_name("rfq")


@contextmanager
def addresses(database: Path, page: Path) -> Iterator[dict[str, str]]:
    """Where the report and a page to explore are."""
    for what in (["run", "--sandbox", "-q"], ["report", "--output", page]):
        subprocess.run([RFQ, *what, "--database", database], check=True, capture_output=True)
    command = [RFQ, "explore", PAGE, "--no-browser", "--database", database]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield {REPORT: page.as_uri(), PAGE: json.loads(server.stdout.readline())["url"]}
        server.terminate()


def look(browser: Browser, url: str, size: dict[str, object], file: Path) -> None:
    """Take a picture of a page once it shows what it has to say."""
    viewport = {"width": size["width"], "height": size["height"]}
    shown = browser.new_page(viewport=viewport, color_scheme=size["scheme"])  # type: ignore[arg-type]
    shown.goto(url)
    shown.wait_for_selector("#page, #data")
    shown.wait_for_load_state("networkidle")
    shown.screenshot(path=file)
    shown.close()


def main(folder: Path) -> None:
    """Write each picture into *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, opened() as browser:
        files = Path(directory) / "sandbox.duckdb", Path(directory) / "report.html"
        with addresses(*files) as found:
            for name, (what, size) in LOOKS.items():
                look(browser, found[what], size, folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
