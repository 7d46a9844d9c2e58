"""What may be sent with each call. The exchange ignores everything else."""

from __future__ import annotations

from pipelines.sandbox.market import MAX_QUOTES_PER_PAGE, MAX_RFQS_PER_PAGE
from pipelines.sandbox.parameters import Field

RFQ_QUERY = (
    Field("cursor", "string"),
    Field("limit", "int32", minimum=1, maximum=MAX_RFQS_PER_PAGE),
    Field("status", "string"),
    Field("event_ticker", "string"),
    Field("market_ticker", "string"),
    Field("subaccount", "int32", minimum=0),
    Field("user_filter", "self"),
    Field("creator_user_id", "uuid", deprecated=True),
)
QUOTE_QUERY = (
    Field("cursor", "string"),
    Field("min_ts", "int64"),
    Field("max_ts", "int64"),
    Field("limit", "int32", minimum=1, maximum=MAX_QUOTES_PER_PAGE),
    Field("status", "string"),
    Field("user_filter", "self"),
    Field("rfq_user_filter", "self"),
    Field("rfq_id", "uuid"),
    Field("quote_creator_user_id", "string", deprecated=True),
    Field("rfq_creator_user_id", "string", deprecated=True),
    Field("rfq_creator_subtrader_id", "string"),
)
RFQ_BODY = (
    Field("market_ticker", "string", required=True),
    Field("rest_remainder", "boolean", required=True),
    Field("contracts", "int64"),
    Field("contracts_fp", "count", nullable=True),
    Field("target_cost_dollars", "dollars"),
    Field("target_cost_centi_cents", "int64", deprecated=True),
    Field("target_cost_excludes_fees", "boolean"),
    Field("obscure_creator_id", "boolean"),
    Field("replace_existing", "boolean"),
    Field("subaccount", "int32"),
    Field("subtrader_id", "string"),
)
QUOTE_BODY = (
    Field("rfq_id", "uuid", required=True),
    Field("yes_bid", "dollars", required=True),
    Field("no_bid", "dollars", required=True),
    Field("rest_remainder", "boolean", required=True),
    Field("post_only", "boolean"),
    Field("subaccount", "int32"),
)
ACCEPT_BODY = (Field("accepted_side", "side", required=True),)
