"""What may have to be read by id: the small tables hold what queries over all of raw find."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from pipelines.kalshi.extraction import Extraction
from pipelines.kalshi.held import Held
from tests.extraction.exchange_and_us import ExchangeAndUs
from tests.extraction.loading import SMALL, Store
from tests.extraction.reading import InProcessReader
from tests.profile import IS_NIGHTLY, PROFILE
from tests.running import ignore
from transforms.raw import raw_schema

EXAMPLES = 500 if IS_NIGHTLY else 2
TABLES = ("rfqs", "unknown_rfqs", "quotes")


def folded(store: Store, load: int) -> dict[str, list[Any]]:
    """The tables as they are once all loads before *load* are folded."""
    cursor = store.connection.cursor()
    with Held(cursor).candidates(load):
        return {
            table: cursor.execute(f"from candidates.{table} order by all").fetchall()
            for table in TABLES
        }


def made_anew(store: Store, load: int) -> dict[str, list[Any]]:
    store.connection.execute("drop schema candidates cascade")
    return folded(store, load)


class Folding(ExchangeAndUs):
    """The same histories as those that must converge."""

    scope = "market"

    def teardown(self) -> None:
        self.small_tables_hold_what_all_of_raw_tells()
        super().teardown()

    def small_tables_hold_what_all_of_raw_tells(self) -> None:
        load = self.store.rows("select max(load) from raw.rfq_versions")[0][0]
        if load is not None:
            assert folded(self.store, load + 1) == made_anew(self.store, load + 1)


@pytest.mark.parametrize("scope", ["market", "self"])
def test_the_tables_that_are_folded_equal_those_that_are_made_anew(scope: str) -> None:
    machine = type("Folding", (Folding,), {"scope": scope})

    run_state_machine_as_test(
        machine, settings=settings(settings.get_profile(PROFILE), max_examples=EXAMPLES)
    )


def test_a_creation_that_is_told_to_fewer_digits_opens_nothing_again(store: Store) -> None:
    """What is over has ended, whatever later rows of the same id show."""
    quote = (
        "insert into raw.quote_versions by name select 'q' as id, 'r' as rfq_id, '{}' as status,"
        " timestamptz '2026-11-20 12:00:00{}+00' as created_ts, now() as observed_ts,"
        " '{}' as version_hash, 'quotes_made' as observed_pass, {} as load"
    )
    store.rows(quote.format("cancelled", ".123456", "a", 1))
    assert folded(store, 2)["quotes"] == []

    store.rows(quote.format("open", ".123", "b", 2))

    assert folded(store, 3)["quotes"] == []
    assert folded(store, 3) == made_anew(store, 3)


def test_what_fails_while_the_tables_hold_the_news_is_what_is_told(store: Store) -> None:
    """And they hold the news no more."""
    held = Held(store.connection.cursor())
    with held.candidates(1):
        pass

    with pytest.raises(ZeroDivisionError), held.candidates(1):
        raise ZeroDivisionError

    with held.candidates(1):
        pass


def test_what_a_load_has_handed_on_is_news_no_more_in_the_next(
    store: Store, reader: InProcessReader
) -> None:
    """Raw holds it by then: it would be held twice, and until the end of the run."""
    extraction = Extraction(reader, store.connection, SMALL, "two", "me", ignore)  # type: ignore[arg-type]
    column = raw_schema("accounts").field("communications_id")
    row = pa.table([["desk"]], schema=pa.schema([column]))
    extraction.begin_load()
    extraction.held.note("accounts", row)
    assert extraction.held.fetch("from held_accounts") == [("desk",)]

    store.rows("insert into raw.accounts values ('desk', now())")
    extraction.begin_load()

    assert extraction.held.fetch("from held_accounts") == [("desk",)]


def test_news_shows_whenever_it_was_noted(store: Store) -> None:
    """Before the tables hold it, while they do, and after what was done meanwhile is undone."""
    held = Held(store.connection.cursor())
    query = "from held_accounts where len(communications_id) = 1 order by all"
    schema = pa.schema([raw_schema("accounts").field("communications_id")])

    def shown_after(account: str) -> list[str]:
        held.note("accounts", pa.table([[account]], schema=schema))
        return shown()

    def shown() -> list[str]:
        return [name for (name,) in held.fetch(query)]

    assert shown() == []
    assert shown_after("a") == ["a"]
    with held.candidates(1):
        assert shown_after("b") == ["a", "b"]
    assert shown() == ["a", "b"]
    assert shown_after("c") == ["a", "b", "c"]
    held.forget_news()
    assert shown() == []
