"""Schemathesis makes up requests from the sandbox's own document and judges every answer by it."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import schemathesis
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, Phase, given, settings
from requests import PreparedRequest
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pipelines.sandbox import Account, Behavior, Market, serve, simulate
from pipelines.sandbox.operations import OPERATIONS, Operation
from tests.profile import IS_NIGHTLY

REQUESTS = 15 if IS_NIGHTLY else 5
CALLS = 8 if IS_NIGHTLY else 3
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
"""Not asked for: that whatever the document forbids is refused. The exchange ignores what it does
not know, and has rules that no document can state."""
WITH_IDS = [o for o in OPERATIONS if "{" in o.path or o.name == "CreateQuote"]
MAKERS_CALLS = ("CreateQuote", "Delete", "Confirm")


class Signed:
    """Signs what `requests` is about to send, as the party whose call it is."""

    def __init__(self, account: Account) -> None:
        self._account = account
        key = serialization.load_pem_private_key(account.private_key_pem.encode(), None)
        self._sign: Any = key.sign

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        stamp = str(time.time_ns() // 1_000_000)
        path = request.path_url.partition("?")[0]
        message = f"{stamp}{request.method}{path}".encode()
        request.headers.update(
            {
                "KALSHI-ACCESS-KEY": self._account.api_key_id,
                "KALSHI-ACCESS-TIMESTAMP": stamp,
                "KALSHI-ACCESS-SIGNATURE": base64.b64encode(self._sign(message)).decode(),
            }
        )
        return request


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SimpleNamespace]:
    """A served market with some past, its document as a schema, and a signature by operation."""
    market = Market(behavior=Behavior(rate_limits=False, max_open_rfqs=10_000))
    signatures = {
        name: Signed(market.add_account(name, key="ed25519")) for name in ("desk", "maker")
    }
    simulate(market, seed=1, days=0.1, rfqs_per_day=2_000)
    with serve(market) as exchange:
        schema = schemathesis.openapi.from_url(exchange.base_url + "/openapi.json")

        def signature(operation_id: str) -> Signed:
            is_makers = "Quote" in operation_id and operation_id.startswith(MAKERS_CALLS)
            return signatures["maker" if is_makers else "desk"]

        def new_ids(is_accepted: bool) -> dict[str, str]:
            desk, maker = (market.account(name) for name in signatures)
            ticker = f"KXTEST-{uuid.uuid4()}"
            rfq_id = market.create_rfq(desk, market_ticker=ticker, contracts=1)
            bids = {"yes_bid": "0.40", "no_bid": "0.50"}
            quote_id = market.create_quote(maker, rfq_id=rfq_id, **bids)
            if is_accepted:
                market.accept_quote(desk, quote_id, "yes")
            return {"rfq_id": rfq_id, "quote_id": quote_id}

        yield SimpleNamespace(schema=schema, signature=signature, new_ids=new_ids)


def bounded(max_examples: int) -> settings:
    return settings(
        max_examples=max_examples,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_no_request_finds_a_server_error_or_a_body_that_is_not_in_the_document(
    sandbox: SimpleNamespace, operation: Operation, mode: GenerationMode
) -> None:
    has_input = "{" in operation.path or operation.query or operation.body
    if mode is GenerationMode.NEGATIVE and not has_input:
        pytest.skip("takes nothing that could be wrong")
    described = sandbox.schema[operation.path][operation.method]

    @bounded(REQUESTS)
    @given(case=described.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS, auth=sandbox.signature(operation.name))

    ask()


@pytest.mark.parametrize("operation", WITH_IDS, ids=lambda operation: operation.name)
def test_what_is_done_to_real_rows_answers_as_the_document_says(
    sandbox: SimpleNamespace, operation: Operation
) -> None:
    """The same with the ids of a new RFQ and its quote, so that calls succeed."""
    described = sandbox.schema[operation.path][operation.method]
    statuses: set[int] = set()

    @bounded(CALLS)
    @given(case=described.as_strategy())
    def ask(case: schemathesis.Case) -> None:
        ids = sandbox.new_ids(is_accepted="Confirm" in operation.name)
        case.path_parameters = {name: ids[name] for name in case.path_parameters}
        if operation.name == "CreateQuote":
            case.body = case.body | {"rfq_id": ids["rfq_id"], "yes_bid": "0.40", "no_bid": "0.50"}
        response = case.call_and_validate(checks=CHECKS, auth=sandbox.signature(operation.name))
        statuses.add(response.status_code)

    ask()

    assert operation.success in statuses
