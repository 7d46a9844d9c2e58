"""What the sandbox does where the exchange could do several things. Defaults follow observation
first, then documentation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pipelines.sandbox.switches import Switch

DEFAULT_COST = 10
COSTS = {
    "CreateQuote": 2,
    "GetQuote": 2,
    "DeleteQuote": 2,
    "GetRFQQuote": 2,
    "DeleteRFQQuote": 2,
    "ConfirmRFQQuote": 2,
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: *refill_per_s* tokens a second up to *capacity*."""

    refill_per_s: int
    capacity: int

    def __str__(self) -> str:
        return f"{self.refill_per_s} a second up to {self.capacity}"


@dataclass(frozen=True, slots=True)
class Behavior:
    """Every choice the sandbox makes about the exchange. Frozen; derive with `replace`."""

    confirm_window_s: Annotated[
        float,
        Switch(
            "Last look on single markets: seconds from accept in which the maker can confirm.",
            "documented, August 2026",
        ),
    ] = 30.0
    combo_confirm_window_s: Annotated[
        float,
        Switch(
            "The same on combos, which are high-velocity markets.",
            "documented, August 2026; 1 s in March 2026",
        ),
    ] = 3.0
    execution_delay_s: Annotated[
        float,
        Switch(
            "Seconds from confirm to execution on single markets.",
            "documented; 15.6 and 16.0 observed",
        ),
    ] = 15.0
    combo_execution_delay_s: Annotated[
        float, Switch("The same on combos.", "documented; 1.3 observed")
    ] = 1.0
    rfq_lifetime_s: Annotated[
        float,
        Switch(
            "Seconds after which an RFQ that nobody closes expires.",
            "observed: lifetimes pile up at 3 hours",
        ),
    ] = 10_800.0
    retention_s: Annotated[
        float,
        Switch(
            "Seconds after their last update when closed RFQs and cancelled quotes are purged.",
            "documented: 7 days",
        ),
    ] = 604_800.0
    quote_window_s: Annotated[
        float | None,
        Switch(
            "Seconds after its creation in which a combo RFQ takes quotes; later ones get 409 "
            "`rfq_closed` while the RFQ stays open.",
            "observed on hot combos with a median of 0.7, absent elsewhere",
        ),
    ] = None
    quote_timeout_s: Annotated[
        float,
        Switch(
            "Seconds after that window in which the 409 is `quote_timed_out` instead: the quote "
            "was on its way when the window closed.",
            "both codes observed, 3.7 to 1; which one when is assumed",
        ),
    ] = 0.0
    balance_dollars: Annotated[
        float | None,
        Switch(
            "Money of each account at the start. A quote or an accept that needs more than is left "
            "after running and executed trades gets 400 `insufficient_balance`.",
            "the answer is observed; the accounting (price times size, no fees) is assumed",
        ),
    ] = None

    stranger_creator_id: Annotated[
        Literal["blank", "communications_id"],
        Switch(
            "`creator_id` of other people's RFQs.",
            "observed blank in September 2026; documented otherwise",
        ),
    ] = "blank"
    reveal_creator_after_execution: Annotated[
        bool, Switch("An executed RFQ shows its requester to everyone.", "documented")
    ] = True
    quotes_of_deleted_rfq: Annotated[
        Literal["vanish", "cancel"],
        Switch(
            "What becomes of open quotes when the requester deletes the RFQ.",
            "observed: they vanish at once",
        ),
    ] = "vanish"
    quotes_of_closed_rfq: Annotated[
        Literal["vanish", "cancel"],
        Switch("The same when the RFQ expires or executes.", "assumed; documented as `cancelled`"),
    ] = "cancel"
    requote_replaces: Annotated[
        Literal["rfq", "market"],
        Switch(
            "A maker's new quote cancels its older open one on the same RFQ, or on every RFQ of "
            "the same market.",
            "documented both ways: `rfq` for REST, `market` for FIX",
        ),
    ] = "rfq"
    rfq_cancellation_reason: Annotated[
        str | None,
        Switch(
            "What the creator of a deleted RFQ reads in `cancellation_reason`.",
            "the field is documented, its values are unknown",
        ),
    ] = "deleted by creator"
    one_accept_at_a_time: Annotated[
        bool,
        Switch(
            "While an accept awaits its confirm, no other quote on the RFQ can be accepted.",
            "assumed",
        ),
    ] = True
    enforce_price_grid: Annotated[
        bool,
        Switch(
            "Refuse prices off the market's grid.",
            "documented, yet 0.3550 was seen accepted on a cent market",
        ),
    ] = False
    max_open_rfqs: Annotated[
        int, Switch("Open RFQs per requester; one more gets 409.", "documented; the 409 is assumed")
    ] = 100
    min_ts_inclusive: Annotated[
        bool, Switch("Whether `min_ts` includes the instant itself.", "unknown, assumed")
    ] = True
    max_ts_inclusive: Annotated[
        bool, Switch("Whether `max_ts` includes the instant itself.", "unknown, assumed")
    ] = True
    quote_window_of: Annotated[
        Literal["updated_ts", "created_ts"],
        Switch(
            "Which time of a quote `min_ts` and `max_ts` bound; in a recording, its last update.",
            "documented as the last update; one public report says creation",
        ),
    ] = "updated_ts"
    unscoped_quotes_status: Annotated[
        int, Switch("Status of getQuotes without a user scope.", "observed 403, earlier 400")
    ] = 403
    unbounded_quotes_limit: Annotated[
        int | None,
        Switch(
            "Above this many rows, getQuotes without `min_ts` or `max_ts` answers 504.",
            "observed on a large demo account",
        ),
    ] = None
    require_json_content_type: Annotated[
        bool,
        Switch(
            "Bodies need `Content-Type: application/json`, also confirm's empty one.", "observed"
        ),
    ] = True

    tells_scopes: Annotated[
        bool,
        Switch(
            "GET api_keys tells the caller's keys and their scopes; off, it answers 404, so that "
            "a client cannot know.",
            "the call and its answer are documented; whether every key may ask is unknown",
        ),
    ] = True
    signature_window_s: Annotated[
        float,
        Switch(
            "Allowed distance in seconds of a signature's timestamp from the wall clock.",
            "observed: 10 passes, 30 and 60 were refused at different times",
        ),
    ] = 30.0
    signature_follows_market_clock: Annotated[
        bool,
        Switch(
            "Check signature timestamps against the market's clock instead of the wall clock.",
            "for tests",
        ),
    ] = False
    rate_limits: Annotated[
        bool,
        Switch(
            "Enforce the token buckets. They run on real time whatever the market's clock says.",
            "documented",
        ),
    ] = True
    read_bucket: Annotated[
        Bucket, Switch("Tokens for GET calls, per account.", "observed: basic tier")
    ] = Bucket(200, 400)
    write_bucket: Annotated[
        Bucket, Switch("Tokens for all other calls, per account.", "observed: basic tier")
    ] = Bucket(100, 100)
    endpoint_costs: Annotated[
        dict[str, int],
        Switch(
            "Tokens per call where not 10, by operation.",
            "observed; of the confirm with RFQ id it is only known that it costs less than 10",
        ),
    ] = field(default_factory=COSTS.copy)
