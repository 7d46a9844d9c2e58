-- Minutes in which somebody's quoting of a day began or ended, of those facts that $of_part leaves.
create or replace temp table quoting_edges as
with contests as (
    select rfq_id, maker_id, bool_or(is_self_quote) as is_self
    from (from marts.quote_facts $of_part)
    where is_valid_response and not is_orphan
    group by all
),

spans as (
    select min(created_ts) as first_ts, max(created_ts) as last_ts
    from contests
    inner join (
        select rfq_id, cohort_date, capture, created_ts, visibility
        from incremental.visible_rfq_facts
        $of_part
    ) using (rfq_id)
    where visibility <> 'own'
    group by maker_id, is_self, visibility, cohort_date, capture
)

select date_trunc('minute', first_ts) as minute_start_ts from spans
union
select date_trunc('minute', last_ts) from spans;
