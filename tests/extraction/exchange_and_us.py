"""A state machine: an exchange that lives and misbehaves, and runs of ours against it."""

from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from pipelines.kalshi.errors import ExchangeError
from pipelines.sandbox import Refused
from pipelines.sandbox.parties import stranger
from pipelines.sandbox.queries import QuoteFilters
from tests.extraction.loading import SMALL, InProcessReader, Store, empty_market, run

ME, OTHER, THIRD = stranger(1), stranger(2), stranger(3)
LISTINGS = ("keyset", "newest", "oldest", "by id")
OVERLAP_S = 60.0
LATEST_S = 40.0
STEPS = ("ask", "quote", "ask", "quote", "accept", "confirm", "withdraw", "delete", "tick")
OWN = {
    "rfqs": "select distinct id from raw.rfq_versions where creator_user_id = '{}'",
    "quotes": "select distinct id from raw.quote_versions where rfq_creator_user_id = '{}'",
}
some_steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 30)), max_size=8)


@cache
def shared_store() -> Store:
    """One database for all examples; each begins by emptying it."""
    store = Store()
    store.keeps_reports = False
    return store


class ExchangeAndUs(RuleBasedStateMachine):
    """Whatever happens on the exchange and on the way, in the end we hold what is ours."""

    @initialize(
        scope=st.sampled_from(("self", "market")),
        listing=st.sampled_from(LISTINGS),
        page=st.integers(1, 3),
        is_inclusive=st.booleans(),
        fate=st.sampled_from(("vanish", "cancel")),
    )
    def begin(self, scope: str, listing: str, page: int, is_inclusive: bool, fate: Any) -> None:
        self.market, self.clock = empty_market(
            min_ts_inclusive=is_inclusive, max_ts_inclusive=is_inclusive, quotes_of_deleted_rfq=fate
        )
        # The order of the market-wide list is an assumption; what breaks it is tested apart.
        self.reader = InProcessReader(
            self.market, ME, "newest" if scope == "market" and listing != "keyset" else listing
        )
        overlap = timedelta(seconds=OVERLAP_S)
        self.reach = replace(
            SMALL, scope=scope, overlap=overlap, rfqs_per_page=page, quotes_per_page=page
        )
        self.store = shared_store()
        self.store.clear()
        self.tickers = 0

    @rule(steps=some_steps, seconds=st.sampled_from((0.3, 1, 20, 90)))
    def live(self, steps: list[tuple[str, int]], seconds: float) -> None:
        self.take(steps)
        self.clock.advance(seconds)

    @rule(steps=some_steps)
    def run_undisturbed(self, steps: list[tuple[str, int]]) -> None:
        self.take(steps)
        self.run()

    @rule(page=st.integers(1, 4), steps=some_steps, more=some_steps)
    def run_while_the_lists_move(
        self, page: int, steps: list[tuple[str, int]], more: list[tuple[str, int]]
    ) -> None:
        scripts = self.market.faults.before_page
        scripts[page] = lambda: self.take(steps)
        scripts[page + 1] = lambda: self.take(more)
        self.run()
        scripts.clear()

    @rule(
        fault=st.sampled_from(
            ("cursor_expires_after_page", "cursor_loops_at_page", "repeated_page", "empty_page")
        ),
        page=st.integers(1, 3),
    )
    def run_with_a_faulty_list(self, fault: str, page: int) -> None:
        setattr(self.market.faults, fault, page)
        self.run()
        setattr(self.market.faults, fault, None)

    @rule(steps=some_steps, reads=st.integers(1, 4))
    def run_on_a_stale_replica(self, steps: list[tuple[str, int]], reads: int) -> None:
        self.market.fall_behind(reads)
        self.take(steps)
        self.run()
        self.market.faults.stale_reads = 0

    @rule(late_s=st.sampled_from((0.0, 1.5, LATEST_S)))
    def show_new_rows_late(self, late_s: float) -> None:
        self.market.faults.late_visibility_s = late_s

    @rule(seconds=st.sampled_from((2, 30, 500)))
    def set_the_clock_back(self, seconds: float) -> None:
        self.clock.advance(-seconds)
        self.reader.local_ahead_s += seconds

    @rule()
    def run_as_somebody_else(self) -> None:
        run(self.store, InProcessReader(self.market, OTHER), self.reach, "other")

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
        versions = self.store.versions()
        self.run()
        assert self.store.versions() == versions, "a run without changes adds a version"

    def run(self) -> None:
        before = self.store.watermarks()
        try:
            run(self.store, self.reader, self.reach)
        except ExchangeError:
            assert self.market.faults.cursor_loops_at_page or (
                self.market.faults.cursor_expires_after_page
            )
        after = self.store.watermarks()
        assert all(after[key] >= mark for key, mark in before.items()), "a watermark fell"

    def compare(self, entity: str, truth: dict[str, str]) -> None:
        """Everything of ours is held as it is, and what has vanished is not held as open."""
        held = {id_: row[0] for id_, row in self.store.current(entity).items()}
        if self.reader.local_ahead_s:
            # What happened on a clock set back looks older than what it replaced: it must be there.
            known = set(self.store.rows(f"select id, status from raw.{entity[:-1]}_versions"))
            held |= {id_: status for id_, status in truth.items() if (id_, status) in known}
        assert {id_: held.get(id_, "missing") for id_ in truth} == truth
        vanished = {id_: held[id_] for id_ in held.keys() - truth.keys()}
        ours = self.store.rows(OWN[entity].format(ME.user_id))
        assert not [id_ for (id_,) in ours if vanished.get(id_) == "open"]

    def true_rfqs(self) -> dict[str, str]:
        page = self.reader.market.get_rfqs(ME, limit=100)
        ours = (row for row in page.rows if "creator_user_id" in row)
        return {row["id"]: row["status"] for row in ours}

    def true_quotes(self) -> dict[str, str]:
        mine = (QuoteFilters(maker=ME.user_id), QuoteFilters(requester=ME.user_id))
        pages = [self.market.get_quotes(ME, side, limit=500) for side in mine]
        return {row["id"]: row["status"] for page in pages for row in page.rows}

    def take(self, steps: list[tuple[str, int]]) -> None:
        for step, choice in steps:
            try:
                getattr(self, step)(choice)
            except Refused:
                continue

    def tick(self, choice: int) -> None:
        self.clock.advance(choice / 10)

    def ask(self, choice: int) -> None:
        self.tickers += 1
        who = (ME, ME, OTHER, THIRD)[choice % 4]
        self.market.create_rfq(who, market_ticker=f"KX-{self.tickers}", contracts_fp="1.00")

    def quote(self, choice: int) -> None:
        rfq = self.pick(self.market._book.rfqs, "open", choice)
        maker = OTHER if rfq.requester is ME else ME
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
