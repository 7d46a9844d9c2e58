"""What a figure or a chart is of is what it says: which captures, RFQs, makers and days."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from notebooks.explore.address import read
from notebooks.explore.opening import Source, opened
from notebooks.explore.pages import NAMES, PAGES
from notebooks.explore.view import View
from notebooks.report.charts import wanted_charts
from notebooks.report.figures import Found, figures, values
from notebooks.report.scope import ask, open_scope
from notebooks.report.window import Unit, Window, Zone
from pipelines.commands.sql import examples
from tests.accounts import Shown, by, published
from tests.metrics.markets import closed_rfq, followed
from tests.metrics.markets import rfq as rfq_object
from tests.notebooks.exploring import DAY, TODAY, chart_rows, written
from tests.notebooks.test_report import SEED_DAYS, as_table
from transforms.definitions.clocks import incidence_of

OF_ONE_CAPTURE = re.compile(r"\bcapture = '(\w+)'")
STAGES = {"accepted": 310.0, "confirmed": 312.0, "executed": 327.0}


def found_of(path: Path, window: Window, unit: Unit = Unit.CENTS) -> dict[str, Found]:
    """Each figure of the report, by its name."""
    connection = opened(Source(path)).connection
    assert connection is not None
    scope = open_scope(connection, window)
    found = values(connection, scope, figures(scope, unit))
    return {each.figure.metric: each for each in found}


def of_one_day() -> Window:
    return Window(DAY, DAY + timedelta(days=1), Zone.UTC)


# Captures


def conditions_and_notes(path: Path, own: Path, **chosen: str) -> Iterator[tuple[str, str, str]]:
    """What each figure and chart asks for, and what it says of that: name, SQL, note."""
    connection = opened(Source(path)).connection
    assert connection is not None
    address = read(connection, TODAY | chosen)
    for name in NAMES:
        page = PAGES[name]
        scope = open_scope(
            *(connection, address.window, page.role, own),
            chosen=address.chosen,
            is_of_market=page.is_of_market,
        )
        for chart in page.charts(View(connection, scope, address)):
            yield f"{name}: {chart.name}", chart.query, chart.note
    scope = open_scope(connection, address.window, None, own, chosen=address.chosen)
    for chart in wanted_charts(scope, Unit.CENTS):
        yield chart.name, chart.query, chart.note
    for figure in figures(scope, Unit.CENTS):
        yield figure.metric, figure.of, figure.note


@pytest.mark.parametrize("chosen", [{}, {"maker": "A"}], ids=["all", "of a maker"])
def test_what_is_of_one_capture_says_of_which(
    both: Path, tmp_path: Path, chosen: dict[str, str]
) -> None:
    own = tmp_path / "own.csv"
    own.write_text("rfq_id,fair_yes,book\nt won,0.5,a\no filled,0.4,b\n")
    asked = list(conditions_and_notes(both, own, **chosen))

    of_one = [name for name, sql, _ in asked if OF_ONE_CAPTURE.search(sql)]
    silent = {
        name
        for name, sql, note in asked
        for capture in OF_ONE_CAPTURE.findall(sql)
        if not re.search(rf"\b{capture}\b", note)
    }
    assert len(of_one) > 60
    assert silent == set()


def test_the_chance_within_30_s_is_not_told_of_those_that_lived_long_apart(
    tmp_path: Path,
) -> None:
    """One was filled after 3 s, too soon to be watched; the watched one closed after 200 s.

    When the third was closed nobody knows.
    """
    stages = {"accepted": 1.0, "confirmed": 2.0, "executed": 3.0}
    quotes = [followed(by("A", "q1", "soon", 0.5, "0.5500"), **stages)]
    rfqs = [closed_rfq("soon", 0, 3), closed_rfq("watched", 0, 200)]
    undated = closed_rfq("undated", 0, 3)
    rfqs.append({k: v for k, v in undated.items() if k not in ("cancelled_ts", "updated_ts")})
    path = published(tmp_path / "rfq.duckdb", Shown("desk", rfqs, quotes)).path

    with duckdb.connect(path, read_only=True) as connection:
        captures = connection.sql("select capture from marts.rfq_facts order by 1").fetchall()
        ((legs, n, filled, _, _, closed),) = connection.sql(
            examples()["incidence_30s"].sql
        ).fetchall()

    assert captures == [("late",), ("live",), ("live",)]
    assert (legs, n, filled, closed) == (1, 2, 0.5, 0.0)


# RFQs that a maker's quotes choose


def test_of_rfqs_that_a_maker_has_quoted_no_share_is_quoted(both: Path) -> None:
    """Of what the account saw it quoted three of four; of what it quoted, that says nothing."""
    every, chosen = (written(both, "maker", **TODAY, **of) for of in ({}, {"maker": "desk"}))

    for page, is_told in ((every, True), (chosen, False)):
        metrics = {metric for metric, _ in page.figures}
        assert ("my_quote_rate" in metrics, "n_rfq_seen" in metrics) == (is_told, True)
        assert ("quoted_by_series" in page.charts) == is_told
    assert "that this maker quoted" in " ".join(chosen.text)


def test_where_rfqs_of_a_maker_died_is_told_of_those_that_were_watched(tmp_path: Path) -> None:
    """Of what nobody watched, the quotes that are held are those that were executed."""
    quotes = [by("A", "q1", "watched", 1, "0.5500")]
    quotes.append(followed(by("A", "q2", "late", 301, "0.5500"), **STAGES))
    rfqs = [closed_rfq("watched", 0, 60), closed_rfq("late", 300, 327)]
    path = published(tmp_path / "rfq.duckdb", Shown("desk", rfqs, quotes)).path

    every, of_a = (
        chart_rows(path, "fills", "died_where_requester", **chosen).select("bucket", "n").rows()
        for chosen in ({}, {"maker": "A"})
    )

    assert sorted(every) == [("abandoned", 1), ("executed_in_time", 1)]
    assert of_a == [("abandoned", 1)]


# Makers


def test_a_maker_whose_rfqs_are_gone_is_in_the_league_for_its_accepts(tmp_path: Path) -> None:
    """Z's two were accepted, and one of them was never confirmed. A answered what is held."""
    gone = [followed(by("Z", "z1", "gone 1", 10, "0.5500"), accepted=20)]
    stages = {"accepted": 40.0, "confirmed": 42.0, "executed": 57.0}
    gone.append(followed(by("Z", "z2", "gone 2", 30, "0.5500"), **stages))
    quotes = [by("A", "q1", "held", 1, "0.5500"), *gone]
    shown = Shown("desk", [closed_rfq("held", 0, 60)], quotes)
    path = published(tmp_path / "rfq.duckdb", shown).path

    rows = chart_rows(path, "makers", "makers", sort="lapses")

    assert rows.select("who", "n_quoted", "n", "n_accepts", "n_lapsed").rows() == [
        ("Z", 0, 0, 2, 1),
        ("A", 1, 1, 0, 0),
    ]


def test_a_quote_that_crosses_itself_is_no_best_price(tmp_path: Path) -> None:
    """B bids 60 cents for YES and for NO, which nobody can mean."""
    crossed = by("B", "q2", "r1", 2, "0.6000") | {"yes_bid_dollars": "0.6000"}
    quotes = [by("A", "q1", "r1", 1, "0.5500"), crossed]
    path = published(tmp_path / "rfq.duckdb", Shown("desk", [closed_rfq("r1", 0, 30)], quotes)).path

    rows = chart_rows(path, "rfq", "best_prices", rfq_id="r1")

    assert rows.select("from_s", "to_s", "best_bid_cents", "best_ask_cents").rows() == [
        (1.0, 2.0, 40.0, 45.0),
        (2.0, 30.0, 40.0, 45.0),
    ]
    assert rows["until_s"].unique().to_list() == [30.0]


# Days


def test_the_range_of_a_count_has_its_small_days_and_those_on_which_nothing_happened(
    tmp_path: Path,
) -> None:
    """Two RFQs yesterday, one the day before, and none on a third day that was observed."""
    rfqs = [rfq_object(f"r{n}", n) for n in range(9)]
    path = published(tmp_path / "rfq.duckdb", Shown("desk", rfqs)).path
    with duckdb.connect(path) as connection:
        as_table(connection, "rfq_facts")
        for rfq_id, days in (("r1", 1), ("r2", 1), ("r3", 2), *((f"r{n}", 4) for n in range(4, 9))):
            connection.execute(
                "update marts.rfq_facts set created_ts = created_ts - to_days($2),"
                " cohort_date = cohort_date - $2 where rfq_id = $1",
                [rfq_id, days],
            )
        # Four days before nobody looked for half of the day, in which one was asked.
        connection.execute(
            "insert into marts.trust by name"
            " select trust.* replace (cohort_date - n::int as cohort_date,"
            " if(n = 4, 0.5, 1.0) * hours_elapsed as hours_observed)"
            " from marts.trust, range(1, 5) t(n)"
            f" where cohort_date = date '{DAY}'"
        )

    found = found_of(path, of_one_day())

    assert found["n_rfq_own"].usual == (0.0, 2.0)
    assert found["executed_contracts"].usual == (0.0, 0.0)
    assert (found["n_rfq_own"].n_usual, found["fill_rate_matured"].n_usual) == (3, 0)


# Units


def test_a_figure_in_log_odds_is_not_called_dollars(both: Path) -> None:
    cents, logodds = (found_of(both, of_one_day(), unit) for unit in (Unit.CENTS, Unit.LOGODDS))

    for name in ("quote_spread", "cover_distance", "my_quote_spread"):
        assert (f"{name}_p50_dollars" in cents, f"{name}_p50_log_odds" in cents) == (True, False)
        in_odds = (f"{name}_p50_dollars" in logodds, f"{name}_p50_log_odds" in logodds)
        assert in_odds == (False, True)
    page = written(both, "cost", **TODAY, unit="logodds")
    assert ("quote_spread_p50_log_odds", f"{DAY}T00:00:00Z") in page.figures


# Curves


def test_the_band_of_the_page_is_that_of_the_marts(seed_one: dict[str, Path]) -> None:
    """One formula in SQL, another in polars, over the same bins."""
    window = {"since": str(SEED_DAYS[0]), "until": str(SEED_DAYS[3])}
    shown = chart_rows(seed_one["desk"], "fills", "fill_curves", **window)
    causes = {"executed": "n_filled", "closed": "n_closed", None: "n_censored"}
    counts = pl.concat(
        shown.select(
            *("time_s", pl.col(column).alias("n").cast(pl.Int64)),
            clock=pl.lit("fill"),
            capture=pl.lit("late"),
            n_legs="kind",
            cause=pl.lit(cause, pl.String),
        )
        for cause, column in causes.items()
    )

    marts = incidence_of(counts.lazy(), {"fill": ("executed", "closed")}).collect()

    wanted = marts.filter(cause="executed").sort("n_legs", "time_s")
    page = shown.sort("kind", "time_s")
    assert page.height > 30
    assert page.filter("is_thin").height > 0
    for ours, theirs in (
        ("n_risk", "n_risk"),
        ("incidence", "incidence"),
        ("low", "incidence_low"),
        ("high", "incidence_high"),
    ):
        assert page[ours].to_list() == pytest.approx(wanted[theirs].to_list()), ours


def test_what_took_an_unknown_time_is_in_no_curve(tmp_path: Path) -> None:
    """The second was confirmed before it was accepted, so that nobody knows when it filled."""
    stages = {"accepted": 10.0, "confirmed": 12.0, "executed": 27.0}
    quotes = [
        followed(by("A", "q1", "r1", 1, "0.5500"), **stages),
        followed(by("A", "q2", "r2", 1, "0.5500"), **stages | {"confirmed": 8.0}),
    ]
    rfqs = [closed_rfq("r1", 0, 27), closed_rfq("r2", 0, 27)]
    path = published(tmp_path / "rfq.duckdb", Shown("desk", rfqs, quotes)).path

    rows = chart_rows(path, "fills", "fill_curves")

    assert rows.select("n_start", "n_filled", "incidence").rows() == [(1, 1, 1.0)]
    connection = opened(Source(path)).connection
    assert connection is not None
    start = "select max(n_risk)::int as n from marts.survival_curves where clock = 'fill'"
    assert ask(connection, start).rows() == [(1,)]
