"""Long lists are asked for further pages while those before are read."""

from collections.abc import Callable, Iterator
from threading import Event
from threading import enumerate as enumerate_threads

import pytest

from pipelines.kalshi.ahead import ahead
from pipelines.kalshi.client.errors import CursorRefused, ExchangeUnavailable
from pipelines.kalshi.client.reader import Page
from pipelines.kalshi.entities import RFQ
from pipelines.kalshi.paging import LONG_FROM_PAGES, Batch, read_list
from pipelines.sandbox import Account, ManualClock, Market
from tests.extraction.exchange_objects import create_rfqs
from tests.extraction.reading import InProcessReader

PAGES = 3 * LONG_FROM_PAGES
SOON_S = 30.0


class Pages:
    """A list of pages with one RFQ each; what happens before which of them is answered."""

    def __init__(self, market: Market, desk: Account) -> None:
        self.asked = 0
        self.before: dict[int, Callable[[], None]] = {}
        self._reader = InProcessReader(market, desk)

    def __call__(self, cursor: str | None) -> Page:
        number, self.asked = self.asked, self.asked + 1
        self.before.get(number, lambda: None)()
        return self._reader.get_rfqs(cursor=cursor, limit=1, user_filter="self")


@pytest.fixture
def listed(market: Market, clock: ManualClock, desk: Account) -> list[str]:
    """The RFQs of the list, in its order."""
    return create_rfqs(market, clock, desk, PAGES)[::-1]


@pytest.fixture
def pages(market: Market, desk: Account, listed: list[str]) -> Pages:
    return Pages(market, desk)


def ids(batches: Iterator[Batch]) -> list[str]:
    return [id_ for batch in batches for id_ in batch.rows.table.column("id").to_pylist()]


def fail() -> None:
    raise ExchangeUnavailable("down")


def test_the_next_pages_are_asked_for_while_others_are_read(
    pages: Pages, listed: list[str]
) -> None:
    is_ahead = Event()
    pages.before[PAGES - 1] = is_ahead.set
    batches = read_list(RFQ, pages)
    read = [next(batches) for _ in range(4)]

    # Nobody asks for a batch meanwhile.
    assert is_ahead.wait(SOON_S)

    assert sum(batch.pages for batch in read) < PAGES
    assert ids(iter([*read, *batches])) == listed
    assert pages.asked == PAGES


def test_a_list_that_may_be_left_is_asked_for_nothing_that_is_not_read(pages: Pages) -> None:
    batches = read_list(RFQ, pages, is_read_to_its_end=False)

    read = [next(batches) for _ in range(4)]

    assert pages.asked == sum(batch.pages for batch in read) > LONG_FROM_PAGES


@pytest.mark.parametrize("failing", [LONG_FROM_PAGES, LONG_FROM_PAGES + 1, PAGES - 1])
def test_what_fails_ahead_fails_in_its_place(pages: Pages, listed: list[str], failing: int) -> None:
    pages.before[failing] = fail
    read: list[str] = []

    def read_all() -> None:
        for batch in read_list(RFQ, pages):
            read.extend(ids(iter([batch])))

    with pytest.raises(ExchangeUnavailable, match="down"):
        read_all()

    # A batch is read whole or not at all, and each has twice the pages of the one before.
    assert read == listed[: len(read)]
    assert len(read) <= failing < 2 * len(read) + 1
    assert pages.asked == failing + 1


def test_a_cursor_that_is_refused_ahead_starts_the_list_again(
    pages: Pages, listed: list[str]
) -> None:
    def refuse() -> None:
        raise CursorRefused("expired", status=400)

    pages.before[PAGES - 1] = refuse

    read = ids(read_list(RFQ, pages))

    assert read[-PAGES:] == listed
    assert pages.asked == 2 * PAGES


def test_who_leaves_early_asks_for_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nor waits for a page that does not come.
    monkeypatch.setattr("pipelines.kalshi.ahead.LEAVES_AFTER_S", 0.0)
    taken, is_asked, is_left = list[int](), Event(), Event()

    def numbers() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            if number == 2:
                is_asked.set()
                assert is_left.wait(SOON_S)
            yield number

    with ahead(numbers(), lambda number: 1, 100) as given:
        assert next(given) == 0
        assert is_asked.wait(SOON_S)
    is_left.set()
    for thread in enumerate_threads():
        if thread.name == "asking ahead":
            thread.join(SOON_S)

    assert taken == [0, 1, 2]


def test_no_more_waits_than_is_allowed() -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    with ahead(numbers(), lambda number: 10, 40) as pages:
        # Four wait, and one more is taken as soon as the first of them is read.
        read = [next(pages) for _ in range(50)]
        assert len(taken) <= 50 + 4
        rest = list(pages)

    assert read + rest == list(range(100)) == taken
