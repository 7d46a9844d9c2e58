"""What is due when on one RFQ or quote. Times are microseconds."""

from __future__ import annotations

from pipelines.sandbox.behavior import Behavior
from pipelines.sandbox.refusal import Refused
from pipelines.sandbox.rows import Quote, Rfq


def us(seconds: float) -> int:
    return round(seconds * 1_000_000)


def last_look_end_us(quote: Quote, behavior: Behavior) -> int:
    """The last instant at which the maker of an accepted quote can confirm."""
    is_combo = quote.rfq.listing.is_combo
    window_s = behavior.combo_confirm_window_s if is_combo else behavior.confirm_window_s
    return (quote.accepted_us or 0) + us(window_s)


def execution_due_us(quote: Quote, behavior: Behavior) -> int:
    """When a confirmed quote executes."""
    is_combo = quote.rfq.listing.is_combo
    delay_s = behavior.combo_execution_delay_s if is_combo else behavior.execution_delay_s
    return (quote.confirmed_us or 0) + us(delay_s)


def is_running(quote: Quote, behavior: Behavior, now_us: int) -> bool:
    """Whether an accept still awaits its confirm, or a confirm its execution."""
    if quote.status == "accepted":
        return now_us <= last_look_end_us(quote, behavior)
    return quote.status == "confirmed"


def check_takes_quotes(rfq: Rfq, behavior: Behavior, now_us: int) -> None:
    """409 unless the RFQ is open and, on a combo, its quote window is."""
    if rfq.status != "open":
        raise Refused(409, "rfq_closed", "rfq closed")
    if behavior.quote_window_s is None or not rfq.listing.is_combo:
        return
    late_us = now_us - rfq.created_us - us(behavior.quote_window_s)
    if late_us > us(behavior.quote_timeout_s):
        raise Refused(409, "rfq_closed", "rfq closed")
    if late_us > 0:
        raise Refused(409, "quote_timed_out", "quote timed out")
