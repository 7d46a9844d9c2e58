"""What happens on the market that is watched, and what is asked of the log afterwards."""

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import datetime, timedelta
from typing import Any

import pytest

from pipelines.kalshi.extraction import LoadSettings
from pipelines.sandbox import Account, Market
from tests.conftest import NOON
from tests.watch.driven import Inline

# Reads no more of the past than a test has.
REACH = LoadSettings(retention=timedelta(hours=12), history=timedelta(hours=12))
Watching = Callable[..., None]


def at(seconds: float) -> datetime:
    """So many seconds after the tests' clock began."""
    return NOON + timedelta(seconds=seconds)


class Deals:
    """RFQs of the desk with a quote of the maker, each deleted after a while."""

    def __init__(self, market: Market, desk: Account, maker: Account) -> None:
        self.market, self.desk, self.maker = market, desk, maker
        self.rfqs: dict[int, str] = {}
        self.quotes: dict[int, str] = {}

    def acts(self, number: int, at_s: float, lives_s: float) -> list[Any]:
        """An RFQ asked at *at_s*, quoted a second later and deleted once it has lived so long."""

        def ask() -> None:
            ticker = f"KX-{number}"
            self.rfqs[number] = self.market.create_rfq(
                self.desk, market_ticker=ticker, contracts_fp="1.00"
            )

        def answer() -> None:
            self.quotes[number] = self.market.create_quote(
                self.maker, rfq_id=self.rfqs[number], yes_bid="0.4000", no_bid="0.5500"
            )

        def delete() -> None:
            self.market.delete_rfq(self.desk, self.rfqs[number])

        return [(at_s, ask), (at_s + 1, answer), (at_s + lives_s, delete)]


class Held(Inline):
    """A thread that never comes to what it is given."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return Future()


def wait(thread: Executor) -> None:
    """Wait until *thread* has done all that it was given so far."""
    thread.submit(lambda: None).result()


def no_builds() -> Callable[[], Executor]:
    """Loads are done at once, builds never."""
    return iter([Inline(), Held()]).__next__


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[logging.LogRecord]:
    """What the log has of *event*."""
    return [each for each in caplog.records if getattr(each, "event", "") == event]
