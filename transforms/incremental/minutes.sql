-- Strangers' RFQs that nobody has quoted, counted by the minute in which they were created: those of the
-- minutes in which one has changed anew.
create table if not exists incremental.foreign_minutes (
    cohort_date date, capture varchar, minute_start_ts timestamptz, n_rfq bigint, n_rfq_combo bigint,
    first_created_ts timestamptz, last_created_ts timestamptz
);
delete from incremental.foreign_minutes where minute_start_ts in (from touched_minutes);
insert into incremental.foreign_minutes
    select
        cohort_date,
        capture,
        date_trunc('minute', created_ts) as minute_start_ts,
        count(*) as n_rfq,
        count_if(is_combo) as n_rfq_combo,
        min(created_ts) as first_created_ts,
        max(created_ts) as last_created_ts,
    from incremental.foreign_rfq_facts
    where near_touched_minutes(created_ts) and minute_start_ts in (from touched_minutes)
    group by cohort_date, capture, minute_start_ts
    order by minute_start_ts;

-- Minutes in which reading began or ended: some of their RFQs are observed and others are not.
create or replace temp table read_edges as
    select date_trunc('minute', from_ts) as minute_start_ts from read_stretches
    union
    select date_trunc('minute', to_ts) from read_stretches
    union
    select date_trunc('minute', getvariable('shown_ts')::timestamptz);
