"""The calls the sandbox answers: paths, parameters, bodies, costs, and what each does.

Routing, the rate limits and the sandbox's own OpenAPI document are all read from this table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipelines.sandbox.behavior import DEFAULT_COST, Behavior, Bucket
from pipelines.sandbox.fields import ACCEPT_BODY, QUOTE_BODY, QUOTE_QUERY, RFQ_BODY, RFQ_QUERY
from pipelines.sandbox.market import Market, Page
from pipelines.sandbox.parameters import Field, Values
from pipelines.sandbox.parties import Account
from pipelines.sandbox.queries import ALWAYS_US, QuoteFilters, RfqFilters
from pipelines.sandbox.refusal import invalid, not_found

BASE_PATH = "/trade-api/v2"

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One request after routing: who calls, and what was sent."""

    market: Market
    account: Account | None
    path: dict[str, str]
    query: Values
    body: Values

    @property
    def caller(self) -> Account:
        if self.account is None:
            msg = "this call is answered without a signature and has no caller"
            raise RuntimeError(msg)
        return self.account

    @property
    def quote(self) -> tuple[str, str | None]:
        """The ids in the path of a quote call; the RFQ's only in the scoped form."""
        return self.path["quote_id"], self.path.get("rfq_id")


@dataclass(frozen=True, slots=True)
class Operation:
    """One endpoint. `rows` names the list that list calls answer with."""

    name: str
    method: str
    path: str
    answer: Callable[[Call], Body | None]
    success: int = 200
    query: tuple[Field, ...] = ()
    body: tuple[Field, ...] | None = None
    rows: str | None = None
    is_public: bool = False

    @property
    def is_read(self) -> bool:
        return self.method == "GET"

    @property
    def scopes(self) -> tuple[str, ...]:
        """A key needs one of these."""
        return ("read",) if self.is_read else ("write::trade", "write")

    def cost(self, behavior: Behavior) -> int:
        return behavior.endpoint_costs.get(self.name, DEFAULT_COST)


def _communications_id(call: Call) -> Body:
    return {"communications_id": call.caller.communications_id}


def _get_rfqs(call: Call) -> Body:
    query = call.query
    requester = call.caller.user_id if "user_filter" in query else query.get("creator_user_id")
    if requester not in (None, call.caller.user_id):
        return {"rfqs": []}  # somebody else's user id must not tell who asked
    filters = RfqFilters(
        status=query.get("status"),
        market_ticker=query.get("market_ticker"),
        event_ticker=query.get("event_ticker"),
        subaccount=query.get("subaccount"),
        requester=requester,
    )
    page = call.market.get_rfqs(
        call.caller, filters, limit=query.get("limit"), cursor=query.get("cursor")
    )
    return _listed("rfqs", page)


def _get_quotes(call: Call) -> Body:
    query, me = call.query, call.caller.user_id
    if "rfq_creator_subtrader_id" in query:
        raise invalid("rfq_creator_subtrader_id is for FCM members only")
    maker = me if "user_filter" in query else query.get("quote_creator_user_id")
    requester = me if "rfq_user_filter" in query else query.get("rfq_creator_user_id")
    low_us, high_us = _window(query, call.market.behavior)
    status, rfq_id = query.get("status"), query.get("rfq_id")
    by_creation = call.market.behavior.quote_window_of == "created_ts"
    filters = QuoteFilters(status, rfq_id, maker, requester, low_us, high_us, by_creation)
    page = call.market.get_quotes(
        call.caller, filters, limit=query.get("limit"), cursor=query.get("cursor")
    )
    return _listed("quotes", page)


def _window(query: Values, behavior: Behavior) -> tuple[int, int]:
    low_us, high_us = -ALWAYS_US, ALWAYS_US
    if "min_ts" in query:
        low_us = query["min_ts"] * 1_000_000 + (not behavior.min_ts_inclusive)
    if "max_ts" in query:
        high_us = query["max_ts"] * 1_000_000 - (not behavior.max_ts_inclusive)
    return max(low_us, -ALWAYS_US), min(high_us, ALWAYS_US)


def _listed(name: str, page: Page) -> Body:
    body: Body = {name: page.rows}
    if page.cursor is not None:
        body["cursor"] = page.cursor
    return body


def _create_rfq(call: Call) -> Body:
    return {"id": call.market.create_rfq(call.caller, **call.body)}


def _create_quote(call: Call) -> Body:
    return {"id": call.market.create_quote(call.caller, **call.body)}


def _get_rfq(call: Call) -> Body:
    return {"rfq": call.market.get_rfq(call.caller, call.path["rfq_id"])}


def _delete_rfq(call: Call) -> None:
    call.market.delete_rfq(call.caller, call.path["rfq_id"])


def _get_quote(call: Call) -> Body:
    return {"quote": call.market.get_quote(call.caller, *call.quote)}


def _delete_quote(call: Call) -> None:
    call.market.delete_quote(call.caller, *call.quote)


def _accept_quote(call: Call) -> None:
    quote_id, rfq_id = call.quote
    call.market.accept_quote(call.caller, quote_id, call.body["accepted_side"], rfq_id)


def _confirm_quote(call: Call) -> None:
    call.market.confirm_quote(call.caller, *call.quote)


def _limits(call: Call) -> Body:
    def bucket(limit: Bucket) -> Body:
        return {"refill_rate": limit.refill_per_s, "bucket_capacity": limit.capacity}

    behavior = call.market.behavior
    return {
        "usage_tier": "basic",
        "read": bucket(behavior.read_bucket),
        "write": bucket(behavior.write_bucket),
        "grants": [],
    }


def _api_keys(call: Call) -> Body:
    if not call.market.behavior.tells_scopes:
        raise not_found()
    return {
        "api_keys": [
            {"api_key_id": key.api_key_id, "name": key.name, "scopes": list(key.scopes)}
            for key in call.market.keys_of(call.caller)
        ]
    }


def _endpoint_costs(call: Call) -> Body:
    behavior = call.market.behavior
    costs = [
        {
            "method": operation.method,
            "path": BASE_PATH + operation.path.replace("{", ":").replace("}", ""),
            "cost": operation.cost(behavior),
        }
        for operation in OPERATIONS
        if operation.cost(behavior) != DEFAULT_COST
    ]
    return {"default_cost": DEFAULT_COST, "endpoint_costs": costs}


_RFQS, _QUOTES = "/communications/rfqs", "/communications/quotes"


def _quote_calls(suffix: str, path: str) -> tuple[Operation, ...]:
    """Get, delete, accept and confirm, which exist with and without the RFQ's id in the path."""
    one = path + "/{quote_id}"
    return (
        Operation(f"Get{suffix}", "GET", one, _get_quote),
        Operation(f"Delete{suffix}", "DELETE", one, _delete_quote, 204),
        Operation(f"Accept{suffix}", "PUT", f"{one}/accept", _accept_quote, 204, body=ACCEPT_BODY),
        Operation(f"Confirm{suffix}", "PUT", f"{one}/confirm", _confirm_quote, 204, body=()),
    )


OPERATIONS: tuple[Operation, ...] = (
    Operation("GetCommunicationsID", "GET", "/communications/id", _communications_id),
    Operation("GetRFQs", "GET", _RFQS, _get_rfqs, query=RFQ_QUERY, rows="rfqs"),
    Operation("CreateRFQ", "POST", _RFQS, _create_rfq, 201, body=RFQ_BODY),
    Operation("GetRFQ", "GET", _RFQS + "/{rfq_id}", _get_rfq),
    Operation("DeleteRFQ", "DELETE", _RFQS + "/{rfq_id}", _delete_rfq, 204),
    Operation("GetQuotes", "GET", _QUOTES, _get_quotes, query=QUOTE_QUERY, rows="quotes"),
    Operation("CreateQuote", "POST", _QUOTES, _create_quote, 201, body=QUOTE_BODY),
    *_quote_calls("Quote", _QUOTES),
    *_quote_calls("RFQQuote", _RFQS + "/{rfq_id}/quotes"),
    Operation("GetApiKeys", "GET", "/api_keys", _api_keys),
    Operation("GetAccountApiLimits", "GET", "/account/limits", _limits),
    Operation(
        "GetAccountEndpointCosts", "GET", "/account/endpoint_costs", _endpoint_costs, is_public=True
    ),
)
