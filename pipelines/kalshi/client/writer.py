"""The half of the API that trades."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from pipelines.kalshi.client.endpoints import exact, given, quote_path, rfq_path, text_under
from pipelines.kalshi.client.errors import ExchangeUnavailable
from pipelines.kalshi.client.session import Session


class ExchangeWriter:
    """Creates, deletes, accepts and confirms. Nothing is ever sent twice.

    When no answer came, ExchangeUnavailable says that it may or may not have been carried out.
    Prices and sizes are exact: Decimal, or text passed on as it is.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def create_rfq(
        self,
        *,
        market_ticker: str,
        rest_remainder: bool,
        contracts: Decimal | str | None = None,
        target_cost_dollars: Decimal | str | None = None,
        target_cost_excludes_fees: bool | None = None,
        obscure_creator_id: bool | None = None,
        replace_existing: bool | None = None,
        subaccount: int | None = None,
    ) -> str:
        """Ask for quotes on a size in contracts or for a cost in dollars; the new RFQ's id."""
        body = given(
            market_ticker=market_ticker,
            rest_remainder=rest_remainder,
            contracts_fp=exact(contracts),
            target_cost_dollars=exact(target_cost_dollars),
            target_cost_excludes_fees=target_cost_excludes_fees,
            obscure_creator_id=obscure_creator_id,
            replace_existing=replace_existing,
            subaccount=subaccount,
        )
        return self._create("/communications/rfqs", body)

    def delete_rfq(self, rfq_id: str) -> None:
        """Close one of the account's RFQs. Its open quotes go with it."""
        self._session.write("DELETE", rfq_path(rfq_id), None)

    def create_quote(
        self,
        *,
        rfq_id: str,
        yes_bid: Decimal | str,
        no_bid: Decimal | str,
        rest_remainder: bool,
        post_only: bool | None = None,
        subaccount: int | None = None,
    ) -> str:
        """Bid on both sides of an RFQ, "0" for none; the new quote's id. Replaces an older one."""
        body = given(
            rfq_id=rfq_id,
            yes_bid=exact(yes_bid),
            no_bid=exact(no_bid),
            rest_remainder=rest_remainder,
            post_only=post_only,
            subaccount=subaccount,
        )
        return self._create("/communications/quotes", body)

    def delete_quote(self, quote_id: str, *, rfq_id: str | None = None) -> None:
        """Withdraw one of the account's open quotes."""
        self._session.write("DELETE", quote_path(quote_id, rfq_id), None)

    def accept_quote(
        self, quote_id: str, *, accepted_side: Literal["yes", "no"], rfq_id: str | None = None
    ) -> None:
        """Take a quote. The *maker* gets `accepted_side` at its bid, the requester the other."""
        path = f"{quote_path(quote_id, rfq_id)}/accept"
        self._session.write("PUT", path, {"accepted_side": accepted_side})

    def confirm_quote(self, quote_id: str, *, rfq_id: str | None = None) -> None:
        """Stand by an accepted quote (the last look); the trade then executes by itself."""
        # An empty object and not no body: the exchange demands a JSON content type.
        self._session.write("PUT", f"{quote_path(quote_id, rfq_id)}/confirm", {})

    def _create(self, path: str, body: Mapping[str, Any]) -> str:
        page = self._session.write("POST", path, body)
        try:
            return text_under(page.body, "id")
        except ValueError as error:
            what = f"POST {path}: created, but {error}"
        raise ExchangeUnavailable(what, advice="Find the new record in its list.")
