"""Each form, from rows to shapes: how many there are, where they stand, what they are called."""

import re
from datetime import date
from itertools import pairwise

import polars as pl
import pytest

from notebooks.explore.forms import lanes, prices, steps
from notebooks.report.drawing import Scale, bars, calendar, curves, quartiles, rates

RATES = pl.DataFrame(
    {"by": ["a", "<b>"], "rate": [0.5, 0.25], "low": [0.4, 0.0], "high": [0.6, 0.5], "n": [40, 4]}
)


def marks(drawn: str, kind: str) -> list[str]:
    """The shapes of one kind, without what a pointer is told of them."""
    inner = re.findall(rf'<g class="mark-{kind}">(.*?)</g>', drawn)
    return re.findall(r"<(?:path|text)[^>]*>", "".join(inner))


def width_of(box: str) -> float:
    return float(re.findall(r"h([\d.]+)v", box)[0])


def test_ticks_are_round() -> None:
    assert Scale(0, 0.6, 0, 100).ticks() == pytest.approx([0, 0.2, 0.4, 0.6])
    assert Scale(-3, 1, 0, 100).ticks() == [-3, -2, -1, 0, 1]
    assert Scale(0.1, 1000, 0, 100, is_log=True).ticks() == pytest.approx([0.1, 1, 10, 100, 1000])


def test_a_scale_has_its_edges_at_its_ends() -> None:
    scale = Scale(1, 100, 10, 30, is_log=True)

    assert [scale(1), scale(10), scale(100), scale(1e9)] == [10, 20, 30, 30]


@pytest.mark.parametrize("is_lying", [False, True])
def test_a_rate_is_a_dot_on_its_interval_and_hollow_under_30(is_lying: bool) -> None:
    drawn = rates(RATES, "by", "rate", is_lying=is_lying)

    dots = marks(drawn, "symbol")
    assert (len(dots), len(marks(drawn, "rule")), len(marks(drawn, "text"))) == (2, 2, 2)
    assert ['fill="none"' in dot for dot in dots] == [False, True]
    assert "&lt;b&gt;" in drawn
    assert "<b>" not in drawn


def test_days_without_a_row_stay_empty_and_those_with_gaps_are_hatched() -> None:
    days = [date(2026, 11, day) for day in (17, 18, 19)]
    rows = RATES.with_columns(by=pl.Series([days[0], days[2]]))

    drawn = rates(rows, "by", "rate", days=days, hatched={days[1]: "0.0 of 24.0 hours observed"})

    assert len(marks(drawn, "symbol")) == 2
    assert drawn.count('fill="url(#hatched)"') == 1
    assert "0.0 of 24.0 hours observed" in drawn


def test_a_bar_is_as_long_as_its_count() -> None:
    drawn = bars(
        pl.DataFrame({"by": ["a", "b"], "n": [200, 50], "share": [0.8, 0.2]}),
        "by",
        "n",
        "share",
        "%",
    )

    long, short = (width_of(box) for box in marks(drawn, "rect"))
    assert long == pytest.approx(4 * short, rel=0.01)
    assert "200 · 80.0 %" in drawn


def test_quartiles_are_told_apart_by_shape_and_have_their_unit() -> None:
    rows = pl.DataFrame(
        {"by": ["x", "x"], "kind": ["combos", "singles"], "n": [30, 30], "p25_cents": [1.0, -2.0],
         "p50_cents": [2.0, 0.0], "p75_cents": [3.0, 1.0]}
    )  # fmt: skip

    drawn = quartiles(rows, "by", "cents", "percentage points")

    round_, square = marks(drawn, "symbol")
    assert ("a3.6" in round_, "h6.4" in square) == (True, True)
    assert ">percentage points<" in drawn
    assert ">combos<" in drawn


def test_a_curve_has_a_band_and_those_who_still_wait() -> None:
    rows = pl.DataFrame(
        {"kind": ["combos"] * 2, "time_s": [1.0, 50.0], "n_risk": [9, 4], "incidence": [0.2, 0.6],
         "low": [0.1, 0.4], "high": [0.3, 0.8], "is_thin": [False] * 2}
    )  # fmt: skip

    drawn = curves(rows)

    assert (len(marks(drawn, "area")), len(marks(drawn, "line"))) == (1, 1)
    waiting = re.findall(r">([\d,]+)</text>", drawn[drawn.index("still waiting") :])
    assert waiting == ["9", "4", "4", "0"]


def test_where_few_wait_there_is_no_curve() -> None:
    """Of the singles too few wait from the first on; of the combos the last step is left out."""
    rows = pl.DataFrame(
        {"kind": ["combos"] * 2 + ["singles"], "time_s": [1.0, 50.0, 2.0], "n_risk": [40, 4, 3],
         "incidence": [0.2, 0.6, 1.0], "low": [0.1, 0.4, 1.0], "high": [0.3, 0.8, 1.0],
         "is_thin": [False, True, True]}
    )  # fmt: skip

    drawn = curves(rows)

    assert (len(marks(drawn, "area")), len(marks(drawn, "line"))) == (1, 1)
    assert (">30%<" in drawn, ">80%<" in drawn) == (True, False)
    assert curves(rows.filter("is_thin")).count("still waiting") == 1


def test_a_day_is_a_square_with_its_verdict() -> None:
    rows = pl.DataFrame(
        {"day": [date(2026, 11, 16), date(2026, 11, 24)], "verdict": ["clean", "missing"],
         "hours_observed": [24.0, 0.0], "hours_elapsed": [24.0, 24.0]}
    )  # fmt: skip

    drawn = calendar(rows)

    full, empty = (
        float(re.findall(r'fill-opacity="([\d.]+)"', box)[0]) for box in marks(drawn, "rect")
    )
    assert full > 0.8 > 0.1 > empty
    assert ("✓" in drawn, "×" in drawn, ">23 Nov<" in drawn) == (True, True, True)


def test_stairs_have_a_line_for_each_kind_dashed_apart() -> None:
    rows = pl.DataFrame({"kind": ["combos", "singles"], "time_s": [1.0, 2.0], "share": [1.0, 1.0]})

    solid, dashed = marks(steps(rows, "kind", "time_s", "share"), "line")

    assert ("dasharray" in solid, "dasharray" in dashed) == (False, True)


def test_a_lane_has_a_bar_for_each_version_and_letters_none_upon_another() -> None:
    rows = pl.DataFrame(
        {"maker": ["A", "A"], "version": [1, 2], "quoted_s": [1.0, 5.0], "ended_s": [5.0, 10.0],
         "accepted_s": [None, 10.0], "confirmed_s": [None, 10.0], "executed_s": [None, 10.0],
         "yes_bid_cents": [40.0, 41.0], "yes_ask_cents": [45.0, 44.0], "until_s": [10.0, 10.0]}
    )  # fmt: skip

    drawn = lanes(rows)

    assert [width_of(box) for box in marks(drawn, "rect")] == pytest.approx([96, 120], abs=1)
    places = [float(x) for text in marks(drawn, "text") for x in re.findall(r' x="([\d.]+)"', text)]
    assert [b - a for a, b in pairwise(places)] == pytest.approx([10, 10])


def test_a_quote_that_is_no_response_has_a_bar_of_its_own_colour() -> None:
    """It came after the end, or without a bid, and is no version."""
    rows = pl.DataFrame(
        {"maker": ["A", "A"], "version": [1, None], "quoted_s": [1.0, 8.0], "ended_s": [5.0, 9.0],
         "accepted_s": [None, None], "confirmed_s": [None, None], "executed_s": [None, None],
         "yes_bid_cents": [40.0, None], "yes_ask_cents": [45.0, None], "until_s": [10.0, 10.0]}
    )  # fmt: skip

    drawn = lanes(rows)

    assert "A no response" in drawn
    assert len({re.findall(r'fill="(#\w+)"', box)[0] for box in marks(drawn, "rect")}) == 2


def test_rows_of_one_name_have_a_line_each() -> None:
    drawn = rates(pl.concat([RATES, RATES]), "by", "rate", is_lying=True)

    ys = [float(y) for y in re.findall(r"M[\d.]+ ([\d.]+)", "".join(marks(drawn, "symbol")))]
    assert len({round(y) for y in ys}) == 4
    assert drawn.count("&lt;b&gt;</text>") == 2


def test_prices_stand_from_one_moment_to_the_next() -> None:
    rows = pl.DataFrame(
        {"from_s": [0.0, 5.0], "to_s": [5.0, 10.0], "best_bid_cents": [40.0, None],
         "best_ask_cents": [45.0, 44.0], "until_s": [10.0, 10.0]}
    )  # fmt: skip

    drawn = prices(rows)

    assert len(marks(drawn, "line")) == 3
    assert sum("dasharray" in line for line in marks(drawn, "line")) == 2
