"""The curves against lifelines, which estimates them independently."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import AalenJohansenFitter, KaplanMeierFitter

from tests.profile import IS_NIGHTLY
from transforms.definitions.clocks import incidence

SAMPLES = 60 if IS_NIGHTLY else 20
EXECUTED, CLOSED, OPEN = 1, 2, 0
NAMES = {EXECUTED: "executed", CLOSED: "closed", OPEN: None}
SCHEMA = {
    "clock": pl.String,
    "capture": pl.String,
    "n_legs": pl.Int64,
    "time_s": pl.Float64,
    "cause": pl.String,
}

causes = st.lists(st.sampled_from([EXECUTED, CLOSED, OPEN]), min_size=2, max_size=60).filter(
    lambda found: EXECUTED in found
)
# lifelines moves tied times apart at random, so the times that it sees are all different.
lives = causes.flatmap(
    lambda found: st.permutations(range(1, len(found) + 1)).map(
        lambda ages: list(zip(ages, found, strict=True))
    )
)


@settings(max_examples=SAMPLES, deadline=None)
@given(lives)
def test_incidence_is_that_of_aalen_and_johansen(lives: list[tuple[int, int]]) -> None:
    ages, found = zip(*lives, strict=True)

    fitted = AalenJohansenFitter(calculate_variance=False).fit(
        ages, found, event_of_interest=EXECUTED
    )

    theirs = fitted.cumulative_density_.iloc[:, 0]
    for row in curve(lives).iter_rows(named=True):
        assert row["incidence"] == pytest.approx(theirs.loc[row["time_s"]], abs=1e-12)


@settings(max_examples=SAMPLES, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.sampled_from([EXECUTED, OPEN])), min_size=1))
def test_without_competition_it_is_that_of_kaplan_and_meier(lives: list[tuple[int, int]]) -> None:
    ages, found = zip(*lives, strict=True)

    fitted = KaplanMeierFitter().fit(ages, [cause == EXECUTED for cause in found])

    theirs = fitted.survival_function_.iloc[:, 0]
    for row in curve(lives).iter_rows(named=True):
        assert 1 - row["incidence"] == pytest.approx(theirs.loc[row["time_s"]], abs=1e-12)


def curve(lives: list[tuple[int, int]]) -> pl.DataFrame:
    observed = pl.LazyFrame(
        [("fill", "live", 1, float(age), NAMES[cause]) for age, cause in lives],
        SCHEMA,
        orient="row",
    )
    return incidence(observed).filter(pl.col("cause") == "executed").collect()
