"""The pages to explore, without a browser: their command, addresses, SQL, and what goes wrong."""

import json
import subprocess
import sys
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from notebooks.explore.address import Sort, read
from notebooks.explore.content import content, head
from notebooks.explore.opening import Published, Served, Source, opened, version
from notebooks.explore.pages import NAMES, PAGES
from notebooks.explore.view import View
from notebooks.report.scope import ask, open_scope
from tests.accounts import Shown, published
from tests.metrics.markets import followed, quote
from tests.metrics.markets import rfq as rfq_object
from tests.notebooks.exploring import DAY, TODAY, chart_rows, html, told, written
from tests.notebooks.test_report import as_table
from tests.notebooks.written_pages import WrittenPage
from tests.running import Command

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
# Each page as `python notebooks/page.py` runs it, all of them in one interpreter.
RUN_ALL = """
import runpy, sys
folder, database, *names = sys.argv[1:]
for name in names:
    sys.argv = [f"{folder}/{name}.py", "--", "--database", database]
    runpy.run_path(sys.argv[0], run_name="__main__")
    print(name)
sys.argv[-1] = "none.duckdb"
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except Exception as error:
    print(error)
"""


# The command


def test_the_pages_are_listed_in_their_order(rfq: Command) -> None:
    ended = rfq("explore", "--list")

    names = ["today", "fills", "cost", "maker", "speed", "makers", "rfq", "market", "trust"]
    assert (ended.code, ended.out.split()) == (0, names)


def test_an_unknown_page_is_wrong_usage(rfq: Command) -> None:
    ended = rfq("explore", "tomorrow")

    assert ended.code == 2
    assert "tomorrow" in ended.err


def test_without_marimo_it_says_how_to_install_it(
    rfq: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("notebooks.explore.live")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "marimo", None)

    ended = rfq("explore", "--no-browser")

    assert ended.code == 78
    assert "pip install '.[notebooks]'" in ended.err


def test_a_port_that_is_taken_is_a_matter_of_configuration(rfq: Command) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = rfq("explore", "--no-browser", "--port", taken.getsockname()[1])

    assert ended.code == 78
    assert "--port" in ended.err


# Pages as files


def test_each_page_runs_as_a_script_and_ends_where_there_is_no_file(both: Path) -> None:
    command = [sys.executable, "-c", RUN_ALL, NOTEBOOKS, both, *NAMES]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    *names, last = done.stdout.splitlines()
    assert (done.returncode, names) == (0, list(NAMES)), done.stderr
    assert last.endswith("none.duckdb does not exist: `rfq run` makes it")


def test_pages_are_in_the_form_their_editor_keeps() -> None:
    """One of them stands for all, which differ in their name alone."""
    texts = {name: (NOTEBOOKS / f"{name}.py").read_text() for name in NAMES}
    command = [sys.executable, "-m", "marimo", "check", "--strict", NOTEBOOKS / "today.py"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert {text.replace(f'{name}"', 'today"') for name, text in texts.items()} == {texts["today"]}


# What they show


OWN_FILES = {
    "none": "",
    "by RFQ": "rfq_id,fair_yes,book\nt won,0.5,a\no filled,0.4,b\n",
    "by quote": "quote_id,fair_yes,book\nm1,0.5,a\nq1,0.44,b\n",
    "by market": "Market_Ticker,FAIR_YES,o'k\nKXRAIN-26-NYC,0.5,a\n",
}


@pytest.mark.parametrize("lines", OWN_FILES.values(), ids=OWN_FILES)
def test_the_sql_of_each_chart_stands_alone_and_gives_its_rows(
    both: Path, known: duckdb.DuckDBPyConnection, tmp_path: Path, lines: str
) -> None:
    """Asked on a connection that has none of the page's views, as `rfq sql` has not."""
    own = tmp_path / "one's own.csv"
    own.write_text(lines)
    found = opened(Source(both))
    assert found.connection is not None
    address = read(found.connection, TODAY | ({"maker": "A"} if lines else {}))
    for page in map(PAGES.__getitem__, ("fills", "maker") if lines else NAMES):
        scope = open_scope(
            *(found.connection, address.window, page.role, own if lines else None),
            chosen=address.chosen,
            is_of_market=page.is_of_market,
        )
        for each in page.charts(View(found.connection, scope, address)):
            rows = ask(found.connection, each.query)
            alone: pl.DataFrame = known.sql(scope.in_full(each.query)).pl()
            assert_frame_equal(rows, alone, check_dtypes=False)


def test_the_sql_that_is_shown_runs_in_rfq_sql(rfq: Command, both: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("rfq_id,fair_yes,book\nt won,0.5,a\nt lost,0.4,b\n")
    shown = html(both, "maker", own, **TODAY)
    queries = [
        part.split(">", 1)[1].split("</pre>")[0] for part in shown.split('<pre class="sql"')[1:]
    ]
    rows = [part.split('"')[0] for part in shown.split('data-rows="')[1:]]

    assert len(queries) == len(rows) > 8
    for query, n in zip(queries, rows, strict=True):
        ended = rfq("sql", unescape(query), "--json", "--database", both)
        assert ended.code == 0, ended.err
        assert len(json.loads(ended.out)) == int(n)


def test_a_maker_reads_what_was_worked_by_hand(both: Path) -> None:
    """It quoted three of the five live RFQs of others, and of the two that are over it won one."""
    page = written(both, "maker", **TODAY)

    now = {
        metric: found[:2] for (metric, since), found in page.figures.items() if str(DAY) in since
    }
    assert now["my_hit_ratio"] == (0.5, 2)
    assert now["my_quote_rate"] == (0.75, 4)
    assert "A maker never sees the quotes of others" in told(page)
    assert page.charts["quoted_by_series"].n_rows > 0


def test_the_record_is_as_the_marts_have_it(both: Path) -> None:
    """Of 13 RFQs of the day the account sees the quotes of 11, of which 5 were watched."""
    page = written(both, "trust", **TODAY)

    now = {
        metric: found[:2] for (metric, since), found in page.figures.items() if str(DAY) in since
    }
    assert now == {"n_rfq": (13, 13), "share_watched": (pytest.approx(5 / 11), 11)}


def test_a_filter_counts_its_rfqs_alone(both: Path) -> None:
    """Of the seven own RFQs of the day one is a combo of two legs, and B quoted two."""
    metric = ("n_rfq_own", f"{DAY}T00:00:00Z")

    found = {
        key: written(both, "fills", **TODAY, **chosen).figures[metric][1]
        for key, chosen in {
            "all": {},
            "singles": {"legs": "1"},
            "two": {"legs": "2"},
            "either": {"legs": "1,2"},
            "series": {"series": "KXMVE"},
            "market": {"market": "KXMVE-26-1"},
            "B's": {"maker": "B"},
        }.items()
    }

    assert found["all"] == found["either"] == 7
    assert (found["singles"], found["two"]) == (6, 1)
    assert found["series"] == found["market"] == 1
    assert found["B's"] == 2


def test_links_to_other_pages_keep_the_controls() -> None:
    page = WrittenPage(head(PAGES["cost"], {"legs": "1,2", "series": "KX A", "file": "x"}))

    assert page.links == [f"../{name}/?series=KX%20A&legs=1,2" for name in NAMES]


def test_a_page_by_itself_leads_to_no_other(both: Path) -> None:
    """As `marimo edit` opens it, with nothing beside it; its own places are there."""
    page = WrittenPage(head(PAGES["cost"], {}, is_served=False))
    today = html(both, "today", **TODAY)

    assert page.links == []
    assert "rfq explore serves all of them" in told(page)
    assert "../" not in today
    assert 'href="#chart-coverage"' in today


def test_today_says_how_the_last_run_ended(both: Path, tmp_path: Path) -> None:
    """A run that ends shows, also where it has published nothing."""
    record, ends = tmp_path / "rfq.runs.jsonl", ["The last run failed."]
    source = Source(both, served=Served(lambda: ends[-1], record))
    before = version(source)

    record.touch()

    assert version(source) != before
    assert "The last run failed." in content(opened(source), PAGES["today"], TODAY)
    assert "The last run failed." not in content(opened(source), PAGES["fills"], TODAY)


def test_one_rfq_has_a_lane_for_each_maker(both: Path) -> None:
    """A bar for each of two versions, accepted at 10 s, confirmed at 12 and executed at 27."""
    rows = chart_rows(both, "rfq", "lanes", rfq_id="o filled")

    assert rows.select(
        "maker", "version", "quoted_s", "accepted_s", "confirmed_s", "executed_s"
    ).rows() == [
        ("A", 1, 1.0, 10.0, 12.0, 27.0),
        ("B", 1, 3.0, None, None, None),
    ]
    assert written(both, "rfq", rfq_id="o filled").charts["lanes"].n_rows == 2


def test_rfqs_can_be_picked_from_a_table(both: Path) -> None:
    """The newest of the day first: `o young`, then `o open`; the other controls are kept."""
    picks = [
        link for link in written(both, "rfq", **TODAY, role="requester").links if "rfq_id" in link
    ]

    kept = "&".join(f"{name}={value}" for name, value in (TODAY | {"role": "requester"}).items())
    assert sorted(picks[0].removeprefix("?").split("&")) == sorted(
        [*kept.split("&"), "rfq_id=o%20young"]
    )
    assert "rfq_id=o%20open" in picks[1]


def test_the_best_prices_are_of_the_quotes_that_stood(both: Path) -> None:
    """Of the combo: 40 to 50 cents from 0.5 s on; the quote of 210 s replaces it with 40 to 48."""
    rows = chart_rows(both, "rfq", "best_prices", rfq_id="o combo")

    first, last = rows.row(0, named=True), rows.row(-1, named=True)
    assert (first["from_s"], first["best_bid_cents"], first["best_ask_cents"]) == (0.5, 40.0, 50.0)
    assert (last["from_s"], last["best_ask_cents"]) == (10.0, 48.0)


# Of some columns of each chart, its rows in the market of `of_both`.
BY_HAND: dict[tuple[str, str], tuple[tuple[str, ...], list[tuple[Any, ...]]]] = {
    # Filled within 300 s: `o filled` of five singles that are old enough, not the one combo.
    ("fills", "fills_by_legs"): (("legs", "n", "n_filled"), [("1", 5, 1), ("2", 1, 0)]),
    ("fills", "fills_by_series"): (("series", "n"), [("KXRAIN", 5), ("KXMVE", 1)]),
    ("fills", "maturity"): (("n", "n_counted", "n_too_young", "n_backfill"), [(7, 6, 1, 0)]),
    # Of `o filled`: A bids 40 and offers 45 cents, B 40 and 50; middles of 42.5 and 45.
    ("cost", "spread_by_price"): (("price", "n", "p50_cents"), [("40-50 %", 2, 7.5)]),
    # The fill that was watched cost 45 cents at a best bid and offer of 40 and 45.
    ("cost", "improvement_by_size"): (("n", "p50_cents"), [(1, -2.5)]),
    ("cost", "spread_by_makers"): (("makers", "n", "p50_cents"), [("2", 1, 5.0)]),
    ("maker", "quoted_by_series"): (
        ("series", "n", "n_quoted"),
        [("KXRAIN", 3, 2), ("KXMVE", 1, 1)],
    ),
    ("maker", "my_ends"): (("ended", "n"), [("accepted", 1), ("rfq_end", 1), ("still open", 1)]),
    ("maker", "my_lapses"): (("legs", "n", "n_lapsed"), [("1", 1, 0)]),
    ("maker", "my_lapsed_quotes"): (("rfq",), []),
    # First quotes after 1, 2 and 3 s, each in the bin of a twelfth of a decade that ends there.
    ("speed", "answers_by_time"): (("n_so_far", "share"), [(1, 1 / 3), (2, 2 / 3), (3, 1.0)]),
    ("speed", "my_answers_by_time"): (
        ("kind", "n_so_far", "share"),
        [("combos", 1, 1.0), ("singles", 1, 0.5), ("singles", 2, 1.0)],
    ),
    # Both were confirmed 2 s after the accept; A's accept on `o lapsed` was not.
    ("speed", "hold_time"): (("n_so_far", "share"), [(2, 1.0)]),
    ("speed", "my_hold_time"): (("n_so_far", "share"), [(1, 1.0)]),
    ("speed", "lapses"): (("who", "n", "n_lapsed"), [("A", 2, 1), ("B", 1, 0)]),
    ("makers", "makers"): (
        ("who", "n_quoted", "n", "n_won", "answer_p50_s", "spread_p50_cents"),
        [("A", 2, 2, 1, 1.5, 5.0), ("B", 1, 1, 0, 3.0, 10.0)],
    ),
    # A and B have executed 100 contracts each; A has quoted two live RFQs and B one.
    ("makers", "concentration_bounds"): (
        ("measure", "n_makers", "hhi", "low", "high"),
        [("contracts executed", 2, 0.5, 0.5, 0.5), ("RFQs quoted", 2, 5 / 9, 5 / 9, 5 / 9)],
    ),
    # Thirteen RFQs from midnight on in UTC, which is Sunday evening in New York, in 1,000 s.
    ("market", "hour_of_week"): (
        ("weekday", "hour", "n", "observed_minutes"),
        [(7, 20, 13, 1000 / 60)],
    ),
    ("market", "sizes"): (("value", "n"), [("100-500 contracts", 12), ("$10-$50 target cost", 1)]),
    ("market", "legs"): (("value", "n"), [("1", 11), ("2", 2)]),
    ("market", "top_series"): (("value", "n"), [("KXRAIN", 11), ("KXMVE", 2)]),
    ("trust", "coverage_by_hour"): (("hour", "n", "n_rfq_observed"), [(0, 2, 0), (0, 13, 13)]),
    ("trust", "gaps"): (("n", "longest_gap_s", "hours_elapsed"), [(1, 86_400.0, 24.0)]),
    ("trust", "missed"): (("n", "n_missed", "missed_share"), [(20, 1, 0.05)]),
    ("trust", "watched"): (("n", "n_watched"), [(11, 5), (2, 0)]),
    ("trust", "quality"): (
        ("check", "n", "n_checked"),
        [("own_rfq_not_captured_live", 6, 8), ("rfq_of_others_first_seen_closed", 1, 7)],
    ),
}


@pytest.mark.parametrize(("page", "chart"), BY_HAND)
def test_rows_are_those_that_were_worked_by_hand(both: Path, page: str, chart: str) -> None:
    columns, wanted = BY_HAND[page, chart]

    rows = chart_rows(both, page, chart).select(columns).rows()

    assert rows == [
        tuple(pytest.approx(v) if isinstance(v, float) else v for v in row) for row in wanted
    ]


def test_hidden_ids_leave_the_concentration_open(both: Path, tmp_path: Path) -> None:
    """Of A's two RFQs and one of somebody hidden: as good as B, or A as well."""
    path = tmp_path / "hidden.duckdb"
    path.write_bytes(both.read_bytes())
    with duckdb.connect(path) as connection:
        connection.execute("update marts.quote_facts set maker_id = 'unknown' where maker_id = 'B'")

    rows = chart_rows(path, "makers", "concentration_bounds").rows(named=True)

    found = {row["measure"]: (row["hidden_share"], row["low"], row["high"]) for row in rows}
    assert found == {
        "RFQs quoted": pytest.approx((1 / 3, 5 / 9, 1.0)),
        "contracts executed": pytest.approx((0.5, 0.5, 1.0)),
    }


def test_a_fair_value_cuts_the_hit_ratio_by_edge(both: Path, tmp_path: Path) -> None:
    """The last quotes are of 40 to 45 and of 40 to 48 cents: at 50 and 44 cents the worse of two
    bids gives -5 and 4."""
    own = tmp_path / "own.csv"
    own.write_text("rfq_id,fair_yes\nt won,0.50\nt lost,0.44\n")

    rows = chart_rows(both, "maker", "hits_by_edge", own)

    assert rows.select("edge", "n", "n_won").rows() == [("below -4¢", 1, 1), ("+4 to +5¢", 1, 0)]


def test_lapses_are_of_the_days_of_the_page_and_all_of_a_day_are_counted(tmp_path: Path) -> None:
    """60 accepts of one evening in New York, which is the next day in UTC; 50 are listed."""
    rfqs = [rfq_object(f"r{n:02}", n, creator_id="stranger") for n in range(60)]
    answers = [quote(f"q{n:02}", f"r{n:02}", n, rfq_creator_id="stranger") for n in range(60)]
    quotes = [followed(each, accepted=n) for n, each in enumerate(answers)]
    path = published(tmp_path / "rfq.duckdb", Shown("A", rfqs, quotes)).path
    evening = DAY - timedelta(days=1)
    controls = {"since": str(evening), "until": str(DAY), "zone": "America/New_York"}

    rows = chart_rows(path, "maker", "my_lapsed_quotes", **controls)

    assert (rows.height, set(rows["n"]), set(rows["accepted_day"])) == (50, {60}, {evening})


def test_a_maker_that_is_chosen_has_its_own_quotes_alone(both: Path) -> None:
    """Of the two quotes on the executed RFQs that B quoted one was lost, and it was B's."""
    of_b = chart_rows(both, "makers", "lost_quotes", maker="B")["n"].sum()
    of_a = chart_rows(both, "makers", "lost_quotes", maker="A")["n"].sum()

    assert (of_a, of_b) == (0, 1)
    # Of its own quotes alone it would be all there is to depend on.
    assert "concentration" in written(both, "makers").charts
    assert not {"concentration", "concentration_bounds"} & {
        *written(both, "makers", maker="A").charts
    }


def test_the_league_is_sorted_by_what_is_chosen(both: Path) -> None:
    found = {
        sort: chart_rows(both, "makers", "makers", sort=sort).select("who", "n_accepts", "n_lapsed")
        for sort in Sort
    }

    assert found[Sort.WON]["who"][0] == "A"
    assert {tuple(sorted(rows.rows())) for rows in found.values()} == {
        tuple(sorted(found[Sort.WON].rows()))
    }
    assert all(rows["n_lapsed"].null_count() == 0 for rows in found.values())


def test_hidden_ids_have_their_row_beside_any_number_of_others(tmp_path: Path) -> None:
    """20 makers answer one RFQ each, and one of whom nobody knows the name answers and lapses."""
    rfqs = [rfq_object(f"r{n:02}", n) for n in range(21)]
    quotes = [quote(f"q{n:02}", f"r{n:02}", n + 1, creator_id=f"M{n:02}") for n in range(20)]
    hidden = quote("q20", "r20", 21, creator_id=None)
    path = tmp_path / "rfq.duckdb"
    published(path, Shown("desk", rfqs, [*quotes, followed(hidden, accepted=25)]))
    with duckdb.connect(path) as connection:
        as_table(connection, "rfq_facts")
        for table in ("rfq_facts", "quote_facts"):
            connection.execute(f"update marts.{table} set capture = 'live'")

    league = chart_rows(path, "makers", "makers").rows(named=True)
    lapses = chart_rows(path, "makers", "lapses").rows(named=True)

    assert len(league) == 21
    assert (league[-1]["who"], league[-1]["n_accepts"], league[-1]["n_lapsed"]) == ("hidden", 1, 1)
    assert [(row["who"], row["n"]) for row in lapses] == [("hidden", 1)]


# One as_of


def test_a_rendering_is_of_the_file_that_it_has_opened(
    both: Path, one: Path, tmp_path: Path
) -> None:
    """A file put in its place midway is the next rendering's, also beside the older one."""
    path = tmp_path / "rfq.duckdb"
    path.write_bytes(both.read_bytes())
    first, before = opened(Source(path)), version(Source(path))
    newer = tmp_path / "newer.duckdb"
    newer.write_bytes(one.read_bytes())

    newer.replace(path)
    second = opened(Source(path))

    assert version(Source(path)) != before
    assert n_rfqs(first) == 7
    assert n_rfqs(second) == 1
    assert n_rfqs(first) == 7


def n_rfqs(found: Published) -> int:
    return WrittenPage(content(found, PAGES["fills"], TODAY)).figures[
        "n_rfq_own", f"{DAY}T00:00:00Z"
    ][1]
