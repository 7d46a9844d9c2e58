"""The page and the code name the same metrics, for any data set."""

import re
from datetime import timedelta
from importlib.resources import files

from tests.metrics.markets import MIDNIGHT, closed_rfq, followed, quote, rfq
from tests.metrics.warehouse import warehouse
from transforms.metrics import evaluate
from transforms.settings import Settings

AS_OF = MIDNIGHT + timedelta(hours=1)
PAGE = (files("transforms") / "marts" / "METRICS.md").read_text()


def documented() -> set[str]:
    """The names in the first column of the page's tables, and those of its totals."""
    first_cells = re.findall(r"^\| (`[^|]*)", PAGE, flags=re.MULTILINE)
    totals = re.findall(r"^Totals .*$", PAGE, flags=re.MULTILINE)
    cells = [*first_cells, re.sub(r"\(`[^`]*`\)", "", totals[0])]
    return {name for cell in cells for name in re.findall(r"`([a-zA-Z0-9_]+)`", cell)}


def test_the_page_defines_every_metric_and_no_other() -> None:
    metrics = evaluate([], [], AS_OF, passes=[])

    assert set(metrics) == documented()
    assert set(evaluate([], [], AS_OF)) == documented() - {"rfq_capture"}


def test_every_name_is_there_for_any_data_set() -> None:
    traded = followed(quote("q1", "r1"), accepted=5, confirmed=6, executed=22)

    names = {
        frozenset(evaluate(rfqs, quotes, AS_OF, viewer_id=viewer_id))
        for rfqs, quotes in (([], []), ([rfq("r1")], []), ([closed_rfq("r1", 0, 22)], [traded]))
        for viewer_id in (None, "A")
    }

    assert len(names) == 1


def test_the_page_names_columns_that_exist() -> None:
    with warehouse([rfq("r1")], [quote("q1", "r1")], Settings(as_of=AS_OF)) as marts:
        columns = {*marts["rfq_facts"].columns, *marts["quote_facts"].columns}

    last_cells = re.findall(r"\| ([a-z_, ]+) \|$", PAGE, flags=re.MULTILINE)
    named = {name for cell in last_cells for name in cell.split(", ") if "_" in name}
    assert named - columns - {"rfq_facts", "quote_facts"} == set()
