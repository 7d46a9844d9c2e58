-- A build of everything looks at all confirmations. Every combo is fast.
create or replace temp table doubted_rfqs as
    select rfq_id, cohort_date, market_ticker
    from incremental.quoted_rfqs
    where not is_combo;
create or replace temp table doubted_markets as
    select distinct cohort_date, market_ticker from doubted_rfqs;
