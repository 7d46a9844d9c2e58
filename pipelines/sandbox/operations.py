"""The calls the sandbox answers: paths, parameters, bodies, costs, and what each does."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.sandbox.accounts import Account
from pipelines.sandbox.behavior import DEFAULT_COST, Behavior, Bucket
from pipelines.sandbox.listing_pages import ALWAYS_US, QuoteFilters, RfqFilters
from pipelines.sandbox.market import MAX_QUOTES_PER_PAGE, MAX_RFQS_PER_PAGE, Market, Page
from pipelines.sandbox.refusal import Refused, invalid, not_found

Kind = Literal["string", "uuid", "int32", "int64", "self", "boolean", "dollars", "count", "side"]
Values = dict[str, Any]

_INT_BITS = {"int32": 32, "int64": 64}


@dataclass(frozen=True, slots=True)
class Field:
    """One query parameter or body field."""

    name: str
    kind: Kind
    required: bool = False
    nullable: bool = False
    minimum: int | None = None
    maximum: int | None = None
    deprecated: bool = False

    @property
    def is_integer(self) -> bool:
        return self.kind in _INT_BITS


def read_query(
    fields: Iterable[Field], query: Iterable[tuple[str, str]], *, check_uuids: bool = True
) -> Values:
    """The known parameters that have a value; of a repeated one, the first counts."""
    sent: dict[str, str] = {}
    for name, value in query:
        sent.setdefault(name, value)
    known = [field for field in fields if sent.get(field.name)]
    return {field.name: _query_value(field, sent[field.name], check_uuids) for field in known}


def _query_value(field: Field, text: str, check_uuids: bool) -> str | int:
    if field.is_integer:
        return _integer(field, text)
    if field.kind == "self" and text != "self":
        raise invalid(f"{field.name} must be self")
    if field.kind == "uuid" and check_uuids:
        check_uuid(field.name, text)
    return text


def _integer(field: Field, text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
        raise invalid(f"{field.name} must be an integer")
    return _in_range(field, int(text))


def _in_range(field: Field, value: int) -> int:
    if not -(1 << _INT_BITS[field.kind] - 1) <= value < 1 << _INT_BITS[field.kind] - 1:
        raise invalid(f"{field.name} is out of range")
    # The limit of a list has its own range check with its own body.
    if field.minimum is not None and value < field.minimum and field.name != "limit":
        raise invalid(f"{field.name} must be at least {field.minimum}")
    return value


def check_uuid(name: str, text: str) -> None:
    """400 unless *text* is a UUID in its usual form."""
    try:
        is_usual = str(uuid.UUID(text)) == text.lower()
    except ValueError:
        is_usual = False
    if not is_usual:
        raise invalid(f"{name} must be a UUID")


def read_body(fields: Iterable[Field], content: bytes) -> Values:
    """The known fields of a JSON object body. What Go could not decode is refused flat."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _undecodable("request body is not valid JSON") from error
    if not isinstance(body, dict):
        raise _undecodable("request body must be a JSON object")
    return {field.name: value for field in fields for value in _body_values(field, body)}


def _body_values(field: Field, body: Mapping[str, Any]) -> list[Any]:
    value: Any = body.get(field.name)
    if value is None:
        if field.required:
            raise invalid(f"{field.name} is required")
        return []
    if not _is_of_kind(field, value):
        raise _undecodable(f"{field.name} has the wrong type")
    if field.is_integer:
        _in_range(field, value)
    if field.kind == "uuid":
        check_uuid(field.name, value)
    return [value]


def _is_of_kind(field: Field, value: Any) -> bool:
    if field.kind == "boolean" or isinstance(value, bool):
        return field.kind == "boolean" and isinstance(value, bool)
    return isinstance(value, int if field.is_integer else str)


def _undecodable(message: str) -> Refused:
    return Refused(400, "invalid_json", message, envelope="flat")


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


RFQ_QUERY = (
    Field("cursor", "string"),
    Field("limit", "int32", minimum=1, maximum=MAX_RFQS_PER_PAGE),
    Field("status", "string"),
    Field("event_ticker", "string"),
    Field("market_ticker", "string"),
    Field("subaccount", "int32", minimum=0),
    Field("user_filter", "self"),
    Field("creator_user_id", "uuid", deprecated=True),
)
QUOTE_QUERY = (
    Field("cursor", "string"),
    Field("min_ts", "int64"),
    Field("max_ts", "int64"),
    Field("limit", "int32", minimum=1, maximum=MAX_QUOTES_PER_PAGE),
    Field("status", "string"),
    Field("user_filter", "self"),
    Field("rfq_user_filter", "self"),
    Field("rfq_id", "uuid"),
    Field("quote_creator_user_id", "string", deprecated=True),
    Field("rfq_creator_user_id", "string", deprecated=True),
    Field("rfq_creator_subtrader_id", "string"),
)
RFQ_BODY = (
    Field("market_ticker", "string", required=True),
    Field("rest_remainder", "boolean", required=True),
    Field("contracts", "int64"),
    Field("contracts_fp", "count", nullable=True),
    Field("target_cost_dollars", "dollars"),
    Field("target_cost_centi_cents", "int64", deprecated=True),
    Field("target_cost_excludes_fees", "boolean"),
    Field("obscure_creator_id", "boolean"),
    Field("replace_existing", "boolean"),
    Field("subaccount", "int32"),
    Field("subtrader_id", "string"),
)
QUOTE_BODY = (
    Field("rfq_id", "uuid", required=True),
    Field("yes_bid", "dollars", required=True),
    Field("no_bid", "dollars", required=True),
    Field("rest_remainder", "boolean", required=True),
    Field("post_only", "boolean"),
    Field("subaccount", "int32"),
)
ACCEPT_BODY = (Field("accepted_side", "side", required=True),)

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
