-- One row per leg of a list, numbered from 1 in the exchange's order.
select
    leg_list,
    leg.key::bigint + 1 as position,
    leg.value ->> 'event_ticker' as event_ticker,
    leg.value ->> 'market_ticker' as market_ticker,
    leg.value ->> 'side' as side,
    (leg.value ->> 'yes_settlement_value_dollars')::decimal(18, 6) as yes_settlement_value_dollars,
from $leg_lists as lists, json_each(lists.mve_selected_legs) as leg
