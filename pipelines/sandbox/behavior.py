"""What the sandbox does where the exchange could do several things.

Each switch names its evidence: *documented* by the exchange, *observed* in 2026 recordings by
public repositories, or *assumed* because nothing is known. Defaults follow observation first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DEFAULT_COST = 10


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: *refill_per_s* tokens a second up to *capacity*."""

    refill_per_s: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Behavior:
    """Every choice the sandbox makes about the exchange. Frozen; derive with `replace`."""

    confirm_window_s: float = 30.0
    """Last look on single markets. Documented (August 2026)."""
    combo_confirm_window_s: float = 3.0
    """Last look on combos, which are high-velocity markets. Documented; was 1 s in March 2026."""
    execution_delay_s: float = 15.0
    """Confirm to execution on single markets. Documented; 15.6 s and 16.0 s observed."""
    combo_execution_delay_s: float = 1.0
    """Confirm to execution on combos. Documented; 1.3 s observed."""
    rfq_lifetime_s: float = 10_800.0
    """RFQs nobody closes expire. Observed: lifetimes pile up at 3 hours."""
    retention_s: float = 7 * 86_400.0
    """Closed RFQs and cancelled quotes are purged this long after their last update. Documented."""
    quote_window_s: float | None = None
    """Seconds after creation in which an RFQ takes quotes; later ones get 409 `rfq_closed`.
    Observed with a median of 0.7 s on hot combos, absent elsewhere; off unless set."""

    stranger_creator_id: Literal["blank", "communications_id"] = "blank"
    """creator_id of other people's RFQs. Observed blank in September 2026; documented otherwise."""
    reveal_creator_after_execution: bool = True
    """An executed RFQ shows its requester to everyone. Documented."""
    quotes_of_deleted_rfq: Literal["vanish", "cancel"] = "vanish"
    """What becomes of open quotes when the requester deletes the RFQ. Observed: they vanish."""
    quotes_of_closed_rfq: Literal["vanish", "cancel"] = "cancel"
    """The same when the RFQ expires or executes. Assumed; documented as `cancelled`."""
    requote_replaces: Literal["rfq", "market"] = "rfq"
    """A maker's new quote cancels its older open one on the same RFQ (REST documentation) or on
    every RFQ of the same market (FIX documentation)."""
    rfq_cancellation_reason: str | None = "deleted by creator"
    """Shown to the creator of a deleted RFQ. The field is documented, its values are unknown."""
    one_accept_at_a_time: bool = True
    """While an accept awaits its confirm, no other quote on the RFQ can be accepted. Assumed."""
    enforce_price_grid: bool = False
    """Refuse prices off the market's grid. Documented, but 0.3550 was accepted on a cent market."""
    max_open_rfqs: int = 100
    """Open RFQs per requester. Documented; the 409 beyond it is assumed."""
    min_ts_inclusive: bool = True
    """Whether min_ts includes the instant itself. Unknown."""
    max_ts_inclusive: bool = True
    """Whether max_ts includes the instant itself. Unknown."""
    unscoped_quotes_status: int = 403
    """getQuotes without a user scope. Observed: 403, earlier 400."""
    unbounded_quotes_limit: int | None = None
    """Above this many rows, getQuotes without min_ts or max_ts answers 504. Observed on a large
    demo account; off unless set."""
    require_json_content_type: bool = True
    """Bodies need `Content-Type: application/json`, also confirm's empty one. Observed."""

    signature_window_s: float = 30.0
    """Allowed distance of a signature's timestamp from the wall clock. Observed: 10 s passes,
    30 s and 60 s were refused at different times."""
    signature_follows_market_clock: bool = False
    """Check signature timestamps against the market's clock instead of the wall clock."""
    rate_limits: bool = True
    """Enforce the token buckets. They run on real time whatever the market's clock says."""
    read_bucket: Bucket = Bucket(200, 400)
    """Basic tier, observed."""
    write_bucket: Bucket = Bucket(100, 100)
    """Basic tier, observed."""
    endpoint_costs: dict[str, int] = field(
        default_factory=lambda: {
            "CreateQuote": 2,
            "GetQuote": 2,
            "DeleteQuote": 2,
            "GetRFQQuote": 2,
            "DeleteRFQQuote": 2,
            "ConfirmRFQQuote": 2,
        }
    )
    """Tokens per call where not 10, by operation. Observed, except the confirm with RFQ id: known
    only to be cheaper."""
