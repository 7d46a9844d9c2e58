"""Whatever is sent, the sandbox answers as its document says, and never with a server error."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SETTINGS = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXT = st.text(max_size=30)
PLAIN = st.one_of(
    TEXT,
    st.sampled_from(["self", "0", "-1", "1e9", "0.5", "open", "yes", "9" * 25, "None", "null"]),
    st.integers().map(str),
    st.uuids().map(str),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), PLAIN),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=5,
)


@pytest.fixture
def document(parties) -> dict[str, Any]:
    return parties.http.get(parties.exchange.base_url + "/openapi.json").json()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def fill(path: str, draw) -> str:
    for name in ("{rfq_id}", "{quote_id}"):
        if name in path:
            path = path.replace(name, quote(draw(PLAIN), safe="") or "x")
    return path


@SETTINGS
@given(data=st.data())
def test_no_request_breaks_it(parties, document, data):
    method, path, operation = data.draw(st.sampled_from(operations(document)))
    names = [item["name"] for item in operation["parameters"] if item["in"] == "query"]
    params = data.draw(st.dictionaries(st.sampled_from([*names, "odd"]), PLAIN, max_size=4))
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    fields = st.sampled_from([*schema.get("schema", {}).get("properties", {}), "odd"])
    body = data.draw(st.one_of(JSON, st.dictionaries(fields, JSON, max_size=6)))

    response = parties.desk(
        method.upper(),
        fill(path, data.draw),
        params=params,
        **({"json": body} if schema else {}),
    )

    assert response.status_code < 500, response.text
    if response.content:
        error = {"$ref": "#/components/schemas/Error"}
        success = operation["responses"].get(str(response.status_code), {}).get("content", {})
        schema = success.get("application/json", {}).get("schema", error)
        jsonschema.validate(response.json(), {**schema, "components": document["components"]})


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"1" * 5000, b"", b'"\\ud800"']
)
def test_no_body_breaks_it(parties, content):
    headers = {"Content-Type": "application/json"}

    response = parties.desk("POST", "/communications/rfqs", content=content, headers=headers)

    assert response.status_code == 400


@pytest.mark.parametrize("ticker", ["", "\ud800", "KXMVE\ud800", "a b", "x" * 121, "<script>"])
def test_no_ticker_breaks_it(parties, ticker):
    body = {"market_ticker": ticker, "contracts": 1, "rest_remainder": False}
    headers = {"Content-Type": "application/json"}

    response = parties.desk(
        "POST", "/communications/rfqs", content=json.dumps(body), headers=headers
    )

    assert response.status_code == 400


@pytest.mark.parametrize("size", [2**62, 2**63 - 1])
def test_large_sizes_are_kept_exactly(parties, size):
    rfq_id = parties.desk.create_rfq(contracts=size)

    rfq = parties.desk.get(f"/communications/rfqs/{rfq_id}")["rfq"]

    assert rfq["contracts_fp"] == f"{size}.00"
