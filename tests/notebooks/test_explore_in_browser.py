"""The pages to explore in a real browser, served by `rfq explore`, each of them loaded once."""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import duckdb
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext

from notebooks.report.window import Window, Zone
from tests.notebooks.browser import Watched, opened
from tests.notebooks.test_in_browser import DESKTOP, DRAWN, OVERFLOW, PHONE, luminance
from tests.profile import IS_NIGHTLY

PAGES = ("today", "fills", "cost", "maker", "speed", "makers", "rfq", "market", "trust")
# Loading one costs three seconds of CPU. The gate loads those of most forms of chart and control,
# and `test_explore.py` runs each of them without a browser.
LOADED = PAGES if IS_NIGHTLY else ("today", "makers", "rfq")
ADDRESSES = 10 if IS_NIGHTLY else 2
# Every mark of a curve, of lanes or of a map may be of several rows.
OF_SEVERAL_ROWS = {"fill_curves", "answers_by_time", "hold_time", "best_prices"}
FIGURES = """
() => [...document.querySelectorAll('[data-metric]')].map(cell => [
    cell.dataset.metric, cell.dataset.value, cell.dataset.n, cell.dataset.since,
    cell.dataset.until])
"""
# What is further right than the screen, but for what scrolls within its own place.
BEYOND = """
() => [...document.querySelectorAll('body *')].filter(each =>
    each.getBoundingClientRect().right > innerWidth + 1 && each.checkVisibility()
    && !each.closest('.picks, .rows, pre')).map(each => each.outerHTML.slice(0, 80))
"""
# What of the assets came over the wire, and not from what the browser has kept.
FETCHED = """
() => performance.getEntriesByType('resource')
    .filter(each => each.name.includes('/static/') && each.transferSize > 0).map(each => each.name)
"""


@dataclass
class Served:
    """The command as it serves a file, and the browser that has its token."""

    path: Path
    url: str
    context: BrowserContext

    @property
    def origin(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def shown(self, page: str, place: str = "", **controls: str) -> Watched:
        """A page, once it shows what it has to say."""
        watched = Watched(self.context.new_page())
        asked = f"?{urlencode(controls)}" if controls else ""
        watched.page.goto(f"{self.origin}/{page}/{asked}{place}")
        watched.page.wait_for_selector("#page")
        return watched


# Of which each would leave a page without its figures, if marimo read it from where it is started.
FOREIGN = """
[runtime]
on_cell_change = "lazy"
output_max_bytes = 10
dotenv = ["foreign.env"]
[display]
theme = "dark"
custom_css = ["foreign.css"]
[experimental]
isolate_apps = true
"""


@pytest.fixture(scope="module")
def served(seed_one: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    path = tmp_path_factory.mktemp("served") / "rfq.duckdb"
    (path.parent / ".marimo.toml").write_text(FOREIGN)
    (path.parent / "foreign.css").write_text("#page { display: none }")
    shutil.copy(seed_one["desk"], path)
    rfq = Path(sys.executable).with_name("rfq")
    with opened() as browser:
        command = [rfq, "explore", "--no-browser", "--database", path.name]
        pipes: Any = {"stdout": subprocess.PIPE, "text": True, "cwd": path.parent}
        with subprocess.Popen(command, **pipes) as server:
            assert server.stdout is not None
            said = json.loads(server.stdout.readline())
            assert list(said) == ["url"]
            url = said["url"]
            assert re.match(r"http://127\.0\.0\.1:\d+/today/\?access_token=", url)
            context = browser.new_context(viewport=DESKTOP)  # type: ignore[arg-type]
            context.new_page().goto(url)
            yield Served(path, url, context)
            context.close()
            server.send_signal(signal.SIGINT)
            assert server.wait(timeout=20) in (0, 130)
            assert server.stdout.read() == ""


@pytest.fixture(scope="module", params=LOADED)
def shown(request: Any, served: Served) -> Iterator[Watched]:
    """Each page, loaded once."""
    watched = served.shown(request.param)
    yield watched
    watched.page.close()


@pytest.fixture
def plain(shown: Watched) -> Watched:
    """On a wide and light screen."""
    shown.page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
    shown.page.emulate_media(color_scheme="light")
    return shown


def test_every_chart_is_drawn(plain: Watched) -> None:
    """A desk's page of makers has none, and says so."""
    folded = "document.querySelectorAll('details.folded').forEach(each => each.open = true)"
    plain.page.evaluate(f"() => {folded}")
    drawn = plain.page.evaluate(DRAWN)

    assert bool(drawn) == ("/maker/" not in plain.page.url)
    for name, width, height, marks, rows in drawn:
        least = 1 if name in OF_SEVERAL_ROWS else rows
        if not rows:
            assert (width, marks) == (0, 0)
            continue
        assert (width > 200, height > 20, marks >= least) == (True, True, True), (name, marks)


def test_it_says_no_error_and_asks_nobody_else(plain: Watched, served: Served) -> None:
    assert plain.errors == []
    asked = {"{0.scheme}://{0.netloc}".format(urlsplit(url)) for url in plain.requests}
    assert asked <= {served.origin, "data://", "blob://"}
    assert plain.page.evaluate(FETCHED) == [] or "/today/" in plain.page.url


def test_a_phone_need_not_scroll_sideways(plain: Watched) -> None:
    plain.page.set_viewport_size(PHONE)  # type: ignore[arg-type]

    assert plain.page.evaluate(OVERFLOW) == 0
    assert plain.page.evaluate(BEYOND) == []


def test_it_breaks_no_rule_of_accessibility(plain: Watched) -> None:
    plain.page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")

    found = Axe().run(plain.page)

    assert found.violations_count == 0, found.generate_report()


def test_a_control_goes_into_the_address_and_the_page(plain: Watched) -> None:
    plain.page.get_by_label("zone", exact=True).select_option("UTC")

    plain.page.locator("#page", has_text="UTC days, 00:00 to 24:00").wait_for()
    plain.page.locator("nav a[href='../trust/?zone=UTC']").wait_for()
    plain.page.wait_for_url("**/?zone=UTC")


def test_the_dark_follows_the_system(plain: Watched) -> None:
    light = lights(plain)
    plain.page.emulate_media(color_scheme="dark")
    plain.page.wait_for_selector("body.dark")

    dark = lights(plain)

    assert light[0] > 0.9 > 0.2 > light[1]
    assert dark[0] < 0.2 < 0.8 < dark[1]


def lights(shown: Watched) -> list[float]:
    """How bright the page's ground is, and the ink of what is said."""
    color = "() => getComputedStyle(document.{}).{}".format
    ground = shown.page.evaluate(color("body", "backgroundColor"))
    ink = shown.page.evaluate(color("querySelector('#page')", "color"))
    parts = [float(part) for part in re.findall(r"[\d.]+", ground.removeprefix("color(srgb"))[:3]]
    return [sum(parts) / (3 if "srgb" in ground else 765), luminance(ink)]


# Against SQL


def random_addresses() -> list[dict[str, str]]:
    chance = random.Random(18)
    found = []
    for _ in range(ADDRESSES):
        first = date(2026, 11, 17) + timedelta(days=chance.randint(0, 2))
        controls = {
            "since": str(first),
            "until": str(first + timedelta(days=chance.randint(1, 2))),
            "zone": chance.choice(list(Zone)),
            "legs": chance.choice(("1,2", "2,3,4", "")),
            "size": chance.choice(("$10-$50 target cost", "")),
            "series": chance.choice(("KXMVECROSSCATEGORY", "")),
        }
        found.append({name: value for name, value in controls.items() if value})
    return found


WHERE = "created_ts >= $since and created_ts < $until and visibility = 'own'{chosen}"
OF_SQL = {
    "n_rfq_own": "select count(*), count(*) from marts.rfq_facts where {where}",
    "fill_rate_matured": "select avg((outcome_bucket = 'executed_in_time')::int), count(*)"
    " from marts.rfq_facts where {where} and is_matured and capture <> 'backfill'",
    "time_to_fill_p50_s": "select median(time_to_fill_s), count(time_to_fill_s)"
    " from marts.rfq_facts where {where}",
    "premium_dollars": "select coalesce(sum(premium_dollars), 0)::double, count(*)"
    " from marts.rfq_facts where {where} and state = 'executed'",
    "quote_spread_p50_dollars": "select median(quote_spread)::double, count(quote_spread)"
    " from marts.quote_facts where rfq_id in (select rfq_id from marts.rfq_facts where {where})"
    " and is_effective and is_valid_response",
    "lapse_rate": "select avg(is_lapsed::int), count(*) from marts.quote_facts where rfq_id in"
    " (select rfq_id from marts.rfq_facts where {where}) and is_accept_matured",
}


@pytest.mark.parametrize("controls", random_addresses(), ids=urlencode)
def test_values_are_those_of_sql_over_the_marts(
    served: Served, seed_one: dict[str, Path], controls: dict[str, str]
) -> None:
    days = (date.fromisoformat(controls[name]) for name in ("since", "until"))
    window = Window(*days, Zone(controls["zone"]))
    watched = served.shown("today", **controls)

    found = {(m, since): (v, n, until) for m, v, n, since, until in watched.page.evaluate(FIGURES)}
    watched.page.close()

    chosen = f" and n_legs in ({controls['legs']})" if "legs" in controls else ""
    for name, column in (("size", "size_bucket"), ("series", "series_ticker")):
        chosen += f" and {column} = '{controls[name]}'" if name in controls else ""
    spans = [(window.since_ts, window.until_ts), (window.before_ts, window.since_ts)]
    with duckdb.connect(seed_one["desk"], read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        for since, until in spans:
            for metric, query in OF_SQL.items():
                asked = query.format(where=WHERE.format(chosen=chosen))
                ((value, n),) = connection.execute(
                    asked, {"since": since, "until": until}
                ).fetchall()
                shown, n_shown, _ = found[metric, f"{since:%Y-%m-%dT%H:%M:%SZ}"]
                assert n_shown == str(n), metric
                assert (float(shown) if shown else None) == (
                    None if value is None else pytest.approx(value)
                ), metric


# The address and the file beneath


def test_an_rfq_is_picked_without_loading_the_page_anew(served: Served) -> None:
    page = served.shown("rfq", zone="UTC").page
    page.evaluate("() => { window.isTheSame = true }")
    picked = page.locator(".picks a").nth(3)
    name = picked.inner_text()

    picked.click()

    page.locator("figure[data-chart=lanes]", has_text=f"RFQ {name}").wait_for()
    page.locator(".picks tr[aria-current=true]", has_text=name).wait_for()
    assert "rfq_id=" in page.url
    assert "zone=UTC" in page.url
    assert page.evaluate("() => window.isTheSame")
    page.close()


def test_a_step_back_in_the_browser_takes_the_filter_off(served: Served) -> None:
    page = served.shown("trust").page
    page.get_by_label("zone", exact=True).select_option("UTC")
    page.locator("#page", has_text="UTC days, 00:00 to 24:00").wait_for()
    page.wait_for_url("**/?zone=UTC")

    page.go_back()

    page.locator("#page", has_text="New York days, 00:00 to 24:00").wait_for()
    assert page.url.endswith("/trust/")
    page.close()


def test_an_address_leads_to_its_place_in_the_page(served: Served) -> None:
    page = served.shown("trust", "#chart-quality").page

    top = "() => document.querySelector('#chart-quality').getBoundingClientRect().top"
    page.wait_for_function(f"() => ({top})() < innerHeight")
    page.close()


def test_who_has_no_token_is_told_where_it_is(served: Served) -> None:
    assert served.context.browser is not None
    stranger = served.context.browser.new_page()

    answer = stranger.goto(f"{served.origin}/today/")

    stranger.close()
    assert answer is not None
    assert answer.status == 401


def test_a_newer_file_shows_with_the_same_filters_and_so_does_one_that_is_gone(
    served: Served, seed_one: dict[str, Path]
) -> None:
    """The desk's file is replaced by the maker's, taken away, and put back."""
    watched = served.shown("maker", zone="UTC")
    page = watched.page
    assert page.locator("figure").count() == 0
    newer = served.path.with_suffix(".newer")

    shutil.copy(seed_one["maker"], newer)
    newer.replace(served.path)
    page.wait_for_selector("figure[data-chart=hits_by_series]", timeout=60_000)
    assert "UTC days" in page.inner_text("#page")
    drawn = page.evaluate(DRAWN)
    assert {name for name, *_, marks, rows in drawn if marks < rows} == set()

    served.path.rename(newer)
    page.wait_for_selector("#page[data-state=nothing]", timeout=60_000)
    assert "does not exist: `rfq run` makes it" in page.inner_text("#page")

    newer.rename(served.path)
    page.wait_for_selector("#page[data-state=shown]", timeout=60_000)
    assert page.url.endswith("?zone=UTC")
    assert watched.errors == []
