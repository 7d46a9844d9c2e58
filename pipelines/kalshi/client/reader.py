"""The exchange's communications API: reads and writes as two types over two transports.

A reader can be handed to anybody: it has no write method, and its transport refuses every request
but GET on the paths it lists. Lists and records come back as bytes, once they are JSON with the
expected list or object in it; reading the rows is for `pages`.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from pipelines.kalshi.client.api_keys import DOES_NOT_TELL, ApiKey, read_api_keys
from pipelines.kalshi.client.endpoints import given, holds, lists, quote_path, rfq_path, text_under
from pipelines.kalshi.client.json_body import json_object
from pipelines.kalshi.client.origin import checked_base_url
from pipelines.kalshi.client.rate_budget import (
    LONGEST_READ_S,
    AccountLimits,
    EndpointCosts,
    RateBudget,
    read_account_limits,
    read_endpoint_costs,
)
from pipelines.kalshi.client.session import OnRequest, Page, RetryPolicy, Session
from pipelines.kalshi.client.signing import Signer
from pipelines.kalshi.client.transport import READS, WRITES, SignedTransport
from pipelines.kalshi.client.writer import ExchangeWriter

__all__ = [
    "ExchangeReader",
    "ExchangeWriter",
    "Page",
    "RateBudget",
    "RetryPolicy",
    "open_reader",
    "open_writer",
]

_log = logging.getLogger(__name__)


class ExchangeReader:
    """Reads RFQs, quotes and the account's limits. Faults are retried, refusals raised.

    Every method raises the errors of `errors`; an unusable answer is never an empty one.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def origin(self) -> str:
        """Scheme, host and port that all requests go to."""
        return self._session.origin

    @property
    def exchange(self) -> str:
        """Which exchange this is: one name for all its hosts, a sandbox's by its market."""
        return self._session.exchange

    @property
    def clock_skew_s(self) -> float | None:
        """The exchange's clock minus ours as the answers tell it, in seconds; None if none did."""
        return self._session.clock.skew_s

    def local_clock(self) -> datetime:
        """Our own clock, which no step of this machine's moves while a run lasts."""
        return self._session.clock.local_now()

    @property
    def budget(self) -> RateBudget:
        """The tokens that this reader spends."""
        return self._session.budget

    def try_again(self) -> None:
        """Begin to count failed attempts anew: 20 in a row, and nothing more is asked for."""
        self._session.try_again()

    def get_communications_id(self) -> str:
        """The public id under which the account appears on its RFQs and quotes."""
        page = self._session.read("/communications/id", {}, _communications_id)
        return _communications_id(page.body)

    def get_rfqs(
        self,
        *,
        cursor: str | None = None,
        limit: int = 100,
        status: str | None = None,
        event_ticker: str | None = None,
        market_ticker: str | None = None,
        subaccount: int | None = None,
        user_filter: str | None = None,
    ) -> Page:
        """One page of RFQs, at most 100: everybody's, or with `user_filter` the account's own."""
        params = given(
            cursor=cursor,
            limit=limit,
            status=status,
            event_ticker=event_ticker,
            market_ticker=market_ticker,
            subaccount=subaccount,
            user_filter=user_filter,
        )
        return self._session.read("/communications/rfqs", params, lists("rfqs", limit))

    def get_rfq(self, rfq_id: str) -> Page:
        """One RFQ. Raises NotFound."""
        return self._session.read(rfq_path(rfq_id), {}, holds("rfq"))

    def get_quotes(
        self,
        *,
        cursor: str | None = None,
        min_ts: int | None,
        max_ts: int | None,
        limit: int = 500,
        status: str | None = None,
        user_filter: str | None = None,
        rfq_user_filter: str | None = None,
        rfq_id: str | None = None,
    ) -> Page:
        """One page of quotes, at most 500, last updated between two times in unix seconds.

        The exchange wants one scope: `user_filter` (quotes the account made) or `rfq_user_filter`
        (quotes on its RFQs). Without a window it times out on large accounts.
        """
        params = given(
            cursor=cursor,
            min_ts=min_ts,
            max_ts=max_ts,
            limit=limit,
            status=status,
            user_filter=user_filter,
            rfq_user_filter=rfq_user_filter,
            rfq_id=rfq_id,
        )
        return self._session.read("/communications/quotes", params, lists("quotes", limit))

    def get_quote(self, quote_id: str, *, rfq_id: str | None = None) -> Page:
        """One quote; give its RFQ where it is known. Raises NotFound."""
        return self._session.read(quote_path(quote_id, rfq_id), {}, holds("quote"))

    def get_api_keys(self) -> tuple[ApiKey, ...]:
        """The account's keys and their scopes, as far as the answer names them."""
        return read_api_keys(json_object(self._session.read("/api_keys", {}, json_object).body))

    def get_account_limits(self) -> AccountLimits:
        """What the account may spend per second."""
        page = self._session.read("/account/limits", {}, _account_limits)
        return _account_limits(page.body)

    def get_endpoint_costs(self) -> EndpointCosts:
        """What each kind of request costs."""
        page = self._session.read("/account/endpoint_costs", {}, _endpoint_costs)
        return _endpoint_costs(page.body)

    def learn_budget(self) -> None:
        """Spend as much as the account may; what the exchange does not tell, as the smallest may.

        A key need not be allowed to ask, and an answer that changed must not stop the reading.
        """
        try:
            limits, costs = self.get_account_limits(), self.get_endpoint_costs()
        except DOES_NOT_TELL as error:
            _log.warning("limits unknown, so at the pace of the smallest tier: %s", error.what)
            return
        takes_s = costs.longest_read_s(limits.read)
        if takes_s > LONGEST_READ_S:
            _log.warning(
                "by the limits and costs that the exchange tells, a read would wait %.0f s for its"
                " tokens: not believed, so at the pace of the smallest tier",
                takes_s,
            )
            return
        self.budget.adopt(limits, costs)


@contextmanager
def open_reader(
    base_url: str,
    signer: Signer,
    *,
    allow_unknown_host: bool = False,
    budget: RateBudget | None = None,
    on_request: OnRequest | None = None,
    retry_policy: RetryPolicy | None = None,
) -> Iterator[ExchangeReader]:
    """A reader while the block runs. Raises ConfigurationError for a base URL we must not use."""
    url = checked_base_url(base_url, allow_unknown_host=allow_unknown_host)
    with SignedTransport(url, signer, READS) as transport:
        yield ExchangeReader(
            Session(url, transport, signer.api_key_id, budget, retry_policy, on_request)
        )


@contextmanager
def open_writer(
    base_url: str,
    signer: Signer,
    *,
    allow_unknown_host: bool = False,
    budget: RateBudget | None = None,
    on_request: OnRequest | None = None,
    retry_policy: RetryPolicy | None = None,
) -> Iterator[ExchangeWriter]:
    """A writer while the block runs: this one trades."""
    url = checked_base_url(base_url, allow_unknown_host=allow_unknown_host)
    with SignedTransport(url, signer, WRITES) as transport:
        yield ExchangeWriter(
            Session(url, transport, signer.api_key_id, budget, retry_policy, on_request)
        )


def _communications_id(body: bytes) -> str:
    return text_under(body, "communications_id")


def _account_limits(body: bytes) -> AccountLimits:
    return read_account_limits(json_object(body))


def _endpoint_costs(body: bytes) -> EndpointCosts:
    return read_endpoint_costs(json_object(body))
