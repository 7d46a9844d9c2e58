"""Whole runs with a key that may also write: refused where the exchange tells, unless allowed."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from pipelines import job
from pipelines.kalshi.client.errors import (
    ConfigurationError,
    CredentialsRefused,
    CredentialsUnusable,
)
from pipelines.kalshi.extraction import LoadSettings
from pipelines.kalshi.settings import configured_access
from pipelines.sandbox import Account, Market
from pipelines.sandbox.faults import ErrorOrder
from pipelines.store.database import Database
from tests.running import access_of, ignore

SELF = LoadSettings(scope="self")


@pytest.fixture
def _told(market: Market) -> None:
    market.behavior = replace(market.behavior, tells_scopes=True)


@contextmanager
def goes_on(market: Market) -> Iterator[None]:
    """A run that comes as far as its first list; the rest is tested elsewhere."""
    market.faults.errors = [ErrorOrder(403, "forbidden", "GetQuotes")]
    with pytest.raises(CredentialsRefused, match="GET /communications/quotes: HTTP 403"):
        yield


@pytest.mark.usefixtures("_told")
def test_a_key_that_may_write_is_refused_before_anything_is_listed_or_published(
    exchange: Any, desk: Account, database: Database
) -> None:
    with pytest.raises(CredentialsUnusable, match="may write"):
        job.run(database, access_of(exchange, desk, SELF), ignore)

    asked = [request.path.removeprefix("/trade-api/v2") for request in exchange.requests]
    assert asked == ["/communications/id", "/api_keys"]
    assert not database.path.exists()


@pytest.mark.usefixtures("_told")
def test_a_key_that_may_write_is_used_when_that_is_allowed(
    exchange: Any, market: Market, desk: Account, database: Database
) -> None:
    access = replace(access_of(exchange, desk, SELF), allow_writing_key=True)

    with goes_on(market):
        job.load(database, access, ignore)

    assert not any(request.path.endswith("/api_keys") for request in exchange.requests)


@pytest.mark.usefixtures("_told")
def test_a_key_that_only_reads_loads_all_there_is(
    exchange: Any, market: Market, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    reading = market.add_account("reading", key="ed25519", scopes=("read",))
    market.create_rfq(reading, market_ticker="KXONE-26-A", contracts_fp="10.00")

    new = job.load(database, access_of(exchange, reading, SELF), ignore)

    assert new == {"rfq_versions": 1, "quote_versions": 0}
    assert {request.status for request in exchange.requests} == {200}
    assert not any("write" in message for message in caplog.messages)


def test_an_exchange_that_does_not_tell_is_read_and_one_line_says_so(
    exchange: Any,
    market: Market,
    desk: Account,
    database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with goes_on(market):
        job.load(database, access_of(exchange, desk, SELF), ignore)

    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [message.partition(";")[0] for message in told if "write" in message] == [
        "the exchange does not tell whether this key may also write"
    ]
    assert desk.api_key_id not in caplog.text


@pytest.mark.parametrize(
    ("said", "is_allowed"), [(None, False), ("false", False), ("true", True), ("True", True)]
)
def test_writing_keys_are_allowed_by_a_clear_yes_alone(
    desk: Account, monkeypatch: pytest.MonkeyPatch, said: str | None, is_allowed: bool
) -> None:
    monkeypatch.setenv("SOURCES__KALSHI__API_KEY_ID", desk.api_key_id)
    monkeypatch.setenv("SOURCES__KALSHI__PRIVATE_KEY", desk.private_key_pem)
    if said is not None:
        monkeypatch.setenv("SOURCES__KALSHI__ALLOW_WRITING_KEY", said)

    assert configured_access().allow_writing_key is is_allowed

    monkeypatch.setenv("SOURCES__KALSHI__ALLOW_WRITING_KEY", "maybe")
    with pytest.raises(
        ConfigurationError, match="ALLOW_WRITING_KEY in the environment is not true or false"
    ):
        configured_access()
