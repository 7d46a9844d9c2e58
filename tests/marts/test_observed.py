"""Stretches of time that were read, and what lies between them."""

from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.marts.facts import after, read, read_stretches
from transforms.definitions.observed import gaps, observed
from transforms.settings import Settings

Span = tuple[datetime, datetime]
AS_OF_S = 60
A, B = "rfqs_market", "quotes_made"
SECONDS = st.integers(0, 80)
SPANS = st.lists(st.tuples(SECONDS, SECONDS), max_size=6)


def stretches(*runs: dict[str, object], lists: tuple[str, ...] = (A,)) -> list[Span]:
    log = read_stretches(*runs)
    return observed(log, lists, Settings(after(AS_OF_S))).collect().rows()


def test_passes_that_go_on_from_each_other_are_one_stretch_that_ends_at_as_of():
    runs = [read(A, after(0), after(30)), read(A, after(30), after(90))]

    assert stretches(*runs) == [(after(0), after(60))]


def test_what_was_gone_is_no_part_of_it_nor_what_a_first_pass_could_not_ask_for():
    first = read(A, None, after(20), forgotten=after(10))
    after_a_break = read(A, after(20), after(60), forgotten=after(50))

    assert stretches(first, after_a_break) == [(after(10), after(20)), (after(50), after(60))]


def test_a_pass_that_moved_no_watermark_read_nothing_for_certain():
    assert stretches(read(A, after(0), after(0)), read(A, None, None, after(3))) == []


def test_a_moment_counts_only_where_every_list_was_read():
    """A from 0 to 40 s, B from 10 s to 20 s and from 30 s on."""
    runs = [
        read(A, after(0), after(40)),
        read(B, after(10), after(20)),
        read(B, after(30), after(60)),
    ]

    found = stretches(*runs, lists=(A, B))

    assert found == [(after(10), after(20)), (after(30), after(40))]
    assert stretches(*runs, lists=(A, B, "rfqs_self")) == []


@settings(max_examples=40)
@given(a=SPANS, b=SPANS)
def test_each_second_is_in_a_stretch_or_in_a_gap_as_its_passes_say(a: list[Span], b: list[Span]):
    """Second s is the one from s to s + 1."""
    runs = [read(name, *map(after, span)) for name, spans in ((A, a), (B, b)) for span in spans]
    log, shown = read_stretches(*runs), Settings(after(AS_OF_S))

    read_of_both = observed(log, [A, B], shown).collect().rows()
    unread = gaps(log, [A, B], shown).collect().rows()

    for second in range(AS_OF_S):
        expected = all(any(low <= second < high for low, high in spans) for spans in (a, b))
        assert is_in(read_of_both, after(second)) == expected
        assert is_in(unread, after(second)) != expected


def is_in(spans: list[Span], moment: datetime) -> bool:
    return any(low <= moment < high for low, high in spans)
