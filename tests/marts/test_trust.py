"""What a day's record has to be for each verdict, to the edge."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from tests.marts.facts import (
    coverage,
    foreign_minutes,
    looked_hours,
    read,
    read_stretches,
    rfq,
    rfq_facts,
)
from transforms.marts.arrivals import arrivals
from transforms.marts.trust import trust
from transforms.settings import Settings

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
LISTS = ("rfqs_market", "quotes_made", "quotes_received")
Row = dict[str, Any]


def read_of_all(since: datetime, until: datetime, forgotten: datetime | None = None) -> list[Row]:
    return [read(name, since, until, forgotten) for name in LISTS]


WHOLE = read_of_all(MONDAY - DAY, MONDAY + 5 * DAY)


def days(
    runs: list[Row],
    rfqs: list[Row] | None = None,
    compared: list[tuple[datetime, int, int]] | None = None,
    as_of: datetime = MONDAY + DAY,
    looked: pl.LazyFrame | None = None,
) -> pl.DataFrame:
    """The mart; one watched RFQ of our own on Monday noon, if not told."""
    log, shown = read_stretches(*runs), Settings(as_of=as_of)
    held = arrivals(rfq_facts(*([own()] if rfqs is None else rfqs)), foreign_minutes(), log, shown)
    hours = looked_hours(as_of) if looked is None else looked
    return trust(held, log, coverage(*(compared or [])), hours, shown).collect()


def own(created: datetime = MONDAY + DAY / 2, **changes: Any) -> Row:
    return rfq(f"r{created}", created_ts=created, cohort_date=created.date(), **changes)


def verdict(*args: Any, **kwargs: Any) -> str:
    ((found,),) = days(*args, **kwargs).select("verdict").rows()
    return str(found)


def test_a_day_read_and_watched_whole_is_clean():
    (row,) = days(WHOLE, compared=[(MONDAY + DAY / 3, 40, 0)]).rows(named=True)

    assert row == {
        "cohort_date": date(2026, 1, 5),
        "hours_elapsed": 24.0,
        "hours_observed": 24.0,
        "n_gaps": 0,
        "longest_gap_s": None,
        "n_rfq": 1,
        "n_rfq_own_or_quoted": 1,
        "n_rfq_watched": 1,
        "share_watched": 1.0,
        "open_rfqs_listed": 40,
        "open_rfqs_missed": 0,
        "share_missed": 0.0,
        "verdict": "clean",
        "hours_looked": 0.0,
        "looked_s_by_hour": [0.0] * 24,
        "longest_pause_s_by_hour": [None] * 24,
    }


def test_looks_are_told_by_the_hour_up_to_as_of() -> None:
    """Of both sides from 01:59:00 on with a pause of 70 s from 02:00:20 to 02:01:30, to 02:02:00.

    Of the quotes made the last half minute is missing. As of 02:01:50.
    """
    two = MONDAY + timedelta(hours=2)
    both = ("made", "received")
    stretches = [
        *((side, two - 60 * SECOND, two - 5 * SECOND, 5.0) for side in both),
        *((side, two + 5 * SECOND, two + 20 * SECOND, 10.0) for side in both),
        ("made", two + 90 * SECOND, two + 95 * SECOND, 5.0),
        ("received", two + 90 * SECOND, two + 120 * SECOND, 5.0),
    ]

    as_of = two + 110 * SECOND
    (row,) = days(WHOLE, as_of=as_of, looked=looked_hours(as_of, *stretches)).rows(named=True)

    assert row["looked_s_by_hour"][:4] == [0.0, 60.0, 20.0 + 5.0, 0.0]
    assert row["longest_pause_s_by_hour"][:4] == [None, 10.0, 10.0, None]
    assert row["hours_looked"] == pytest.approx(85 / 3600)


def test_one_second_that_was_not_read_of_one_list_makes_it_partial():
    """Quotes received from the day before to 06:00:00, and from 06:00:01 on."""
    edge = MONDAY + timedelta(hours=6)
    runs = [
        *WHOLE[:2],
        read("quotes_received", MONDAY - DAY, edge),
        read("quotes_received", edge, MONDAY + DAY, forgotten=edge + SECOND),
    ]

    (row,) = days(runs).rows(named=True)

    assert (row["n_gaps"], row["longest_gap_s"], row["verdict"]) == (1, 1.0, "partial")
    assert row["hours_observed"] == pytest.approx(24 - 1 / 3600)


def test_a_gap_that_ends_as_the_day_begins_is_none_of_its_own():
    assert verdict(read_of_all(MONDAY, MONDAY + DAY)) == "clean"
    assert verdict(read_of_all(MONDAY + SECOND, MONDAY + DAY)) == "partial"


def test_a_day_is_missing_where_not_a_second_of_it_was_read():
    """Read to midnight and from midnight on; or a second on either side."""
    before, after_it = (
        read_of_all(MONDAY - DAY, MONDAY),
        read_of_all(MONDAY + DAY, MONDAY + 2 * DAY),
    )
    as_of = MONDAY + 2 * DAY

    found = days([*before, *after_it], as_of=as_of)

    assert found.select("verdict", "hours_observed").rows() == [("missing", 0.0), ("clean", 24.0)]
    some = read_of_all(MONDAY - DAY, MONDAY + SECOND)
    assert days([*some, *after_it], as_of=as_of)["verdict"].to_list() == ["partial", "clean"]


@pytest.mark.parametrize(("watched", "expected"), [(2, "clean"), (1, "partial"), (0, "partial")])
def test_half_of_the_rfqs_whose_quotes_we_see_must_have_been_watched(watched, expected):
    """Of 3 own ones and 1 quoted one 2 are half, and 1 is less; strangers' do not count."""
    captures = ["live"] * watched + ["late"] * (4 - watched)
    rfqs = [
        own(MONDAY + i * SECOND, capture=capture, visibility="own" if i else "quoted")
        for i, capture in enumerate(captures)
    ]
    foreign = own(MONDAY + DAY / 4, capture="late", visibility="foreign")

    (row,) = days(WHOLE, [*rfqs, foreign]).rows(named=True)

    assert (row["n_rfq"], row["n_rfq_own_or_quoted"], row["n_rfq_watched"]) == (5, 4, watched)
    assert (row["share_watched"], row["verdict"]) == (watched / 4, expected)


def test_where_there_was_nothing_to_watch_nothing_is_asked_of_it():
    foreign = own(capture="late", visibility="foreign")

    assert verdict(WHOLE, [foreign]) == "clean"


def test_one_rfq_missed_among_those_compared_makes_it_partial():
    """The two comparisons of Monday add up to 1 of 150; that of Tuesday is Tuesday's."""
    at = [MONDAY, MONDAY + DAY - SECOND, MONDAY + DAY]

    found = days(
        WHOLE,
        [own(), own(MONDAY + 5 * DAY / 4)],
        [(at[0], 50, 0), (at[1], 100, 1), (at[2], 30, 0)],
        as_of=MONDAY + 2 * DAY,
    )

    assert found.select(
        "open_rfqs_listed", "open_rfqs_missed", "share_missed", "verdict"
    ).rows() == [
        (150, 1, 1 / 150, "partial"),
        (30, 0, 0.0, "clean"),
    ]


def test_a_day_without_rfqs_in_an_outage_has_its_row():
    """Monday read, then nothing for three days: gone when the next run came on Friday noon."""
    friday = MONDAY + 4 * DAY
    runs = [
        *read_of_all(MONDAY - DAY, MONDAY + DAY),
        *read_of_all(MONDAY + DAY, friday + DAY / 2, forgotten=friday + DAY / 4),
    ]

    found = days(runs, as_of=friday + DAY / 2)

    assert found.select(
        "cohort_date", "verdict", "n_rfq", "hours_elapsed", "hours_observed"
    ).rows() == [
        (date(2026, 1, 5), "clean", 1, 24.0, 24.0),
        (date(2026, 1, 6), "missing", 0, 24.0, 0.0),
        (date(2026, 1, 7), "missing", 0, 24.0, 0.0),
        (date(2026, 1, 8), "missing", 0, 24.0, 0.0),
        (date(2026, 1, 9), "partial", 0, 12.0, 6.0),
    ]


def test_an_rfq_from_before_anything_was_read_has_its_day_and_the_days_between_have_none():
    """Known by its quote, which the exchange keeps for good."""
    old = own(datetime(2025, 3, 1, 12, tzinfo=UTC), capture="backfill")

    found = days(read_of_all(MONDAY, MONDAY + DAY), [old, own()])

    assert found.select("cohort_date", "verdict").rows() == [
        (date(2025, 3, 1), "missing"),
        (date(2026, 1, 5), "clean"),
    ]


def test_the_last_day_counts_up_to_as_of_and_not_before_it_has_begun():
    found = days(WHOLE, as_of=MONDAY + DAY)
    later = days(WHOLE, as_of=MONDAY + DAY + timedelta(hours=3))

    assert found["cohort_date"].to_list() == [date(2026, 1, 5)]
    assert later.select("hours_elapsed", "hours_observed", "verdict").rows()[1] == (3, 3, "clean")


def test_without_a_pass_on_record_nothing_was_observed():
    found = days([])

    assert found.select("hours_observed", "verdict").rows() == [(0.0, "missing")]
