-- A build of everything finds no facts that have shown anything before.
create or replace temp table shown_rfqs (
    cohort_date date, market_ticker varchar, hour_start_ts timestamptz, is_visible boolean
);
create or replace temp table shown_quotes (cohort_date date, market_ticker varchar);
create or replace temp table touched_minutes (minute_start_ts timestamptz);
