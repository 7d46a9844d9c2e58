-- One row per leg of a combo RFQ, numbered from 1 in the exchange's order, as of the as-of time.
select rfq_id, legs.*
from (select rfq_id, leg_list from staging.rfqs)
inner join (
    select
        leg_list,
        position,
        event_ticker,
        market_ticker,
        side,
        yes_settlement_value_dollars,
    from incremental.legs
) as legs using (leg_list)
