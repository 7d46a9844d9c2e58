"""Whether an account can pay for what it wants, where `Behavior.balance_dollars` is set."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.sandbox.behavior import Behavior
from pipelines.sandbox.fixed_point import HUNDREDTHS_PER_CONTRACT, TICKS_PER_DOLLAR
from pipelines.sandbox.refusal import Refused
from pipelines.sandbox.rows import Quote
from pipelines.sandbox.windows import is_running


def check_balance(
    user_id: str, cost_ticks: int, quotes: Iterable[Quote], behavior: Behavior, now_us: int
) -> None:
    """400 unless what is left to the account covers *cost_ticks*.

    Left is the balance minus price times size of every trade that runs or has executed. Nothing
    settles in the sandbox, so money that was spent does not come back.
    """
    if behavior.balance_dollars is None:
        return
    spent_ticks = sum(
        _share_ticks(quote, user_id)
        for quote in quotes
        if quote.status == "executed" or is_running(quote, behavior, now_us)
    )
    if spent_ticks + cost_ticks > round(behavior.balance_dollars * TICKS_PER_DOLLAR):
        raise Refused(400, "insufficient_balance", "insufficient balance")


def quote_cost_ticks(quote: Quote) -> int:
    """What the maker pays if the dearer side of the quote is taken."""
    return max(_maker_ticks(quote, quote.yes_bid_ticks), _maker_ticks(quote, quote.no_bid_ticks))


def accept_cost_ticks(quote: Quote, bid_ticks: int) -> int:
    """What the requester pays who takes *bid*: one minus it for each contract."""
    price_ticks = TICKS_PER_DOLLAR - bid_ticks
    return -(-price_ticks * quote.size_hundredths(bid_ticks) // HUNDREDTHS_PER_CONTRACT)


def _maker_ticks(quote: Quote, bid_ticks: int) -> int:
    return -(-bid_ticks * quote.size_hundredths(bid_ticks) // HUNDREDTHS_PER_CONTRACT)


def _share_ticks(quote: Quote, user_id: str) -> int:
    bid_ticks = quote.bid_ticks(quote.accepted_side or "yes")
    if quote.maker.user_id == user_id:
        return _maker_ticks(quote, bid_ticks)
    if quote.rfq.requester.user_id == user_id:
        return accept_cost_ticks(quote, bid_ticks)
    return 0
