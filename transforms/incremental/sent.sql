-- When RFQs were sent, one row per RFQ: `n` is 1. Of strangers' RFQs those of one minute are one row with
-- its start and their number, unless somebody's quoting of the day began or ended in that minute.
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
    select date_trunc('minute', first_ts) as minute_start_ts from spans
    union
    select date_trunc('minute', last_ts) from spans
)

select cohort_date, capture, is_own, created_ts, 1::bigint as n from visible
union all
select cohort_date, capture, false, created_ts, 1
from sent
where date_trunc('minute', created_ts) in (from edges)
union all
select cohort_date, capture, false, date_trunc('minute', created_ts), count(*)
from sent
where date_trunc('minute', created_ts) not in (from edges)
group by all
