-- One row per leg of a combo RFQ, numbered from 1 in the exchange's order, as of the as-of time.
select
    rfqs.rfq_id,
    legs.position,
    legs.event_ticker,
    legs.market_ticker,
    legs.side,
    legs.yes_settlement_value_dollars,
from staging.rfqs as rfqs
inner join incremental.legs as legs on rfqs.leg_list = legs.leg_list
