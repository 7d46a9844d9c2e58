-- What to compute in a build of everything: every key there is.

-- A quote whose RFQ was never seen, or is gone, is placed by its own fields.
create or replace temp table touched_partitions as
    select created_ts::date as cohort_date, market_ticker from staging.rfqs
    union
    select created_ts::date, market_ticker from staging.quotes anti join staging.rfqs using (rfq_id);

-- Quotes may name RFQs that were never seen.
create or replace temp table touched_rfqs as
    select rfq_id from staging.rfqs
    union
    select rfq_id from staging.quotes;

create or replace temp table touched_days as
    select cohort_date from touched_partitions
    union
    select null;
