-- Replace what the doubted markets have shown by `_rows`, what they show now. Where that is something
-- else, all that was quoted in them moves.
create or replace temp table changed_markets as
with held as (
    from incremental.fast_markets semi join doubted_markets using (cohort_date, market_ticker)
)

select cohort_date, market_ticker from (from held except from _rows)
union
select cohort_date, market_ticker from (from _rows except from held);

delete from incremental.fast_markets as held
using doubted_markets as touched
where
    held.cohort_date = touched.cohort_date
    and held.market_ticker = touched.market_ticker;
insert into incremental.fast_markets by name from _rows where market_ticker is not null;

insert into moved_rfqs
    select rfq_id, created_ts
    from incremental.quoted_rfqs
    semi join changed_markets using (cohort_date, market_ticker)
    where not is_combo and rfq_id not in (select rfq_id from moved_rfqs);
