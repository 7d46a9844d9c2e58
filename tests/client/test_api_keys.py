"""A key that may write is refused where the exchange tells; where it does not, reading goes on."""

import logging

import pytest

from pipelines.kalshi.client.api_keys import demand_reading_key
from pipelines.kalshi.client.errors import CredentialsUnusable, TryLater
from pipelines.kalshi.client.reader import ExchangeReader
from tests.client.conftest import KEY_ID
from tests.client.fault_server import FaultServer, says


def listed(scopes: object, key_id: object = KEY_ID) -> dict[str, object]:
    return {"api_key_id": key_id, "name": "a key", "scopes": scopes}


READING = listed(["read"], "another-key-id")


@pytest.mark.parametrize(
    "scopes",
    [["read", "write"], ["write"], ["write::trade"], ["read", "write::transfer"], ["writes", 5]],
)
def test_a_key_with_any_writing_scope_is_refused(
    exchange: FaultServer, reader: ExchangeReader, scopes: list[str]
) -> None:
    exchange.answers(says(200, {"api_keys": [READING, listed(scopes)]}))

    with pytest.raises(CredentialsUnusable) as refused:
        demand_reading_key(reader, KEY_ID)

    said = str(refused.value)
    assert refused.value.exit_code == 77
    assert all(scope in said for scope in scopes if str(scope).startswith("write"))
    assert "allow_writing_key = true" in said
    assert KEY_ID not in said


def test_the_spelling_of_a_key_id_is_no_way_around(
    exchange: FaultServer, reader: ExchangeReader
) -> None:
    exchange.answers(says(200, {"api_keys": [listed(["write"], KEY_ID.upper())]}))

    with pytest.raises(CredentialsUnusable):
        demand_reading_key(reader, KEY_ID)


def test_a_printed_scope_is_plain_text(exchange: FaultServer, reader: ExchangeReader) -> None:
    """A scope is printed without what a terminal would obey and without the key id."""
    exchange.answers(says(200, {"api_keys": [listed([f"write\x1b[2J{KEY_ID}" + "e" * 500])]}))

    with pytest.raises(CredentialsUnusable) as refused:
        demand_reading_key(reader, KEY_ID)

    assert "\x1b" not in str(refused.value)
    assert KEY_ID not in str(refused.value)
    assert len(str(refused.value)) < 700


@pytest.mark.parametrize("scopes", [["read"], ["read", "read::portfolio_balance"], ["rewrite"]])
def test_a_key_that_only_reads_is_used_without_a_word(
    exchange: FaultServer,
    reader: ExchangeReader,
    caplog: pytest.LogCaptureFixture,
    scopes: list[str],
) -> None:
    others = listed(["read", "write"], "another-key-id")
    exchange.answers(says(200, {"api_keys": [others, listed(scopes)]}))

    demand_reading_key(reader, KEY_ID)

    assert [seen.path for seen in exchange.seen] == ["/trade-api/v2/api_keys"]
    assert caplog.records == []


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {}),
        (200, {"api_keys": None}),
        (200, {"api_keys": []}),
        (200, {"api_keys": [5, None, "key"]}),
        (200, {"api_keys": [READING]}),
        (200, {"api_keys": [{"api_key_id": KEY_ID}]}),
        (200, {"api_keys": [listed([])]}),
        (200, {"api_keys": [listed("write")]}),
        (200, {"api_keys": [listed([None, 5])]}),
        (400, {"code": "invalid_parameters"}),
        (401, {"error": {"code": "authentication_error"}}),
        (403, {"error": {"code": "forbidden"}}),
        (404, {"error": {"code": "not_found"}}),
        (500, {"error": {"code": "internal_server_error"}}),
    ],
)
def test_an_exchange_that_does_not_tell_is_read_and_one_line_says_so(
    exchange: FaultServer,
    reader: ExchangeReader,
    caplog: pytest.LogCaptureFixture,
    status: int,
    body: object,
) -> None:
    exchange.answers(says(status, body))

    demand_reading_key(reader, KEY_ID)

    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "does not tell" in record.getMessage()
    assert KEY_ID not in record.getMessage()


def test_an_exchange_that_asks_to_wait_is_not_pressed_further(
    exchange: FaultServer, reader: ExchangeReader
) -> None:
    exchange.answers(says(429, {"error": "too many requests"}, {"Retry-After": "9999"}))

    with pytest.raises(TryLater):
        demand_reading_key(reader, KEY_ID)
