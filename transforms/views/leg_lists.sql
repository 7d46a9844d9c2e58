-- One row per list of legs that RFQs of a market were seen with: most of them share one.
-- Two loads at once may each have stored it.
select
    leg_list,
    any_value(market_ticker) as market_ticker,
    any_value(mve_selected_legs) as mve_selected_legs,
    any_value(json_array_length(mve_selected_legs))::bigint as n_listed,
    -- Whatever its legs were settled at.
    md5(concat_ws(
        chr(31),
        any_value(json_extract_string(mve_selected_legs, '$[*].event_ticker')),
        any_value(json_extract_string(mve_selected_legs, '$[*].market_ticker')),
        any_value(json_extract_string(mve_selected_legs, '$[*].side'))
    )) as legs_hash,
    coalesce(any_value($are_out_of_bounds), false) as are_legs_out_of_bounds,
from $lists
group by leg_list
