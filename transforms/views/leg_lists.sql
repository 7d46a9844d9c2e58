-- One row per list of legs that RFQs of a market were seen with: most of them share one.
select
    leg_list,
    market_ticker,
    mve_selected_legs,
    json_array_length(mve_selected_legs)::bigint as n_listed,
    -- Whatever its legs were settled at.
    md5(regexp_replace(mve_selected_legs, '"yes_settlement_value_dollars":[^,}]*', '', 'g'))
        as legs_hash,
    coalesce($are_out_of_bounds, false) as are_legs_out_of_bounds,
-- Two loads at once may each have stored a list.
from (select distinct leg_list, market_ticker, mve_selected_legs from $lists)
