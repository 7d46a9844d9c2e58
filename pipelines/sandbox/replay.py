"""Recorded exchange objects, served again exactly as they were recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

from pipelines.sandbox.accounts import Party
from pipelines.sandbox.behavior import Behavior
from pipelines.sandbox.clock import Clock, to_us
from pipelines.sandbox.listing_pages import (
    Key,
    QuoteFilters,
    RfqFilters,
    binding,
    check_limit,
    read_page,
)
from pipelines.sandbox.market import MAX_QUOTES_PER_PAGE, MAX_RFQS_PER_PAGE, Market, Page
from pipelines.sandbox.refusal import Refused, not_found
from pipelines.sandbox.visibility import Row

ACCOUNT_NAME = "recorder"


def replay(
    paths: Iterable[Path], clock: Clock | None = None, behavior: Behavior | None = None
) -> Market:
    """A market that serves the `rfqs` and `quotes` lists of JSON files, with one account.

    Objects are served verbatim, unknown fields included; nothing ever changes or is purged.
    ValueError names the file that is not JSON, has neither list, or holds an object without id or
    time.
    """
    rfqs: list[Recorded] = []
    quotes: list[Recorded] = []
    contents = sha256()
    for path in paths:
        recorded = _read(path)
        contents.update(path.read_bytes())
        rfqs += _objects(path, recorded, "rfqs")
        quotes += _objects(path, recorded, "quotes")
    market = RecordedMarket(rfqs, quotes, clock, behavior)
    market.add_account(ACCOUNT_NAME)
    market.name = f"recording {contents.hexdigest()[:12]}"
    return market


def _read(path: Path) -> dict[str, Any]:
    try:
        recorded = json.loads(path.read_bytes())
    except ValueError as error:
        msg = f"{path}: not JSON ({error}); a recording is a JSON object with rfqs and/or quotes"
        raise ValueError(msg) from error
    if not isinstance(recorded, dict) or not {"rfqs", "quotes"} & recorded.keys():
        msg = f"{path}: has neither an rfqs nor a quotes list; give it one in the exchange's shape"
        raise ValueError(msg)
    return recorded


def _objects(path: Path, recorded: Mapping[str, Any], name: str) -> list[Recorded]:
    rows = recorded.get(name, [])
    if not isinstance(rows, list):
        msg = f"{path}: {name} must be a list, was {type(rows).__name__}"
        raise ValueError(msg)
    return [_object(f"{path}: {name}[{place}]", row) for place, row in enumerate(rows)]


def _object(where: str, row: Any) -> Recorded:
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        msg = f"{where} must be an object with an id"
        raise ValueError(msg)
    text = row.get("updated_ts") or row.get("created_ts")
    try:
        updated = datetime.fromisoformat(str(text))
    except (TypeError, ValueError) as error:
        msg = f"{where} needs an RFC 3339 updated_ts or created_ts, was {text!r}"
        raise ValueError(msg) from error
    if updated.tzinfo is None:
        msg = f"{where} needs a time with an offset, was {text!r}"
        raise ValueError(msg)
    return Recorded(row["id"], to_us(updated), row)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded object and its place in the list."""

    id: str
    updated_us: int
    row: Row


class RecordedMarket(Market):
    """Recorded rows behind the same calls. Whoever holds the one account is the recorder."""

    has_uuids_only = False

    def __init__(
        self,
        rfqs: list[Recorded],
        quotes: list[Recorded],
        clock: Clock | None,
        behavior: Behavior | None,
    ) -> None:
        super().__init__(clock, behavior)
        self._rfqs = sorted(rfqs, key=_place)
        self._quotes = sorted(quotes, key=_place)

    def get_rfq(self, caller: Party, rfq_id: str) -> Row:
        return _by_id(self._rfqs, rfq_id)

    def get_quote(self, caller: Party, quote_id: str, rfq_id: str | None = None) -> Row:
        row = _by_id(self._quotes, quote_id)
        if rfq_id not in (None, row.get("rfq_id")):
            raise not_found()
        return row

    def get_rfqs(
        self,
        caller: Party,
        filters: RfqFilters | None = None,
        *,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        filters = filters or RfqFilters()
        rows = [rfq for rfq in self._rfqs if _admits_rfq(filters, rfq.row)]
        bound_to = binding(caller.user_id, filters)
        return self._page(rows, check_limit(limit, MAX_RFQS_PER_PAGE), cursor, bound_to)

    def get_quotes(
        self,
        caller: Party,
        filters: QuoteFilters,
        *,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        size = check_limit(limit, MAX_QUOTES_PER_PAGE)
        self.check_scope(caller, filters)
        rows = [quote for quote in self._quotes if _admits_quote(filters, quote)]
        return self._page(rows, size, cursor, binding(caller.user_id, filters))

    def _page(self, rows: list[Recorded], limit: int, cursor: str | None, bound_to: str) -> Page:
        def rows_after(key: Key | None, count: int) -> list[Recorded]:
            return [row for row in rows if key is None or _place(row) > key][:count]

        page, after = read_page(rows_after, limit, cursor, bound_to, self.faults)
        return Page([dict(recorded.row) for recorded in page], after)

    def executions_since(self, since: datetime) -> list[datetime]:
        """The executions that the recorded quotes tell of."""
        told = [quote.row.get("executed_ts") for quote in self._quotes]
        times = [datetime.fromisoformat(text) for text in told if isinstance(text, str)]
        return [at for at in times if at >= since]

    def open_rfq_count(self) -> int:
        """Recorded RFQs that were open."""
        return sum(rfq.row.get("status") == "open" for rfq in self._rfqs)

    def create_rfq(self, requester: Party, **_order: Any) -> NoReturn:
        raise _unchangeable()

    def create_quote(self, maker: Party, **_order: Any) -> NoReturn:
        raise _unchangeable()

    def delete_rfq(self, requester: Party, rfq_id: str) -> NoReturn:
        raise _unchangeable()

    def delete_quote(self, maker: Party, quote_id: str, rfq_id: str | None = None) -> NoReturn:
        raise _unchangeable()

    def accept_quote(
        self, requester: Party, quote_id: str, accepted_side: str, rfq_id: str | None = None
    ) -> NoReturn:
        raise _unchangeable()

    def confirm_quote(self, maker: Party, quote_id: str, rfq_id: str | None = None) -> NoReturn:
        raise _unchangeable()


def _unchangeable() -> Refused:
    return Refused(403, "forbidden", "a recording is served as it was and cannot be changed")


def _by_id(rows: list[Recorded], row_id: str) -> Row:
    for recorded in rows:
        if recorded.id == row_id:
            return dict(recorded.row)
    raise not_found()


def _place(recorded: Recorded) -> Key:
    return -recorded.updated_us, recorded.id


def _admits_rfq(filters: RfqFilters, row: Row) -> bool:
    ticker = str(row.get("market_ticker", ""))
    return (
        (filters.status is None or row.get("status") == filters.status)
        and (filters.market_ticker is None or ticker == filters.market_ticker)
        and (filters.event_ticker is None or ticker.rpartition("-")[0] == filters.event_ticker)
        and (filters.subaccount is None or row.get("creator_subaccount", 0) == filters.subaccount)
        and (filters.requester is None or "creator_user_id" in row)
    )


def _admits_quote(filters: QuoteFilters, quote: Recorded) -> bool:
    """A private field tells on which side of the quote the recorder stood; with neither it must
    have been the requester, as makers always see their own user id."""
    row = quote.row
    is_maker = "creator_user_id" in row
    is_requester = "rfq_creator_user_id" in row or not is_maker
    return (
        filters.low_us <= quote.updated_us <= filters.high_us
        and (filters.status is None or row.get("status") == filters.status)
        and (filters.rfq_id is None or row.get("rfq_id") == filters.rfq_id)
        and (filters.maker is None or is_maker)
        and (filters.requester is None or is_requester)
    )
