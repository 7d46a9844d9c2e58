-- Strangers' RFQs that nobody has quoted: those of one minute are one row, or one for each of them where
-- the minute is one of $edges.
select
    cohort_date, capture, minute_start_ts as created_ts, n_rfq, n_rfq_combo, first_created_ts, last_created_ts
from incremental.foreign_minutes
anti join $edges using (minute_start_ts)
union all
select cohort_date, capture, created_ts, 1, coalesce(is_combo, false)::bigint, created_ts, created_ts
from incremental.foreign_rfq_facts
where near_$edges(created_ts) and date_trunc('minute', created_ts) in (from $edges)
