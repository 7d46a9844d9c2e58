"""What a run notes of itself: each pass under its name, and whose watermark it moved."""

from dataclasses import replace

from pipelines.sandbox import ManualClock, Market
from pipelines.sandbox.accounts import Party
from tests.extraction.exchange_objects import create_quote, create_rfq
from tests.extraction.loading import NOON, SMALL, Store, run
from tests.extraction.reading import InProcessReader
from transforms.catalogue import description


def test_the_fingerprint_tells_accounts_apart_and_stays(
    store: Store, reader: InProcessReader
) -> None:
    for account in ("one", "another", "one"):
        run(store, reader, account=account)

    (one,), (another,), (again,) = store.rows(
        "select account_fingerprint from raw.extraction_runs where pass = 'quotes_made'"
        " order by rowid"
    )
    assert one == again != another


def test_every_pass_is_described(
    store: Store,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
    reader: InProcessReader,
) -> None:
    """Everything that a run may do, so that every name of a pass is met."""
    everyones = replace(SMALL, scope="market")
    rfq = create_rfq(market, other)
    create_quote(market, me, rfq)
    for reach in (SMALL, everyones):
        run(store, reader, reach)
    market.delete_rfq(other, rfq)
    clock.advance(86_500)
    for reach in (everyones, replace(SMALL, since=NOON)):
        run(store, reader, reach)

    met = {name for (name,) in store.rows("select distinct pass from raw.extraction_runs")}
    text = description("raw", "extraction_runs", "pass") or ""
    assert len(met) == 9
    assert {name for name in met if name not in text} == set()


def test_runs_that_find_nothing_leave_the_state_as_large_as_it_was(
    store: Store, clock: ManualClock, reader: InProcessReader
) -> None:
    """It is read, and written, with every load."""
    kept = []
    for _ in range(3):
        run(store, reader)
        clock.advance(600)
        kept.append({resource: sorted(states) for resource, states in store.states.items()})

    assert kept[1:] == kept[:-1]
    assert not any("backfill" in name for names in kept[-1].values() for name in names)
