"""The sandbox's own OpenAPI document, made from the table its routes are made from."""

from __future__ import annotations

import re
from typing import Any

from pipelines.sandbox.operations import OPERATIONS, Operation
from pipelines.sandbox.parameters import Field
from pipelines.sandbox.schemas import ANSWERS, COMPONENTS
from pipelines.sandbox.signatures import KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER

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
