-- When RFQs were sent, one row per RFQ: `n` is 1. Of strangers' RFQs those of one minute are one row with
-- its start and their number, unless somebody's quoting of the day began or ended in that minute.
with visible as (
    select rfq_id, cohort_date, capture, created_ts, visibility, visibility = 'own' as is_own
    from incremental.visible_rfq_facts
    $of_part
),

contests as (
    select rfq_id, maker_id, bool_or(is_self_quote) as is_self
    from (from marts.quote_facts $of_part)
    where is_valid_response and not is_orphan
    group by all
),

spans as (
    select min(created_ts) as first_ts, max(created_ts) as last_ts
    from contests
    inner join visible using (rfq_id)
    where not is_own
    group by maker_id, is_self, visibility, cohort_date, capture
),

edges as (
    select date_trunc('minute', first_ts) as minute_start_ts from spans
    union
    select date_trunc('minute', last_ts) from spans
)

select cohort_date, capture, is_own, created_ts, 1::bigint as n from visible
union all
select
    cohort_date,
    capture,
    false,
    if(edges.minute_start_ts is null, date_trunc('minute', created_ts), created_ts) as sent_ts,
    count(*),
from (from incremental.foreign_rfq_facts $of_part) as unquoted
left join edges on edges.minute_start_ts = date_trunc('minute', unquoted.created_ts)
group by cohort_date, capture, sent_ts
