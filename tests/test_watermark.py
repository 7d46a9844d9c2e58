"""Watermarks only move forward, and windows leave no moment out."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipelines.kalshi.watermark import Watermark, Window, windows

NOW = datetime(2026, 11, 20, 12, 0, 0, 250_000, UTC)
REACH = {
    "overlap": timedelta(seconds=300),
    "retention": timedelta(days=7),
    "history": timedelta(days=365),
}
# Bounds without a zone, because that is how hypothesis takes them.
FIRST, LAST = datetime(2026, 1, 1), datetime(2026, 11, 23)  # noqa: DTZ001
moments = st.datetimes(FIRST, LAST, timezones=st.just(UTC))


def test_a_watermark_starts_at_nothing_and_lives_in_the_state() -> None:
    state: dict[str, Any] = {}
    assert Watermark(state).value is None

    Watermark(state).advance(NOW)

    assert Watermark(state).value == NOW


@given(st.lists(moments, min_size=1))
def test_a_watermark_never_falls(steps: list[datetime]) -> None:
    watermark = Watermark({})
    for step in steps:
        before = watermark.value

        watermark.advance(step)

        assert watermark.value is not None
        assert before is None or watermark.value >= before
    assert watermark.value == max(steps)


def test_a_watermark_does_not_believe_a_clock_that_is_far_ahead() -> None:
    watermark = Watermark({})

    watermark.advance(datetime.now(UTC) + timedelta(days=400))

    assert watermark.value is not None
    assert watermark.value <= datetime.now(UTC) + timedelta(seconds=61)


def test_a_usual_run_asks_for_one_open_window() -> None:
    (window,) = windows(NOW - timedelta(minutes=5), NOW, **REACH)

    assert window.start == NOW - timedelta(minutes=10)
    assert window.max_ts is None


def test_a_first_load_reaches_back_its_history_in_slices() -> None:
    found = list(windows(None, NOW, **REACH))

    assert found[0].start == NOW - REACH["history"]
    assert found[-1].end is None
    spans = [window.end - window.start for window in found if window.end]
    assert max(spans) <= timedelta(weeks=4)
    recent = [window for window in found if window.start >= NOW - REACH["retention"]]
    assert len(recent) == 7


@given(st.one_of(st.none(), moments))
def test_windows_follow_each_other_without_a_gap_to_an_open_end(start: datetime | None) -> None:
    found = list(windows(start, NOW, **REACH))

    for earlier, later in pairwise(found):
        assert earlier.end == later.start
        assert earlier.max_ts is not None
        assert earlier.max_ts > later.min_ts
    assert found[-1].end is None
    if start is not None:
        assert found[0].start == start - REACH["overlap"]


@given(moments)
def test_whole_seconds_cover_the_window_whether_bounds_are_included_or_not(at: datetime) -> None:
    window = Window(at, at + timedelta(microseconds=1))

    assert window.min_ts < at.timestamp()
    assert window.max_ts is not None
    assert window.max_ts > (at + timedelta(microseconds=1)).timestamp()
