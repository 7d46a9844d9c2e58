"""The pages in a real browser: drawn, quiet, at home on a phone, in the dark and on paper."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from pipelines import entry
from tests.notebooks.browser import Watched, opened

PAGES = ("desk", "maker", "dictionary")
DESKTOP, PHONE = {"width": 1200, "height": 900}, {"width": 390, "height": 844}
# What is drawn in each figure, and how large: a picture without marks is a blank one.
DRAWN = """
() => [...document.querySelectorAll('figure[data-chart]')].map(figure => {
    const box = figure.querySelector('svg')?.getBoundingClientRect() ?? {width: 0, height: 0};
    const marks = figure.querySelectorAll('svg [class*="mark-"] > path, svg .mark-text > text');
    return [figure.dataset.chart, box.width, box.height, marks.length, +figure.dataset.rows];
})
"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
COLORS = """
() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as found:
        yield found


@pytest.fixture(scope="module")
def written(seed_one: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The address of each page on this machine."""
    folder = tmp_path_factory.mktemp("pages")
    found = {name: folder / f"{name}.html" for name in PAGES}
    with pytest.MonkeyPatch.context() as patch:
        for name, path in found.items():
            what: list[object] = ["dictionary"]
            if name in seed_one:
                what = ["report", "--database", seed_one[name]]
            patch.setattr("sys.argv", ["rfq", *map(str, what), "--output", str(path)])
            assert entry.command() == 0
    return {name: path.as_uri() for name, path in found.items()}


@pytest.fixture(scope="module", params=PAGES)
def shown(request: Any, browser: Browser, written: dict[str, str]) -> Iterator[Watched]:
    """Each page, opened once."""
    watched = Watched(browser.new_page(viewport=DESKTOP))  # type: ignore[arg-type]
    watched.page.goto(written[request.param])
    yield watched
    watched.page.close()


@pytest.fixture(autouse=True)
def plain(shown: Watched) -> None:
    """On a screen, wide and light."""
    shown.page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
    shown.page.emulate_media(media="screen", color_scheme="light")


def test_every_chart_is_drawn(shown: Watched) -> None:
    drawn = shown.page.evaluate(DRAWN)

    assert bool(drawn) == ("dictionary" not in shown.page.url)
    for name, width, height, marks, rows in drawn:
        # A curve is one mark for all of its rows.
        least = 4 if name == "fill_curves" else rows
        assert (width > 200, height > 40, marks >= least) == (True, True, True), (name, marks)


def test_it_says_no_error_and_asks_nobody(shown: Watched) -> None:
    shown.page.reload()

    assert shown.errors == []
    assert {url.split("#")[0] for url in shown.requests} == {shown.page.url}


def test_a_phone_need_not_scroll_sideways(shown: Watched) -> None:
    shown.page.set_viewport_size(PHONE)  # type: ignore[arg-type]

    assert shown.page.evaluate(OVERFLOW) == 0
    for name, width, *_ in shown.page.evaluate(DRAWN):
        assert 250 < width <= PHONE["width"], name


def luminance(color: str) -> float:
    """How bright an rgb(…) is, from 0 to 1."""
    parts = color[color.index("(") + 1 : -1].split(",")[:3]
    return sum(map(float, parts)) / 765


def test_the_dark_follows_the_system(shown: Watched) -> None:
    light = [luminance(color) for color in shown.page.evaluate(COLORS)]
    shown.page.emulate_media(color_scheme="dark")

    dark = [luminance(color) for color in shown.page.evaluate(COLORS)]

    assert light[0] > 0.9 > 0.2 > light[1]
    assert dark[0] < 0.15 < 0.8 < dark[1]
    ink = "() => getComputedStyle(document.querySelector('svg text') || document.body).fill"
    if "dictionary" not in shown.page.url:
        assert luminance(shown.page.evaluate(ink)) > 0.8


def test_on_paper_it_is_black_on_white_without_what_is_folded(shown: Watched) -> None:
    shown.page.emulate_media(media="print", color_scheme="dark")

    paper, ink = (luminance(color) for color in shown.page.evaluate(COLORS))

    assert (paper, ink) == (1, 0)
    assert shown.page.locator("details:visible").count() == 0
    assert shown.page.pdf()[:5] == b"%PDF-"


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESKTOP), ("dark", PHONE)], ids=["desktop", "dark phone"]
)
def test_it_breaks_no_rule_of_accessibility(
    shown: Watched, scheme: Any, size: dict[str, int]
) -> None:
    shown.page.emulate_media(color_scheme=scheme)
    shown.page.set_viewport_size(size)  # type: ignore[arg-type]
    # Of the dictionary's 40 tables, which are of one kind, three stand for all: axe takes 10 s.
    shown.page.evaluate(
        "() => document.querySelectorAll('main > section:has(.dictionary):nth-of-type(n + 4)')"
        ".forEach(section => section.remove())"
    )
    shown.page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")

    found = Axe().run(shown.page)

    assert found.violations_count == 0, found.generate_report()
