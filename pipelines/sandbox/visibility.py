"""What a caller sees of an RFQ or a quote, in the exchange's JSON. Fields without a value are
absent, never null.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pipelines.sandbox.accounts import HIDDEN_COMMUNICATIONS_ID, Party, order_id
from pipelines.sandbox.behavior import Behavior
from pipelines.sandbox.listings import Leg, Listing
from pipelines.sandbox.rows import Quote, Rfq, count, dollars, timestamp

Row = dict[str, Any]


def visible_rfq(rfq: Rfq, caller: Party, behavior: Behavior) -> Row:
    """*rfq* as *caller* sees it; strangers get neither updates nor the requester's names."""
    is_own = rfq.requester.user_id == caller.user_id
    row: Row = {
        "id": rfq.id,
        "creator_id": _rfq_creator_id(rfq, is_own, behavior),
        "market_ticker": rfq.listing.ticker,
        "contracts_fp": count(rfq.contracts_hundredths),
        "status": rfq.status,
        "created_ts": timestamp(rfq.created_us),
    }
    if rfq.target_cost_ticks:
        row["target_cost_dollars"] = dollars(rfq.target_cost_ticks)
    if rfq.excludes_fees:
        row["target_cost_excludes_fees"] = True
    if rfq.listing.is_combo:
        row["mve_collection_ticker"] = rfq.listing.collection
        row["mve_selected_legs"] = _legs(rfq.listing)
    return row | _own_rfq_fields(rfq) if is_own else row


def _rfq_creator_id(rfq: Rfq, is_own: bool, behavior: Behavior) -> str:
    if is_own or (rfq.executed and behavior.reveal_creator_after_execution):
        return rfq.requester.communications_id
    if rfq.obscured:
        return HIDDEN_COMMUNICATIONS_ID
    return "" if behavior.stranger_creator_id == "blank" else rfq.requester.communications_id


@lru_cache(maxsize=10_000)
def _legs(listing: Listing) -> list[Row]:
    # Shared by all rows of a combo and never changed: legs are half of what an RFQ's row costs.
    return [_leg(leg) for leg in listing.legs]


def _leg(leg: Leg) -> Row:
    return {
        "event_ticker": leg.event_ticker,
        "market_ticker": leg.market_ticker,
        "side": leg.side,
    }


def _own_rfq_fields(rfq: Rfq) -> Row:
    row: Row = {
        "creator_user_id": rfq.requester.user_id,
        "rest_remainder": rfq.rest_remainder,
        "updated_ts": timestamp(rfq.updated_us),
    }
    if rfq.subaccount is not None:
        row["creator_subaccount"] = rfq.subaccount
    if rfq.cancelled_us is not None:
        row["cancelled_ts"] = timestamp(rfq.cancelled_us)
    if rfq.cancellation_reason is not None:
        row["cancellation_reason"] = rfq.cancellation_reason
    return row


def visible_quote(quote: Quote, caller: Party) -> Row:
    """*quote* as its maker or its requester sees it."""
    rfq = quote.rfq
    row: Row = {
        "id": quote.id,
        "rfq_id": rfq.id,
        "creator_id": quote.maker.communications_id,
        "rfq_creator_id": _quote_rfq_creator_id(quote, caller),
        "market_ticker": rfq.listing.ticker,
        "contracts_fp": count(rfq.contracts_hundredths),
        "yes_bid_dollars": dollars(quote.yes_bid_ticks),
        "no_bid_dollars": dollars(quote.no_bid_ticks),
        "status": quote.status,
        "created_ts": timestamp(quote.created_us),
        "updated_ts": timestamp(quote.updated_us),
    }
    if quote.yes_bid_ticks:
        row["yes_contracts_fp"] = count(quote.size_hundredths(quote.yes_bid_ticks))
    if quote.no_bid_ticks:
        row["no_contracts_fp"] = count(quote.size_hundredths(quote.no_bid_ticks))
    if rfq.target_cost_ticks:
        row["rfq_target_cost_dollars"] = dollars(rfq.target_cost_ticks)
    if rfq.excludes_fees:
        row["target_cost_excludes_fees"] = True
    _add_transitions(row, quote)
    _add_private_fields(row, quote, caller)
    return row


def _quote_rfq_creator_id(quote: Quote, caller: Party) -> str:
    rfq = quote.rfq
    is_hidden = rfq.obscured and quote.status != "executed"
    if is_hidden and rfq.requester.user_id != caller.user_id:
        return HIDDEN_COMMUNICATIONS_ID
    return rfq.requester.communications_id


def _add_transitions(row: Row, quote: Quote) -> None:
    if quote.accepted_side is not None:
        row["accepted_side"] = quote.accepted_side
    if quote.accepted_us is not None:
        row["accepted_ts"] = timestamp(quote.accepted_us)
    if quote.confirmed_us is not None:
        row["confirmed_ts"] = timestamp(quote.confirmed_us)
    if quote.executed_us is not None:
        row["executed_ts"] = timestamp(quote.executed_us)
    if quote.cancelled_us is not None:
        row["cancelled_ts"] = timestamp(quote.cancelled_us)
    if quote.cancellation_reason is not None:
        row["cancellation_reason"] = quote.cancellation_reason


def _add_private_fields(row: Row, quote: Quote, caller: Party) -> None:
    is_executed = quote.status == "executed"
    if quote.maker.user_id == caller.user_id:
        row["creator_user_id"] = quote.maker.user_id
        row["rest_remainder"] = quote.rest_remainder
        row["post_only"] = quote.post_only
        if quote.subaccount is not None:
            row["creator_subaccount"] = quote.subaccount
        if is_executed:
            row["creator_order_id"] = order_id(quote.id, "maker")
    if quote.rfq.requester.user_id == caller.user_id:
        row["rfq_creator_user_id"] = quote.rfq.requester.user_id
        if quote.rfq.subaccount is not None:
            row["rfq_creator_subaccount"] = quote.rfq.subaccount
        if is_executed:
            row["rfq_creator_order_id"] = order_id(quote.id, "requester")
