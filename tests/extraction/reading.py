"""A reader of a sandbox market in this process, whose lists can be served in other ways."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pipelines.kalshi.client.errors import CursorRefused, NotFound
from pipelines.kalshi.client.rate_budget import RateBudget
from pipelines.kalshi.client.reader import Page
from pipelines.sandbox import Market, Refused
from pipelines.sandbox.accounts import Party
from pipelines.sandbox.listing_pages import ALWAYS_US, QuoteFilters, RfqFilters


@dataclass
class InProcessReader:
    """The reader's methods over a market. `listing` is how lists are served:

    "keyset" as the sandbox does; "newest", "oldest" (by update), "by id" or "open first" with
    offset cursors, which skip and repeat rows when the list shifts. `before_page` holds what
    happens before which page, by the list that is read.
    """

    market: Market
    caller: Party
    listing: str = "keyset"
    local_ahead_s: float = 0.0
    tells_the_time: bool = True
    exchange: str = "https://exchange.test:443"
    budget: RateBudget = field(default_factory=RateBudget)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    fails: dict[str, Exception] = field(default_factory=dict)
    before_page: dict[str, dict[int, Callable[[], None]]] = field(default_factory=dict)

    def try_again(self) -> None:
        """It counts no faults."""

    def local_clock(self) -> datetime:
        return self.market.clock.now() + timedelta(seconds=self.local_ahead_s)

    @property
    def clock_skew_s(self) -> float | None:
        served_ts = self._served_ts()
        return served_ts and (served_ts - self.local_clock()).total_seconds()

    def get_rfqs(self, *, cursor: str | None = None, limit: int = 100, **parameters: Any) -> Page:
        self.calls.append(("rfqs", {"cursor": cursor} | parameters))
        self.market.faults.before_page.update(self.before_page.pop("rfqs", {}))
        mine = self.caller.user_id if parameters.get("user_filter") else None
        filters = RfqFilters(status=parameters.get("status"), requester=mine)

        def listed(limit: int, cursor: str | None) -> Any:
            return self.market.get_rfqs(self.caller, filters, limit=limit, cursor=cursor)

        return self._list("rfqs", listed, limit, 100, cursor)

    def get_quotes(self, *, cursor: str | None = None, limit: int = 500, **parameters: Any) -> Page:
        self.calls.append(("quotes", {"cursor": cursor} | parameters))
        self.market.faults.before_page.update(self.before_page.pop("quotes", {}))
        me, behavior = self.caller.user_id, self.market.behavior
        low, high = parameters["min_ts"], parameters["max_ts"]
        filters = QuoteFilters(
            maker=me if parameters.get("user_filter") else None,
            requester=me if parameters.get("rfq_user_filter") else None,
            low_us=low * 1_000_000 + (not behavior.min_ts_inclusive),
            high_us=(ALWAYS_US if high is None else high * 1_000_000)
            - (not behavior.max_ts_inclusive),
            by_creation=behavior.quote_window_of == "created_ts",
        )

        def listed(limit: int, cursor: str | None) -> Any:
            return self.market.get_quotes(self.caller, filters, limit=limit, cursor=cursor)

        return self._list("quotes", listed, limit, 500, cursor)

    def get_rfq(self, rfq_id: str) -> Page:
        return self._one("rfq", rfq_id, lambda: self.market.get_rfq(self.caller, rfq_id))

    def get_quote(self, quote_id: str, *, rfq_id: str | None = None) -> Page:
        read = lambda: self.market.get_quote(self.caller, quote_id, rfq_id)  # noqa: E731
        return self._one("quote", quote_id, read)

    def _one(self, name: str, id_: str, read: Callable[[], Any]) -> Page:
        self.calls.append((name, {"id": id_}))
        if id_ in self.fails:
            raise self.fails[id_]
        try:
            return self._answer({name: read()})
        except Refused as refused:
            raise NotFound(refused.message, status=refused.status) from None

    def _list(
        self, key: str, listed: Callable[..., Any], limit: int, most: int, cursor: str | None
    ) -> Page:
        if self.listing != "keyset":
            return self._by_offset(key, listed, limit, most, cursor)
        try:
            page = listed(limit, cursor)
        except Refused as refused:
            raise CursorRefused(refused.message, status=refused.status) from None
        return self._answer({key: page.rows, "cursor": page.cursor})

    def _by_offset(
        self, key: str, listed: Callable[..., Any], limit: int, most: int, cursor: str | None
    ) -> Page:
        if cursor and not cursor.isdigit():
            raise CursorRefused("malformed cursor", status=400)
        start = int(cursor or 0)
        scripts = self.market.faults.before_page
        script = scripts.pop(start // limit + 1, None)
        if script:
            script()
        kept, scripts_left = dict(scripts), scripts.clear()
        assert scripts_left is None
        rows = listed(most, None).rows
        scripts.update(kept)
        if self.listing == "oldest":
            rows = rows[::-1]
        if self.listing == "by id":
            rows = sorted(rows, key=lambda row: row["id"])
        if self.listing == "open first":
            rows = sorted(rows, key=lambda row: row["status"] != "open")
        end = start + limit
        return self._answer({key: rows[start:end], "cursor": str(end) if end < len(rows) else ""})

    def _served_ts(self) -> datetime | None:
        if not self.tells_the_time:
            return None
        step = timedelta(seconds=self.market.faults.clock_step_s)
        return (self.market.clock.now() + step).replace(microsecond=0)

    def _answer(self, body: dict[str, Any]) -> Page:
        return Page(json.dumps(body).encode(), self._served_ts(), self.local_clock(), 200)


def serve_changed(
    reader: InProcessReader, change: Callable[[dict[str, Any]], Any] | None = None, only: str = ""
) -> None:
    """Let every row that is served from now on go through *change*, of one list or of all."""
    usual = InProcessReader._answer.__get__(reader)

    def answer(body: dict[str, Any]) -> Any:
        for key in ("rfqs", "quotes") if change else ():
            if key in body and only in ("", key):
                body = body | {key: [change(row) for row in body[key]]}
        for key in ("rfq", "quote") if change else ():
            if key in body and not only:
                body = body | {key: change(body[key])}
        return usual(body)

    reader._answer = answer  # type: ignore[method-assign]
