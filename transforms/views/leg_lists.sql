-- One row per list of legs that any RFQ was seen with: many RFQs of a market share one.
select
    mve_selected_legs,
    md5(mve_selected_legs) as leg_list,
    json_array_length(mve_selected_legs)::bigint as n_listed,
    coalesce($are_out_of_bounds, false) as are_legs_out_of_bounds,
from (select distinct mve_selected_legs $versions)
where mve_selected_legs is not null
