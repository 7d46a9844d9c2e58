-- One row per leg of a combo RFQ, numbered from 1 in the exchange's order, as of the as-of time.
with versions as (
    select
        *,
        coalesce(updated_ts, cancelled_ts, created_ts) as changed_ts,
    from $versions
    where created_ts <= $as_of and json_array_length(mve_selected_legs) > 0
),

latest as (
    select id, mve_selected_legs
    from versions
    qualify row_number() over (
        partition by id
        order by changed_ts <= $as_of desc, changed_ts desc,
            status is not distinct from 'closed' desc, observed_ts desc, version_hash desc
    ) = 1
)

select
    latest.id as rfq_id,
    leg.key::bigint + 1 as position,
    leg.value ->> 'event_ticker' as event_ticker,
    leg.value ->> 'market_ticker' as market_ticker,
    leg.value ->> 'side' as side,
    (leg.value ->> 'yes_settlement_value_dollars')::decimal(18, 6) as yes_settlement_value_dollars,
from latest, json_each(latest.mve_selected_legs) as leg
