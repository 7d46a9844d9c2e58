"""Arrivals by hour of the week, New York time."""

from datetime import UTC, datetime, timedelta

import polars as pl

from tests.marts.facts import rfq, rfq_facts
from transforms.marts.activity import activity
from transforms.marts.arrivals import arrivals


def hours(*created: datetime) -> pl.DataFrame:
    rfqs = [rfq(f"r{i}", created_ts=ts) for i, ts in enumerate(created)]
    return activity(arrivals(rfq_facts(*rfqs))).collect()


def test_arrivals_stand_in_the_hour_of_the_exchange_not_of_utc():
    """Monday 03:30 UTC in January is Sunday 22:30 in New York: day 7, hour 6 x 24 + 22 = 166."""
    found = hours(datetime(2026, 1, 5, 3, 30, tzinfo=UTC)).row(0, named=True)

    assert (found["hour_of_week"], found["weekday"], found["hour"]) == (166, 7, 22)


def test_quiet_hours_within_the_span_count_as_zero():
    """From 12:30 to 14:15 UTC: 30, 60 and 15 minutes of 07:00, 08:00 and 09:00 in New York."""
    start = datetime(2026, 1, 5, 12, 30, tzinfo=UTC)

    found = hours(start, start, start + timedelta(minutes=105))

    assert found["hour"].to_list() == [7, 8, 9]
    assert found["spanned_minutes"].to_list() == [30, 60, 15]
    assert found["n_rfq"].to_list() == [2, 0, 1]
    assert found["rfqs_per_spanned_minute"].to_list() == [2 / 30, 0.0, 1 / 15]


def test_the_hour_that_autumn_repeats_is_spanned_twice():
    """On 2026-11-01 New York has 01:00 to 02:00 twice: 05:00 to 07:00 UTC."""
    found = hours(datetime(2026, 11, 1, 5, tzinfo=UTC), datetime(2026, 11, 1, 7, tzinfo=UTC))

    assert found.filter(hour=1)["spanned_minutes"].to_list() == [120]


def test_no_rfqs_make_no_hours():
    assert hours().height == 0
