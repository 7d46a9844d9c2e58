-- What to compute in a build of everything: every key there is.

create or replace temp table touched_partitions as
    select distinct created_ts::date as cohort_date, market_ticker from staging.rfqs;

-- Quotes may name RFQs that were never seen.
create or replace temp table touched_rfqs as
    select rfq_id from staging.rfqs
    union
    select rfq_id from staging.quotes;

create or replace temp table touched_days as
    select cohort_date from touched_partitions
    union
    select null;
