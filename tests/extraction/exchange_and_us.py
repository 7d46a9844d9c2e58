"""A state machine: an exchange that lives and misbehaves, and runs of ours against it."""

from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pipelines.kalshi.client.errors import ExchangeError
from pipelines.sandbox import Market, Refused
from pipelines.sandbox.accounts import Party, stranger
from pipelines.sandbox.listing_pages import QuoteFilters
from tests.extraction.loading import SMALL, Store, empty_market, run
from tests.extraction.reading import InProcessReader

LISTINGS = ("keyset", "newest", "oldest", "by id")
OVERLAP_S = 60
LATEST_S = 40.0
STEPS = ("request", "quote", "request", "quote", "accept", "confirm", "withdraw", "delete", "tick")
ENDS = ("closed", "executed", "cancelled")
# Every version with a fingerprint of the whole row.
VERSIONS = """
select id, version_hash, hash(version) from raw.rfq_versions as version
union all
select id, version_hash, hash(version) from raw.quote_versions as version
"""
COME_BACK = f"""
select id from raw.rfq_versions join staging.rfqs on id = rfq_id
where rfq_versions.status in {ENDS} and rfqs.status not in {ENDS}
union all
select id from raw.quote_versions join staging.quotes on id = quote_id
where quote_versions.status in {ENDS} and quotes.status not in {ENDS}
"""
OWN = {
    "rfqs": "select distinct id from raw.rfq_versions where creator_user_id = '{}'",
    "quotes": "select distinct id from raw.quote_versions where rfq_creator_user_id = '{}'",
}
some_steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 30)), max_size=8)


def overlaps(machine: "ExchangeAndUs") -> bool:
    """Whether runs read again what may have shown up late: nothing else could find it."""
    return machine.reach.overlap > timedelta(0)


@cache
def shared_store() -> Store:
    """One database for all examples; each begins by emptying it."""
    store = Store()
    store.keeps_reports = False
    return store


class ExchangeAndUs(RuleBasedStateMachine):
    """Whatever happens on the exchange and on the way, in the end we hold what is ours."""

    scope: ClassVar[str]
    reader: Any
    store: Any

    def meet(self) -> tuple[Party, Party, Party]:
        """Ourselves, somebody who deals with us, and somebody who does not."""
        return stranger(1), stranger(2), stranger(3)

    def set_up(self) -> None:
        """Make `reader`, how we read the exchange, and `store`, where we keep it."""
        self.reader = InProcessReader(self.market, self.me)
        self.store = shared_store()
        self.store.clear()

    def run_once(self, who: Party) -> None:
        """One run of ours, with somebody's key. Raises `ExchangeError`."""
        reader = self.reader if who is self.me else InProcessReader(self.market, who)
        run(self.store, reader, self.reach, who.communications_id)

    @initialize(
        listing=st.sampled_from(LISTINGS),
        page=st.integers(1, 3),
        is_inclusive=st.booleans(),
        fate=st.sampled_from(("vanish", "cancel")),
        overlap_s=st.sampled_from((OVERLAP_S, 0)),
    )
    def begin(self, listing: str, page: int, is_inclusive: bool, fate: Any, overlap_s: int) -> None:
        self.market, self.clock = empty_market(
            min_ts_inclusive=is_inclusive, max_ts_inclusive=is_inclusive, quotes_of_deleted_rfq=fate
        )
        self.me, self.other, self.third = self.meet()
        self.listing = listing
        self.set_up()
        self.reach = replace(
            SMALL,
            overlap=timedelta(seconds=overlap_s),
            rfqs_per_page=page,
            quotes_per_page=page,
        )
        self.read_in(self.scope)
        self.stored: dict[tuple[str, str], int] = {}
        self.has_been_elsewhere = False
        self.tickers = 0

    @rule(scope=st.sampled_from(("self", "market")))
    def read_in(self, scope: str) -> None:
        self.reach = replace(self.reach, scope=scope)
        # The order of the market-wide list is an assumption; what breaks it is tested apart.
        is_ordered = scope == "self" or self.listing == "keyset"
        self.reader.listing = self.listing if is_ordered else "newest"

    @rule(steps=some_steps, seconds=st.sampled_from((0.3, 1, 20, 90)))
    def live(self, steps: list[tuple[str, int]], seconds: float) -> None:
        self.take(steps)
        self.clock.advance(seconds)

    @rule(steps=some_steps)
    def run_undisturbed(self, steps: list[tuple[str, int]]) -> None:
        self.take(steps)
        self.run()

    @rule(
        moving=st.sampled_from(("rfqs", "quotes")),
        page=st.integers(1, 3),
        steps=some_steps,
        more=some_steps,
    )
    def run_while_a_list_moves(
        self, moving: str, page: int, steps: list[tuple[str, int]], more: list[tuple[str, int]]
    ) -> None:
        self.reader.before_page[moving] = {
            page: lambda: self.take(steps),
            page + 1: lambda: self.take(more),
        }
        self.run()
        self.reader.before_page.clear()
        self.market.faults.before_page.clear()

    @rule(
        fault=st.sampled_from(
            ("cursor_expires_after_page", "cursor_loops_at_page", "repeated_page", "empty_page")
        ),
        page=st.integers(1, 3),
    )
    def run_with_a_faulty_list(self, fault: str, page: int) -> None:
        # Only the sandbox's own cursors have these faults.
        listing, self.reader.listing = self.reader.listing, "keyset"
        setattr(self.market.faults, fault, page)
        self.run()
        setattr(self.market.faults, fault, None)
        self.reader.listing = listing

    @precondition(overlaps)
    @rule(steps=some_steps, reads=st.integers(1, 4))
    def run_on_a_stale_replica(self, steps: list[tuple[str, int]], reads: int) -> None:
        self.market.fall_behind(reads)
        self.take(steps)
        self.run()
        self.market.faults.stale_reads = 0

    @precondition(overlaps)
    @rule(late_s=st.sampled_from((0.0, 1.5, LATEST_S)))
    def show_new_rows_late(self, late_s: float) -> None:
        self.market.faults.late_visibility_s = late_s

    @precondition(overlaps)
    @rule(seconds=st.sampled_from((2, 30, 500)))
    def set_the_clock_back(self, seconds: float) -> None:
        self.clock.advance(-seconds)
        self.reader.local_ahead_s += seconds

    @rule()
    def run_as_somebody_else(self) -> None:
        self.run_once(self.other)
        self.check_stored_versions()

    @precondition(lambda self: not self.has_been_elsewhere)
    @rule()
    def run_against_another_exchange(self) -> None:
        """Once: a run of the job refuses to, as two would find that all of ours is gone there."""
        self.has_been_elsewhere = True
        elsewhere = Market(clock=self.clock, behavior=self.market.behavior)
        reader = InProcessReader(elsewhere, self.me, exchange="https://demo.test:443")
        run(self.store, reader, self.reach, self.me.communications_id)
        self.check_stored_versions()

    def teardown(self) -> None:
        if not hasattr(self, "market"):
            return
        self.market.faults.clear()
        # The sandbox lists nothing from the future, which setting its clock back makes of rows.
        self.clock.advance(self.reader.local_ahead_s + LATEST_S + 1)
        self.run()
        self.run()
        self.compare("rfqs", self.true_rfqs())
        self.compare("quotes", self.true_quotes())
        stored = self.stored
        self.run()
        assert self.stored == stored, "a run without changes adds a version"
        assert not self.store.rows(COME_BACK), "what had ended is shown as open"

    def run(self) -> None:
        before = self.store.watermarks()
        try:
            self.run_once(self.me)
        except ExchangeError:
            assert self.market.faults.cursor_loops_at_page or (
                self.market.faults.cursor_expires_after_page
            )
        after = self.store.watermarks()
        assert all(after[key] >= mark for key, mark in before.items()), "a watermark fell"
        self.check_stored_versions()

    def check_stored_versions(self) -> None:
        """Raw only grows: a stored version never changes, is never doubled and never goes."""
        rows = self.store.rows(VERSIONS)
        stored = {(id_, version): whole for id_, version, whole in rows}
        assert len(stored) == len(rows), "a version is stored twice"
        assert self.stored.items() <= stored.items(), "a version was lost or changed"
        self.stored = stored

    def compare(self, entity: str, truth: dict[str, str]) -> None:
        """Everything of ours is stored as it is, and nothing that vanished is stored as open."""
        stored = {id_: row[0] for id_, row in self.store.current(entity).items()}
        if self.reader.local_ahead_s:
            # What happened on a clock set back looks older than what it replaced: it must be there.
            known = set(self.store.rows(f"select id, status from raw.{entity[:-1]}_versions"))
            stored |= {id_: status for id_, status in truth.items() if (id_, status) in known}
        assert {id_: stored.get(id_, "missing") for id_ in truth} == truth
        vanished = {id_: stored[id_] for id_ in stored.keys() - truth.keys()}
        ours = self.store.rows(OWN[entity].format(self.me.user_id))
        assert not [id_ for (id_,) in ours if vanished.get(id_) == "open"]

    def true_rfqs(self) -> dict[str, str]:
        page = self.market.get_rfqs(self.me, limit=100)
        ours = (row for row in page.rows if "creator_user_id" in row)
        return {row["id"]: row["status"] for row in ours}

    def true_quotes(self) -> dict[str, str]:
        me = self.me.user_id
        mine = (QuoteFilters(maker=me), QuoteFilters(requester=me))
        pages = [self.market.get_quotes(self.me, side, limit=500) for side in mine]
        return {row["id"]: row["status"] for page in pages for row in page.rows}

    def take(self, steps: list[tuple[str, int]]) -> None:
        for step, choice in steps:
            try:
                getattr(self, step)(choice)
            except Refused:
                continue

    def tick(self, choice: int) -> None:
        self.clock.advance(choice / 10)

    def request(self, choice: int) -> None:
        self.tickers += 1
        who = (self.me, self.me, self.other, self.third)[choice % 4]
        self.market.create_rfq(who, market_ticker=f"KX-{self.tickers}", contracts_fp="1.00")

    def quote(self, choice: int) -> None:
        rfq = self.pick(self.market._book.rfqs, "open", choice)
        maker = self.other if rfq.requester is self.me else self.me
        self.market.create_quote(maker, rfq_id=rfq.id, yes_bid="0.4000", no_bid="0.5500")

    def accept(self, choice: int) -> None:
        quote = self.pick(self.market._book.quotes, "open", choice)
        self.market.accept_quote(quote.rfq.requester, quote.id, "no")

    def confirm(self, choice: int) -> None:
        quote = self.pick(self.market._book.quotes, "accepted", choice)
        self.market.confirm_quote(quote.maker, quote.id)

    def withdraw(self, choice: int) -> None:
        quote = self.pick(self.market._book.quotes, "open", choice)
        self.market.delete_quote(quote.maker, quote.id)

    def delete(self, choice: int) -> None:
        rfq = self.pick(self.market._book.rfqs, "open", choice)
        self.market.delete_rfq(rfq.requester, rfq.id)

    def pick(self, rows: Any, status: str, choice: int) -> Any:
        """One of the rows in that status, always the same for the same history."""
        chosen = sorted((r for r in rows if r.status == status), key=lambda r: r.created_us)
        if not chosen:
            raise Refused(404, "not_found", "not found")
        return chosen[choice % len(chosen)]
