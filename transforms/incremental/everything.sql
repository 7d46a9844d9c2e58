-- What to compute in a build of everything: all there is, and nothing that was there before.
create schema if not exists incremental;
drop schema if exists marts cascade;
create schema marts;
drop table if exists incremental.visible_rfq_facts;
drop table if exists incremental.foreign_rfq_facts;
drop table if exists incremental.foreign_minutes;
create or replace table incremental.quoted_rfqs as
    select *, created_ts::date as cohort_date from staging.rfqs limit 0;
create or replace table incremental.fast_markets (
    cohort_date date, market_ticker varchar, is_window_fast boolean, is_timer_fast boolean
);

-- Quotes may name RFQs that were never seen.
create or replace temp table moved_rfqs as
    select rfq_id, created_ts from staging.rfqs
    union all
    select distinct rfq_id, null from staging.quotes anti join staging.rfqs using (rfq_id);
