"""Aalen-Johansen against a second implementation, term by term, and its invariants."""

import math
from collections.abc import Sequence
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.metrics.markets import MIDNIGHT, closed_rfq, followed, many_markets, quote, rfq
from tests.metrics.warehouse import warehouse
from transforms.definitions.clocks import first_time_at, incidence, observations
from transforms.marts.curve_counts import counted, curve_counts, time_bin
from transforms.marts.survival_curves import survival_curves
from transforms.settings import Settings

Observation = tuple[float, str | None]
SCHEMA = {
    **{"clock": pl.String, "capture": pl.String},
    **{"n_legs": pl.Int64, "time_s": pl.Float64, "cause": pl.String},
}

ages = st.integers(0, 40).map(lambda tenths: tenths / 10)
fill_lives = st.lists(st.tuples(ages, st.sampled_from(["executed", "closed", None])), min_size=1)


@given(fill_lives)
def test_incidence_and_variance_are_those_of_the_textbook_sums(lives: list[Observation]) -> None:
    curve = fill_curve(lives).filter(cause="executed").sort("time_s")

    for row in curve.iter_rows(named=True):
        expected, variance = textbook(lives, "executed", row["time_s"])
        low, high = band(expected, variance)
        assert row["incidence"] == pytest.approx(expected, abs=1e-12)
        assert row["incidence_low"] == pytest.approx(low, abs=1e-7)
        assert row["incidence_high"] == pytest.approx(high, abs=1e-7)


@given(fill_lives)
def test_all_causes_and_survival_add_up_to_one(lives: list[Observation]) -> None:
    curve = fill_curve(lives)

    total = curve.group_by("time_s").agg(pl.col("incidence").sum() + pl.col("survival").first())
    assert total["incidence"].to_list() == pytest.approx([1.0] * total.height)


@given(fill_lives)
def test_kaplan_meier_never_reads_less_than_the_incidence(lives: list[Observation]) -> None:
    curve = fill_curve(lives)

    assert (curve["km_incidence"] >= curve["incidence"] - 1e-12).all()


def test_a_share_above_the_plateau_has_no_time() -> None:
    curve = fill_curve([(1.0, "executed"), (2.0, "closed"), (3.0, "closed")])

    executed = curve.filter(cause="executed")
    assert first_time_at(executed, 1 / 3) == 1.0
    assert first_time_at(executed, 0.5) is None


def test_legs_are_never_pooled_in_the_mart() -> None:
    lives = pl.LazyFrame(
        [("fill", "live", 1, 1.0, "executed"), ("fill", "live", 2, 1.0, "closed")],
        SCHEMA,
        orient="row",
    )

    curve = incidence(lives).filter(cause="executed").collect().sort("n_legs")

    assert curve["n_risk"].to_list() == [1, 1]
    assert curve["incidence"].to_list() == [1.0, 0.0]


@pytest.mark.parametrize("is_watched", [True, False])
def test_binning_keeps_every_event_and_the_height_at_the_edge(is_watched: bool) -> None:
    """Exactly where nobody was censored in a bin with an event so far, and nearly elsewhere."""
    market = many_markets(7)
    when = Settings(as_of=MIDNIGHT + timedelta(days=1), is_watched=is_watched)
    with warehouse(market.rfqs, market.quotes, when) as marts:
        facts = marts["rfq_facts"].lazy(), marts["quote_facts"].lazy()
        binned = survival_curves(curve_counts(*facts, when), *facts, when).collect()
        exact = incidence(observations(*facts, when)).collect()

    key = ["clock", "cause", "capture", "n_legs"]
    assert binned.select(*key, "time_bin").is_unique().all()
    assert binned["n_events"].sum() == exact["n_events"].sum()
    compared = binned.join(at_edges(exact, key), on=[*key, "time_bin"], nulls_equal=True)
    assert compared.height == binned.height
    is_mixed = (pl.col("n_censored") > 0) & (pl.col("n_events") + pl.col("n_competing") > 0)
    for name in ("incidence", "incidence_low", "incidence_high"):
        apart = compared.select(
            *("n_risk", (pl.col(name) - pl.col(f"{name}_exact")).abs().alias("apart")),
            is_mixed=is_mixed.cum_sum().over(key, order_by="time_bin") > 0,
        )
        assert apart.filter(~pl.col("is_mixed"))["apart"].max() < 1e-12
        assert (apart.filter("is_mixed")["apart"] < 0.002).all()
        assert apart["is_mixed"].any() != is_watched


def test_a_curve_is_thin_where_most_of_those_at_risk_are_censored_in_the_bin() -> None:
    """Of a hundred 95 are censored at 101 s, two are accepted at 102 s, in the same bin."""
    row = {"cohort_date": MIDNIGHT.date(), "clock": "accept", "capture": "live", "n_legs": 1}
    lives = [(101.0, None)] * 95 + [(102.0, "accepted")] * 2 + [(300.0, "ended")] * 3
    observed = pl.LazyFrame(
        [{**row, "time_s": time_s, "cause": cause} for time_s, cause in lives],
        SCHEMA | {"cohort_date": pl.Date},
    )
    when = Settings(as_of=MIDNIGHT + timedelta(days=1))
    with warehouse([], [], when) as nothing:
        waiting = nothing["rfq_facts"].lazy(), nothing["quote_facts"].lazy()
        curve = survival_curves(counted(observed), *waiting, when).collect()

    accepted = curve.filter(cause="accepted").sort("time_bin")
    assert accepted.select("n_risk", "n_censored", "is_thin").rows() == [
        (100, 95, True),
        (3, 0, True),
    ]


def at_edges(exact: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """The last height of each curve within each time bin."""
    last = pl.col("incidence", "incidence_low", "incidence_high").last().name.suffix("_exact")
    binned = exact.sort("time_s").with_columns(time_bin=time_bin())
    return binned.group_by(*key, "time_bin", maintain_order=True).agg(last)


def test_what_vanished_is_censored_where_it_was_last_seen() -> None:
    """An RFQ and its quote are seen open at 8 s and unknown to the exchange at 100 s."""
    when = Settings(as_of=MIDNIGHT + timedelta(seconds=500))
    gone = [("rfqs", "r1", 100.0), ("quotes", "q1", 100.0)]

    with warehouse([rfq("r1", 0)], [quote("q1", "r1", 2)], when, gone, seen_s=8) as marts:
        observed = observations(
            marts["rfq_facts"].lazy(), marts["quote_facts"].lazy(), when
        ).collect()

    censored = {clock: (time_s, cause) for *_, cause, time_s, clock in observed.iter_rows()}
    assert censored["fill"] == (8.0, None)
    assert censored["lifetime"] == (6.0, None)


def test_a_cancellation_of_unknown_cause_is_censored_and_the_incidences_add_up() -> None:
    """Of our RFQ nobody shows when it closed: q1 of 29 s was withdrawn, or ended with it."""
    when = Settings(as_of=MIDNIGHT + timedelta(seconds=500), is_watched=True)
    closed = rfq("r1", status="closed", updated_ts=None)
    answers = [
        followed(quote("q1", "r1", 1), cancelled=30),
        followed(quote("q2", "r1", 1, creator_id="B"), accepted=40),
        followed(quote("q3", "r1", 1, creator_id="C"), accepted=20),
    ]

    with warehouse([closed], answers, when) as marts:
        facts = marts["rfq_facts"].lazy(), marts["quote_facts"].lazy()
        observed = observations(*facts, when).filter(clock="lifetime").collect()

    assert marts["quote_facts"].filter(quote_id="q1")["end_cause"].item() == "unknown"
    lives = observed.select("time_s", "cause").sort("time_s").rows()
    assert lives == [(19.0, "accepted"), (29.0, None), (39.0, "accepted")]
    curves = incidence(observed.lazy()).filter(clock="lifetime").collect()
    total = curves.group_by("time_s").agg(pl.col("incidence").sum() + pl.col("survival").first())
    assert total["incidence"].to_list() == pytest.approx([1.0] * total.height)


def test_a_lapse_competes_at_the_end_of_the_window() -> None:
    """Or where the maker took the accepted quote back, if that was earlier."""
    when = Settings(as_of=MIDNIGHT + timedelta(seconds=500))
    lapsed = followed(quote("q1", "r1"), accepted=5)
    confirmed = followed(quote("q2", "r2"), accepted=5, confirmed=9)
    pending = followed(quote("q3", "r3"), accepted=490)

    taken_back = followed(quote("q4", "r4"), accepted=5, cancelled=17)

    requests = [closed_rfq("r1", 0, 60), rfq("r2"), rfq("r3"), rfq("r4")]
    with warehouse(requests, [lapsed, confirmed, pending, taken_back], when) as marts:
        observed = observations(
            marts["rfq_facts"].lazy(), marts["quote_facts"].lazy(), when
        ).collect()

    confirms = observed.filter(clock="confirm").select("time_s", "cause").sort("time_s").rows()
    assert confirms == [*((4.0, "confirmed"), (10.0, None), (12.0, "lapsed"), (30.0, "lapsed"))]


def fill_curve(lives: Sequence[Observation]) -> pl.DataFrame:
    rows = [("fill", "live", 1, time_s, cause) for time_s, cause in lives]
    return incidence(pl.LazyFrame(rows, SCHEMA, orient="row")).filter(clock="fill").collect()


def textbook(lives: Sequence[Observation], cause: str, until_s: float) -> tuple[float, float]:
    """Incidence at *until_s* and its delta-method variance, each sum written out."""
    steps = []
    incidence_so_far, survival = 0.0, 1.0
    for time_s in sorted({time_s for time_s, _ in lives if time_s <= until_s}):
        n = sum(other >= time_s for other, _ in lives)
        d = sum(other == time_s and of is not None for other, of in lives)
        d_k = sum(other == time_s and of == cause for other, of in lives)
        incidence_so_far += survival * d_k / n
        steps.append((n, d, d_k, survival, incidence_so_far))
        survival *= 1 - d / n
    total = incidence_so_far
    variance = sum(
        (total - f) ** 2 * (d / (n * (n - d)) if n > d else 0)
        + s**2 * d_k * (n - d_k) / n**3
        - 2 * (total - f) * s * d_k / n**2
        for n, d, d_k, s, f in steps
    )
    return total, max(variance, 0.0)


def band(share: float, variance: float) -> tuple[float, float]:
    if not 1e-12 < share < 1 - 1e-12:
        return share, share
    width = 1.959963984540054 * math.sqrt(variance) / (share * math.log(share))
    return share ** math.exp(-width), share ** math.exp(width)
