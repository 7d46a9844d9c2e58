-- When RFQs were sent, one row per RFQ: `n` is 1. Of strangers' RFQs those of one hour are one row with its
-- start and their number, unless somebody's quoting began or ended in the hour.
with sent as (
    select cohort_date, capture, created_ts
    from incremental.foreign_rfq_facts
    $of_part
),

visible as (
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
    select date_trunc('hour', first_ts) as hour_start_ts from spans
    union
    select date_trunc('hour', last_ts) from spans
)

select cohort_date, capture, is_own, created_ts, 1::bigint as n, false as is_hour from visible
union all
select cohort_date, capture, false, created_ts, 1, false
from sent
where date_trunc('hour', created_ts) in (from edges)
union all
select cohort_date, capture, false, date_trunc('hour', created_ts), count(*), true
from sent
where date_trunc('hour', created_ts) not in (from edges)
group by all
