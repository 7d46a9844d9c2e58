"""The exchange's clock is what most of its answers say, whatever a few of them say."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.kalshi.client.exchange_clock import TOLERANCE, ExchangeClock
from tests.client.conftest import Clock

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
# This machine's clock when a run begins, in seconds after the exchange's.
OFF = st.sampled_from([0.0, 86_400.0, -86_400.0, 3e8])
WRONG = st.sampled_from([-1e9, -86_400, -61, 61, 3600, 86_400, 2e9])


def clocks(off_s: float = 0.0) -> tuple[Clock, ExchangeClock]:
    passing = Clock()
    return passing, ExchangeClock(started=NOON + timedelta(seconds=off_s), passed_s=passing.now_s)


def true_time(passing: Clock) -> datetime:
    """The exchange's time, in whole seconds as it tells it."""
    return (NOON + timedelta(seconds=passing.now)).replace(microsecond=0)


@given(OFF, st.lists(st.tuples(st.floats(0.01, 20), st.none() | WRONG), max_size=80))
def test_a_date_that_most_answers_contradict_moves_nothing(
    off_s: float, answers: list[tuple[float, float | None]]
) -> None:
    """Three right ones come first, as before any list; then never more than a few wrong."""
    passing, clock = clocks(off_s)
    wrong = 0
    for number, (seconds, wrong_s) in enumerate([(0.1, None)] * 3 + answers):
        asked_ts = clock.local_now()
        passing.now += seconds
        wrong += wrong_s is not None
        is_wrong = wrong_s is not None and 3 * wrong < number
        date = true_time(passing) + timedelta(seconds=wrong_s if is_wrong and wrong_s else 0)
        wrong -= wrong_s is not None and not is_wrong

        judged = clock.judged(date, asked_ts)

        assert judged is not None
        assert judged <= NOON + timedelta(seconds=passing.now)
        assert judged > NOON + timedelta(seconds=passing.now - seconds) - TOLERANCE


@pytest.mark.parametrize("answers", [1, 16, 40])
def test_a_machine_that_was_halted_goes_by_its_clock_once_that_is_right(answers: int) -> None:
    """No clock that counts seconds has counted those, however long it takes to be set right."""
    passing, halted_s = Clock(), 0.0
    clock = ExchangeClock(
        started=NOON,
        passed_s=passing.now_s,
        machine_now=lambda: true_time(passing) + timedelta(seconds=halted_s - late_s),
    )
    late_s = 0.0
    clock.judged(true_time(passing), clock.local_now())
    passing.now, halted_s, late_s = passing.now + 10, 900.0, 900.0
    date = true_time(passing) + timedelta(seconds=halted_s)
    for _ in range(answers):
        clock.judged(date, clock.local_now())
    assert abs(clock.local_now() - date) > timedelta(seconds=800)

    late_s = 0.0

    assert clock.judged(date, clock.local_now()) == date
    assert abs(clock.local_now() - date) < timedelta(seconds=1)
    assert abs(clock.skew_s or 0.0) < 1


def test_an_answer_without_a_date_was_given_no_earlier_than_asked_for() -> None:
    passing, clock = clocks(off_s=86_400)
    assert clock.judged(None, clock.local_now()) is None
    clock.judged(true_time(passing), clock.local_now())
    asked_ts = clock.local_now()
    passing.now += 25

    judged = clock.judged(None, asked_ts)

    assert judged == NOON


def test_a_step_that_lasts_is_followed() -> None:
    """Until then the watermark stays behind, which loses nothing."""
    passing, clock = clocks()
    for _ in range(3):
        clock.judged(true_time(passing), clock.local_now())
    stepped = true_time(passing) - timedelta(hours=1)

    judged = [clock.judged(stepped, clock.local_now()) for _ in range(5)]

    assert judged[-1] == stepped
    assert clock.skew_s == -3600
