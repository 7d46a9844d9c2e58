"""The README's pictures, of the sandbox: `python tests/notebooks/pictures.py notebooks/pictures`.

It runs the job against the sandbox, writes the report, and looks at it in Chromium.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.notebooks.browser import opened

LOOKS = {
    "report.png": {"width": 1100, "height": 1000, "scheme": "light"},
    "report-dark-phone.png": {"width": 390, "height": 844, "scheme": "dark"},
}


def main(folder: Path) -> None:
    """Write each picture into *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    rfq = Path(sys.executable).with_name("rfq")
    with tempfile.TemporaryDirectory() as directory, opened() as browser:
        database, page = Path(directory) / "sandbox.duckdb", Path(directory) / "report.html"
        for what in (["run", "--sandbox", "-q"], ["report", "--output", page]):
            subprocess.run([rfq, *what, "--database", database], check=True, capture_output=True)
        for name, look in LOOKS.items():
            size = {"width": int(look["width"]), "height": int(look["height"])}
            shown = browser.new_page(viewport=size, color_scheme=look["scheme"])  # type: ignore[arg-type]
            shown.goto(page.as_uri())
            shown.screenshot(path=folder / name)
            shown.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
