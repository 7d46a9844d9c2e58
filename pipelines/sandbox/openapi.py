"""The sandbox's own OpenAPI document, made from the table its routes are made from."""

from __future__ import annotations

import re
from typing import Any

from pipelines.sandbox.operations import OPERATIONS, Field, Operation
from pipelines.sandbox.routes import KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER

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


_TYPES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "uuid": {"type": "string", "format": "uuid"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "self": {"type": "string", "enum": ["self"]},
    "boolean": {"type": "boolean"},
    "dollars": {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,4})?$"},
    "count": {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,2})?$"},
    "side": {"type": "string", "enum": ["yes", "no"]},
}
_SECURITY = {"key": KEY_HEADER, "timestamp": TIMESTAMP_HEADER, "signature": SIGNATURE_HEADER}
_PATH_PARAMETER = re.compile(r"\{(\w+)\}")


def document(base_url: str) -> dict[str, Any]:
    """The document for a sandbox that is served at *base_url*."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    headers = {
        name: {"type": "apiKey", "in": "header", "name": header}
        for name, header in _SECURITY.items()
    }
    return {
        "openapi": "3.0.3",
        "info": {"title": "Sandbox exchange: RFQs and quotes", "version": "3.34.0"},
        "servers": [{"url": base_url}],
        "paths": paths,
        "components": {"schemas": COMPONENTS, "securitySchemes": headers},
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "parameters": _parameters(operation),
        "responses": _responses(operation),
        "security": [] if operation.is_public else [{name: [] for name in _SECURITY}],
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": bool(operation.body),
            "content": {"application/json": {"schema": _body(operation.body)}},
        }
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    ids = [
        {"name": name, "in": "path", "required": True, "schema": _TYPES["uuid"]}
        for name in _PATH_PARAMETER.findall(operation.path)
    ]
    return ids + [
        {
            "name": field.name,
            "in": "query",
            "deprecated": field.deprecated,
            "schema": _schema(field),
        }
        for field in operation.query
    ]


def _schema(field: Field) -> dict[str, Any]:
    # Only page sizes have a maximum, and the largest is the default.
    limits = {"minimum": field.minimum, "maximum": field.maximum, "default": field.maximum}
    schema = _TYPES[field.kind] | {name: v for name, v in limits.items() if v is not None}
    return schema | {"nullable": True} if field.nullable else schema


def _body(fields: tuple[Field, ...]) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {field.name: _schema(field) for field in fields},
    }
    required = [field.name for field in fields if field.required]
    return schema | {"required": required} if required else schema


def _responses(operation: Operation) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "done"}
    if operation.name in ANSWERS:
        success["content"] = {"application/json": {"schema": ANSWERS[operation.name]}}
    refused = {
        "description": "refused; in one of four shapes",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    statuses = ("400", "401", "403", "404", "409", "429", "500", "503", "504")
    return {str(operation.success): success} | dict.fromkeys(statuses, refused)
