"""The exchange's two entities: the fields it documents, and the type each has in raw."""

from dataclasses import dataclass

import pyarrow as pa

DOLLARS = pa.decimal128(18, 6)
CONTRACTS = pa.decimal128(18, 2)
TIMESTAMP = pa.timestamp("us", tz="UTC")
LEGS = pa.list_(
    pa.struct(
        {
            "event_ticker": pa.string(),
            "market_ticker": pa.string(),
            "side": pa.string(),
            "yes_settlement_value_dollars": DOLLARS,
        }
    )
)


@dataclass(frozen=True, slots=True)
class Entity:
    """What the exchange lists under *key*: its fields, those no row can lack, how one may end."""

    key: str
    fields: pa.Schema
    required: tuple[str, ...]
    over: tuple[str, ...]


RFQ = Entity(
    key="rfqs",
    fields=pa.schema(
        {
            "id": pa.string(),
            "creator_id": pa.string(),
            "market_ticker": pa.string(),
            "contracts_fp": CONTRACTS,
            "target_cost_dollars": DOLLARS,
            "target_cost_excludes_fees": pa.bool_(),
            "status": pa.string(),
            "created_ts": TIMESTAMP,
            "mve_collection_ticker": pa.string(),
            "mve_selected_legs": LEGS,
            "rest_remainder": pa.bool_(),
            "updated_ts": TIMESTAMP,
            "cancelled_ts": TIMESTAMP,
            "cancellation_reason": pa.string(),
            "creator_user_id": pa.string(),
            "creator_subaccount": pa.int64(),
        }
    ),
    required=("id", "created_ts"),
    over=("closed",),
)

QUOTE = Entity(
    key="quotes",
    fields=pa.schema(
        {
            "id": pa.string(),
            "rfq_id": pa.string(),
            "creator_id": pa.string(),
            "rfq_creator_id": pa.string(),
            "market_ticker": pa.string(),
            "contracts_fp": CONTRACTS,
            "yes_bid_dollars": DOLLARS,
            "no_bid_dollars": DOLLARS,
            "yes_contracts_fp": CONTRACTS,
            "no_contracts_fp": CONTRACTS,
            "rfq_target_cost_dollars": DOLLARS,
            "target_cost_excludes_fees": pa.bool_(),
            "status": pa.string(),
            "accepted_side": pa.string(),
            "created_ts": TIMESTAMP,
            "updated_ts": TIMESTAMP,
            "accepted_ts": TIMESTAMP,
            "confirmed_ts": TIMESTAMP,
            "executed_ts": TIMESTAMP,
            "cancelled_ts": TIMESTAMP,
            "cancellation_reason": pa.string(),
            "rest_remainder": pa.bool_(),
            "post_only": pa.bool_(),
            "creator_user_id": pa.string(),
            "creator_order_id": pa.string(),
            "creator_subaccount": pa.int64(),
            "rfq_creator_user_id": pa.string(),
            "rfq_creator_order_id": pa.string(),
            "rfq_creator_subaccount": pa.int64(),
        }
    ),
    required=("id", "rfq_id", "created_ts"),
    over=("executed", "cancelled"),
)

PRIVATE_FIELDS = frozenset(
    name
    for entity in (RFQ, QUOTE)
    for name in entity.fields.names
    if name.endswith(("_user_id", "_order_id", "_subaccount")) or name == "post_only"
)
