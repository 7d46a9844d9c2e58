"""Each write as it goes over the wire, and that none is ever sent twice."""

import json
from collections.abc import Callable
from decimal import Decimal

import pytest

from pipelines.kalshi.client.errors import (
    CredentialsRefused,
    ExchangeUnavailable,
    NotFound,
    RequestRefused,
    TryLater,
)
from pipelines.kalshi.client.reader import ExchangeReader, ExchangeWriter
from tests.client.fault_server import FaultServer, FaultStep, http, resets, says, sends

RFQ = "7b4b2c5e-4b0c-4d6f-9b1a-0c2d3e4f5a6b"
QUOTE = "0c9a8b7d-1111-4222-8333-444455556666"
DONE = sends(http(204))
RFQ_BY_COST = {
    "market_ticker": "KXTEST-1",
    "target_cost_dollars": Decimal("1E+1"),
    "rest_remainder": False,
    "replace_existing": False,
}
Write = Callable[[ExchangeWriter], object]

WRITES: dict[str, tuple[Write, str, object]] = {
    "delete_rfq": (lambda w: w.delete_rfq(RFQ), f"DELETE rfqs/{RFQ}", None),
    "delete_quote": (lambda w: w.delete_quote(QUOTE), f"DELETE quotes/{QUOTE}", None),
    "delete_quote of an RFQ": (
        lambda w: w.delete_quote(QUOTE, rfq_id=RFQ),
        f"DELETE rfqs/{RFQ}/quotes/{QUOTE}",
        None,
    ),
    "accept_quote": (
        lambda w: w.accept_quote(QUOTE, accepted_side="no"),
        f"PUT quotes/{QUOTE}/accept",
        {"accepted_side": "no"},
    ),
    "accept_quote of an RFQ": (
        lambda w: w.accept_quote(QUOTE, accepted_side="yes", rfq_id=RFQ),
        f"PUT rfqs/{RFQ}/quotes/{QUOTE}/accept",
        {"accepted_side": "yes"},
    ),
    "confirm_quote": (lambda w: w.confirm_quote(QUOTE), f"PUT quotes/{QUOTE}/confirm", {}),
    "confirm_quote of an RFQ": (
        lambda w: w.confirm_quote(QUOTE, rfq_id=RFQ),
        f"PUT rfqs/{RFQ}/quotes/{QUOTE}/confirm",
        {},
    ),
}


@pytest.mark.parametrize(("write", "sent", "body"), WRITES.values(), ids=WRITES.keys())
def test_a_write_is_sent_as_the_exchange_expects_it(
    exchange: FaultServer, writer: ExchangeWriter, write: Write, sent: str, body: object
) -> None:
    exchange.answers(DONE)

    assert write(writer) is None

    (seen,) = exchange.seen
    assert f"{seen.method} {seen.target}" == sent.replace(" ", " /trade-api/v2/communications/")
    if body is None:
        assert seen.body == b""
    else:
        assert json.loads(seen.body) == body
        assert seen.headers["content-type"] == "application/json"
    assert seen.headers["kalshi-access-signature"]


def test_create_rfq_sends_exact_amounts_and_returns_the_id(
    exchange: FaultServer, writer: ExchangeWriter
) -> None:
    exchange.answers(says(201, {"id": RFQ}))

    assert writer.create_rfq(**RFQ_BY_COST) == RFQ
    writer.create_rfq(market_ticker="KXTEST-1", contracts="14.42", rest_remainder=True)

    by_cost, by_size = (json.loads(seen.body) for seen in exchange.seen)
    assert by_cost == RFQ_BY_COST | {"target_cost_dollars": "10"}
    assert by_size == {
        "market_ticker": "KXTEST-1",
        "contracts_fp": "14.42",
        "rest_remainder": True,
    }


def test_create_quote_sends_both_bids_as_text(
    exchange: FaultServer, writer: ExchangeWriter
) -> None:
    exchange.answers(says(201, {"id": QUOTE}))

    quote_id = writer.create_quote(
        rfq_id=RFQ, yes_bid=Decimal("0.0000"), no_bid="0.4070", rest_remainder=False
    )

    assert quote_id == QUOTE
    assert json.loads(exchange.seen[0].body) == {
        "rfq_id": RFQ,
        "yes_bid": "0.0000",
        "no_bid": "0.4070",
        "rest_remainder": False,
    }


UNCERTAIN: dict[str, FaultStep] = {
    "500": says(500, {}),
    "503": says(503, {}, {"Retry-After": "1"}),
    "reset": resets(b""),
    "closed": sends(b""),
    "cut short": sends(http(201, b'{"id": "1"}')[:-4]),
}


@pytest.mark.parametrize("fault", UNCERTAIN.values(), ids=UNCERTAIN.keys())
def test_a_write_without_an_answer_is_not_repeated(
    exchange: FaultServer, writer: ExchangeWriter, fault: FaultStep
) -> None:
    """A write without an answer is not repeated and says it may have happened."""
    exchange.answers(fault, says(201, {"id": RFQ}))

    with pytest.raises(ExchangeUnavailable, match="may or may not have been carried out"):
        writer.create_rfq(**RFQ_BY_COST)

    assert len(exchange.seen) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestRefused),
        (401, CredentialsRefused),
        (403, CredentialsRefused),
        (404, NotFound),
        (409, RequestRefused),
        (429, TryLater),
        (307, RequestRefused),
    ],
)
def test_a_refused_write_is_not_repeated(
    exchange: FaultServer, writer: ExchangeWriter, status: int, error: type[Exception]
) -> None:
    exchange.answers(says(status, {"error": {"code": "rfq_closed"}}), DONE)

    with pytest.raises(error):
        writer.accept_quote(QUOTE, accepted_side="yes")

    assert len(exchange.seen) == 1


def test_a_created_record_without_an_id_is_told_apart_from_a_refusal(
    exchange: FaultServer, writer: ExchangeWriter
) -> None:
    exchange.answers(says(201, {}))

    with pytest.raises(ExchangeUnavailable, match="created, but the body had no text under 'id'"):
        writer.create_rfq(**RFQ_BY_COST)


def test_reads_of_one_record_prefer_the_path_below_its_rfq(
    exchange: FaultServer, reader: ExchangeReader
) -> None:
    exchange.answers(says(200, {"quote": {"id": QUOTE}, "rfq": {"id": RFQ}}))

    reader.get_rfq(RFQ)
    reader.get_quote(QUOTE)
    reader.get_quote(QUOTE, rfq_id=RFQ)

    assert [
        seen.target.removeprefix("/trade-api/v2/communications/") for seen in exchange.seen
    ] == [
        f"rfqs/{RFQ}",
        f"quotes/{QUOTE}",
        f"rfqs/{RFQ}/quotes/{QUOTE}",
    ]


def test_every_filter_of_a_list_reaches_the_exchange(
    exchange: FaultServer, reader: ExchangeReader
) -> None:
    """An empty filter too: left out, it would silently read everybody's records."""
    exchange.answers(says(200, {"rfqs": [], "quotes": []}))

    reader.get_rfqs(status="open", event_ticker="", subaccount=0, user_filter="self", limit=7)
    reader.get_quotes(
        min_ts=0, max_ts=9, status="executed", rfq_user_filter="self", rfq_id=RFQ, cursor="c"
    )

    rfqs, quotes = (seen.target.partition("?")[2] for seen in exchange.seen)
    assert rfqs == "limit=7&status=open&event_ticker=&subaccount=0&user_filter=self"
    assert quotes == (
        f"cursor=c&min_ts=0&max_ts=9&limit=500&status=executed&rfq_user_filter=self&rfq_id={RFQ}"
    )
