-- The time that lists of RFQs have read, as far as it counts at the as-of time.
create or replace temp table read_now as
    select pass, from_ts, least(to_ts, getvariable('shown_ts')) as to_ts
    from read_stretches
    where pass in ('rfqs_market', 'rfqs_self') and from_ts < getvariable('shown_ts');
