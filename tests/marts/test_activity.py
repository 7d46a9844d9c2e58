"""Arrivals by hour of the week, New York time, over the minutes that were observed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from tests.marts.facts import foreign_minutes, read, read_stretches, rfq, rfq_facts
from transforms.marts.activity import activity
from transforms.marts.arrivals import arrivals
from transforms.settings import Settings

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
START = MONDAY + timedelta(hours=12, minutes=30)


def hours(
    *created: datetime, runs: list[dict[str, Any]] | None = None, as_of: datetime | None = None
) -> pl.DataFrame:
    """The mart, of RFQs created then; everything since the first one was read, if not told."""
    until = as_of or max(created, default=MONDAY)
    read_whole = [read("rfqs_market", MONDAY - timedelta(days=9), until)]
    log, shown = read_stretches(*(read_whole if runs is None else runs)), Settings(as_of=until)
    rfqs = [
        rfq(f"r{i}", created_ts=ts, cohort_date=ts.date(), is_combo=i == 0)
        for i, ts in enumerate(created)
    ]
    held = arrivals(rfq_facts(*rfqs), foreign_minutes(), log, shown)
    return activity(held, log, shown).collect()


def test_arrivals_stand_in_the_hour_of_the_exchange_not_of_utc():
    """Monday 03:30 UTC in January is Sunday 22:30 in New York: day 7, hour 6 x 24 + 22 = 166."""
    created = MONDAY + timedelta(hours=3, minutes=30)
    found = hours(created, as_of=created + timedelta(minutes=1)).row(0, named=True)

    assert (found["hour_of_week"], found["weekday"], found["hour"]) == (166, 7, 22)


def test_quiet_hours_that_were_read_count_as_zero_up_to_as_of():
    """From 12:30 to 14:20 UTC: 30, 60 and 20 minutes of 07:00, 08:00 and 09:00 in New York."""
    found = hours(
        START, START, START + timedelta(minutes=105), as_of=START + timedelta(minutes=110)
    )

    assert found["hour"].to_list() == [7, 8, 9]
    assert found["observed_minutes"].to_list() == [30, 60, 20]
    assert found["n_rfq"].to_list() == [2, 0, 1]
    assert found["n_rfq_combo"].to_list() == [1, 0, 0]
    assert found["rfqs_per_observed_minute"].to_list() == [2 / 30, 0.0, 1 / 20]


def test_an_outage_is_in_neither_numerator_nor_denominator():
    """Read from 12:30 to 12:50, then again what the exchange still had, from 14:10 to 14:30.

    Of 07:00 in New York 20 minutes with 2 RFQs were observed, of 09:00 20 with 1, of 08:00 none.
    The RFQ of 13:15 is known by its quote alone: it is held, and no arrival of an observed minute.
    """
    at = [START + timedelta(minutes=m) for m in (0, 15, 45, 105)]
    runs = [
        read("rfqs_market", MONDAY, START + timedelta(minutes=20)),
        read(
            "rfqs_market",
            at[0] + timedelta(minutes=20),
            at[0] + timedelta(minutes=120),
            at[0] + timedelta(minutes=100),
        ),
    ]

    found = hours(*at, runs=runs, as_of=START + timedelta(minutes=120))

    assert found["hour"].to_list() == [7, 9]
    assert found["observed_minutes"].to_list() == [20, 20]
    assert found["n_rfq"].to_list() == [2, 1]
    assert found["rfqs_per_observed_minute"].to_list() == [2 / 20, 1 / 20]


def test_a_run_that_failed_leaves_no_gap_once_a_later_one_has_read_what_it_missed():
    """The second pass did not move the watermark; the third has read from where the first ended."""
    ends = [START + timedelta(minutes=m) for m in (10, 30)]
    runs = [
        read("rfqs_market", MONDAY, ends[0]),
        read("rfqs_market", ends[0], ends[0]),
        read("rfqs_market", ends[0], ends[1]),
    ]

    found = hours(START, runs=runs, as_of=ends[1])

    assert found["observed_minutes"].to_list() == [30]


def test_what_nobody_has_read_makes_no_hours():
    """Whether no pass is on record, or none of the list that shows the RFQs held."""
    other_lists = [read(name, MONDAY, START) for name in ("rfqs_self", "quotes_made")]

    assert hours(START, runs=[]).height == 0
    assert hours(START, runs=other_lists).height == 0


def test_our_own_rfqs_are_observed_by_the_list_of_our_own():
    log, shown = read_stretches(read("rfqs_self", MONDAY, START)), Settings(START, scope="self")
    created = START - timedelta(minutes=10)
    theirs = rfq("r2", created_ts=created, visibility="quoted")
    rfqs = rfq_facts(rfq("r1", created_ts=created), theirs)
    held = arrivals(rfqs, foreign_minutes(), log, shown)

    found = activity(held, log, shown).collect()

    # That list never shows what others ask, which is held because it was quoted.
    assert held.select("n_rfq", "n_rfq_own_or_quoted").collect().rows() == [(2, 2)]
    assert found.select("n_rfq", "observed_minutes").rows() == [(1, 10)]


def test_the_hour_that_autumn_repeats_is_observed_twice():
    """On 2026-11-01 New York has 01:00 to 02:00 twice: 05:00 to 07:00 UTC."""
    found = hours(datetime(2026, 11, 1, 5, tzinfo=UTC), datetime(2026, 11, 1, 7, tzinfo=UTC))

    assert found.filter(hour=1)["observed_minutes"].to_list() == [120]


def test_no_rfqs_make_no_hours():
    assert hours().height == 0
