"""Spreads, best prices, cover and money, by quote and by RFQ, in dollars."""

from typing import Any

import polars as pl

from transforms.definitions.populations import is_accepted, is_executed
from transforms.metrics.rates import filled_contracts
from transforms.metrics.sample import Sample, by_id, exact_sum, rate

OF_EVERY_QUOTE = {
    "quote_spread": "quote_spread",
    "rel_spread": "relative_spread",
    "logit_spread": "logit_spread",
    "quote_outcome": "outcome",
}
OF_EVERY_RFQ = {
    "best_yes_bid": "best_yes_bid",
    "best_yes_ask": "best_yes_ask",
    "composite_spread": "composite_spread",
    "best_yes_bid_at_accept": "best_yes_bid_at_accept",
    "best_yes_ask_at_accept": "best_yes_ask_at_accept",
    "composite_spread_at_accept": "composite_spread_at_accept",
    "cover_bid": "cover_bid",
    "cover_distance": "cover_distance",
    "cover_savings_dollars": "cover_savings_dollars",
    "n_live_makers_at_accept": "n_live_makers_at_accept",
    "rfq_state": "state",
}
OF_ACCEPTED_RFQS = {
    "requester_side": "requester_side",
    "requester_price": "requester_price_dollars",
    "effective_spread": "effective_spread",
}


def prices(sample: Sample) -> dict[str, Any]:
    """Return every metric in dollars or contracts, and the labels that go with them."""
    accepted = sample.rfqs.filter(is_accepted())
    executed = sample.rfqs.filter(is_executed())
    return (
        {name: by_id(sample.quotes, "quote_id", of) for name, of in OF_EVERY_QUOTE.items()}
        | {name: by_id(sample.rfqs, "rfq_id", of) for name, of in OF_EVERY_RFQ.items()}
        | {name: by_id(accepted, "rfq_id", of) for name, of in OF_ACCEPTED_RFQS.items()}
        | _captures(sample)
        | {"executed_contracts": by_id(executed, "rfq_id", "executed_contracts")}
        | {"derived_target_contracts": _derived_target_contracts(sample)}
        | _totals(sample)
    )


def _captures(sample: Sample) -> dict[str, Any]:
    """Only where passes say what was watched: without them everything is live."""
    is_watched = sample.settings.is_watched
    return {} if is_watched else {"rfq_capture": by_id(sample.rfqs, "rfq_id", "capture")}


def _derived_target_contracts(sample: Sample) -> dict[str, dict[str, float | None]]:
    yes, no = pl.col("derived_yes_contracts"), pl.col("derived_no_contracts")
    derived = sample.quotes.filter(yes.is_not_null() | no.is_not_null())
    by_side = {
        side: by_id(derived, "quote_id", f"derived_{side}_contracts") for side in ("yes", "no")
    }
    return {quote: {side: by_side[side][quote] for side in by_side} for quote in by_side["yes"]}


def _totals(sample: Sample) -> dict[str, Any]:
    trades = sample.trades
    spreads = sample.live.effective["quote_spread"].drop_nulls()
    return {
        "mean_quote_spread_effective": rate(exact_sum(spreads), spreads.len()),
        "executed_premium_requester_dollars": float(exact_sum(trades["premium_dollars"])),
        "executed_payout_notional_dollars": float(exact_sum(trades["payout_notional_dollars"])),
        "filled_contracts_from_fills": None
        if sample.fills is None
        else float(filled_contracts(sample, sample.executions)),
    }
