-- Markets of a day of which a confirmation may tell another window or timer now. Every combo is fast.
create or replace temp table doubted_markets as
    select cohort_date, market_ticker
    from incremental.quoted_rfqs
    where
        not is_combo and rfq_id in (
            select rfq_id from staging.quotes
            where confirmed_ts is not null and rfq_id in (select rfq_id from moved_rfqs)
        )
    union
    select cohort_date, market_ticker
    from marts.quote_facts
    where confirmed_ts is not null and rfq_id in (select rfq_id from moved_rfqs);

create or replace temp table doubted_rfqs as
    select rfq_id, cohort_date, market_ticker
    from incremental.quoted_rfqs
    semi join doubted_markets using (cohort_date, market_ticker)
    where not is_combo;
