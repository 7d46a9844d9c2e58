"""The shapes of answers, for the sandbox's own OpenAPI document."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
YES_OR_NO: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
DOLLARS: Schema = {"type": "string", "pattern": r"^[0-9]+\.[0-9]{4}$", "example": "0.4070"}
COUNT: Schema = {"type": "string", "pattern": r"^[0-9]+\.[0-9]{2}$", "example": "8.19"}
SIDE: Schema = {"type": "string", "enum": ["yes", "no"]}


def record(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object; optional fields without a value are absent, never null."""
    return {
        "type": "object",
        "required": list(required),
        "properties": required | (optional or {}),
        "additionalProperties": False,
    }


def rows(of: str) -> Schema:
    """A list of a component."""
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{of}"}}


LEG = record({"event_ticker": TEXT, "market_ticker": TEXT, "side": TEXT})
RFQ = record(
    {
        "id": TEXT,
        "creator_id": TEXT,
        "market_ticker": TEXT,
        "contracts_fp": COUNT,
        "status": {"type": "string", "enum": ["open", "closed"]},
        "created_ts": TIME,
    },
    {
        "target_cost_dollars": DOLLARS,
        "target_cost_excludes_fees": YES_OR_NO,
        "mve_collection_ticker": TEXT,
        "mve_selected_legs": rows("MveSelectedLeg"),
        "creator_user_id": TEXT,
        "rest_remainder": YES_OR_NO,
        "updated_ts": TIME,
        "creator_subaccount": WHOLE,
        "cancelled_ts": TIME,
        "cancellation_reason": TEXT,
    },
)
QUOTE = record(
    {
        "id": TEXT,
        "rfq_id": TEXT,
        "creator_id": TEXT,
        "rfq_creator_id": TEXT,
        "market_ticker": TEXT,
        "contracts_fp": COUNT,
        "yes_bid_dollars": DOLLARS,
        "no_bid_dollars": DOLLARS,
        "status": {
            "type": "string",
            "enum": ["open", "accepted", "confirmed", "executed", "cancelled"],
        },
        "created_ts": TIME,
        "updated_ts": TIME,
    },
    {
        "yes_contracts_fp": COUNT,
        "no_contracts_fp": COUNT,
        "rfq_target_cost_dollars": DOLLARS,
        "target_cost_excludes_fees": YES_OR_NO,
        "accepted_side": SIDE,
        "accepted_ts": TIME,
        "confirmed_ts": TIME,
        "executed_ts": TIME,
        "cancelled_ts": TIME,
        "cancellation_reason": TEXT,
        "creator_user_id": TEXT,
        "rest_remainder": YES_OR_NO,
        "post_only": YES_OR_NO,
        "creator_subaccount": WHOLE,
        "creator_order_id": TEXT,
        "rfq_creator_user_id": TEXT,
        "rfq_creator_subaccount": WHOLE,
        "rfq_creator_order_id": TEXT,
    },
)
_BUCKET = record({"refill_rate": WHOLE, "bucket_capacity": WHOLE})
_API_KEY = record({"api_key_id": TEXT, "name": TEXT, "scopes": {"type": "array", "items": TEXT}})
_COST = record({"method": TEXT, "path": TEXT, "cost": WHOLE})
_ERROR_FIELDS = {"code": TEXT, "message": TEXT, "details": TEXT}
ERROR: Schema = {
    "type": "object",
    "properties": _ERROR_FIELDS
    | {
        "msg": TEXT,
        "error": {"oneOf": [TEXT, {"type": "object", "properties": _ERROR_FIELDS}]},
    },
    "additionalProperties": False,
}

COMPONENTS: dict[str, Schema] = {
    "MveSelectedLeg": LEG,
    "RFQ": RFQ,
    "Quote": QUOTE,
    "Error": ERROR,
}
_ONE_QUOTE = record({"quote": {"$ref": "#/components/schemas/Quote"}})
ANSWERS: dict[str, Schema] = {
    "GetCommunicationsID": record({"communications_id": TEXT}),
    "GetRFQs": record({"rfqs": rows("RFQ")}, {"cursor": TEXT}),
    "CreateRFQ": record({"id": TEXT}),
    "GetRFQ": record({"rfq": {"$ref": "#/components/schemas/RFQ"}}),
    "GetQuotes": record({"quotes": rows("Quote")}, {"cursor": TEXT}),
    "CreateQuote": record({"id": TEXT}),
    "GetQuote": _ONE_QUOTE,
    "GetRFQQuote": _ONE_QUOTE,
    "GetApiKeys": record({"api_keys": {"type": "array", "items": _API_KEY}}),
    "GetAccountApiLimits": record(
        {"usage_tier": TEXT, "read": _BUCKET, "write": _BUCKET, "grants": {"type": "array"}}
    ),
    "GetAccountEndpointCosts": record(
        {"default_cost": WHOLE, "endpoint_costs": {"type": "array", "items": _COST}}
    ),
}
"""The successful body of each operation that has one."""
