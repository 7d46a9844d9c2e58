-- What to compute again, given the ids that changed. The staging tables hold the new rows already,
-- the marts still the old ones.

-- Passes that were served since, or that counted as served at the as-of time though they came later,
-- and how far those before them reached.
create or replace temp table new_passes as
    select
        if(side = 'received', 'own', 'others') as whose,
        min(served_ts) filter (load > getvariable('last_load') or served_ts > as_of) as from_ts,
        max(served_ts) filter (load <= getvariable('last_load') and served_ts <= as_of) as to_ts,
    from raw.passes
    cross join (select as_of from incremental.last_build)
    group by all
    having from_ts is not null;

-- RFQs that changed or have a quote that did, and those that time alone moves on: to maturity, from
-- a pending accept to a lapsed one, from a late execution to a stuck one, from open to too old.
create or replace temp table moved_rfqs as
    select id as rfq_id from changed_rfqs
    union
    select rfq_id from staging.quotes where quote_id in (from changed_quotes)
    union
    select rfq_id from marts.quote_facts where quote_id in (from changed_quotes)
    union
    select rfq_id from marts.rfq_facts
    where not is_matured or (end_cause is null and visibility <> 'own')
    union
    -- RFQs that a new pass may have found alive, or without a quote that was there before they ended.
    select rfq_id
    from marts.rfq_facts
    inner join new_passes on whose = if(visibility = 'own', 'own', 'others')
    where
        end_ts >= least(from_ts, to_ts)
        or to_ts is null and end_ts is not null
        or end_ts is null and (visibility = 'own' or last_seen_open_ts >= from_ts)
    union
    select rfq_id from marts.quote_facts
    where
        is_accept_pending
        or (
            confirmed_ts is not null and executed_ts is null and cancelled_ts is null
            and not is_confirmed_stuck
        );

-- Whole markets of a day: one fast execution tells the last-look windows of all its RFQs. An RFQ
-- that turns out to belong elsewhere touches both places.
create or replace temp table touched_partitions as
    select cohort_date, market_ticker from marts.rfq_facts where rfq_id in (from moved_rfqs)
    union
    select created_ts::date as cohort_date, market_ticker
    from staging.rfqs
    where rfq_id in (from moved_rfqs)
    union
    -- A quote whose RFQ was never seen, or is gone, is placed by its own fields.
    select cohort_date, market_ticker
    from marts.quote_facts
    where is_orphan and has_accept and rfq_id in (from moved_rfqs)
    union
    select created_ts::date, market_ticker
    from staging.quotes
    anti join staging.rfqs using (rfq_id)
    where rfq_id in (from moved_rfqs);

create or replace temp table touched_rfqs as
    from moved_rfqs
    union
    select rfq_id
    from staging.rfqs
    semi join touched_partitions as touched
        on
            touched.cohort_date = rfqs.created_ts::date
            and touched.market_ticker is not distinct from rfqs.market_ticker;

-- Stretches of time that passes over a list of RFQs have read since.
create or replace temp table newly_read as
    select
        greatest(watermark_before_ts, forgotten_before_ts) as from_ts,
        watermark_after_ts as to_ts,
    from raw.extraction_runs
    where
        load > getvariable('last_load')
        and pass in ('rfqs_market', 'rfqs_self') and from_ts < to_ts;

-- Quotes on RFQs that were never seen have no day.
create or replace temp table touched_days as
    select cohort_date from touched_partitions
    union
    -- An RFQ that was known before its time was read counts as observed from then on.
    select unnest(generate_series(from_ts::date, to_ts::date, interval 1 day))::date from newly_read
    union
    select null;
