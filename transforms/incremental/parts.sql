-- What is touched, in parts of about `rows_per_part` rows: memory is needed for one part at a time. A
-- market of a day is never cut, since one of its executions may tell something of all its RFQs.

create or replace temp table parts_of_partitions as
    with n_quotes as (
        select rfq_id, count(*) as n_quotes
        from staging.quotes
        semi join touched_rfqs using (rfq_id)
        group by rfq_id
    ),

    sized as (
        select
            touched.cohort_date,
            touched.market_ticker,
            min(created_ts) as first_ts,
            count(rfq_id) + coalesce(sum(n_quotes), 0) as n_rows
        from touched_partitions as touched
        left join staging.rfqs as held
            on
                touched.cohort_date = held.created_ts::date
                and touched.market_ticker is not distinct from held.market_ticker
        left join n_quotes using (rfq_id)
        group by all
    )

    select
        cohort_date,
        market_ticker,
        (sum(n_rows) over in_time) // getvariable('rows_per_part') as part
    from sized
    window in_time as (order by cohort_date, first_ts, market_ticker rows unbounded preceding);

-- An RFQ that was never seen has no market; its quotes count with the first part.
create or replace temp table parts_of_rfqs as
    select rfq_id, coalesce(part, 0) as part
    from touched_rfqs
    left join staging.rfqs using (rfq_id)
    left join parts_of_partitions as held
        on
            held.cohort_date = rfqs.created_ts::date
            and held.market_ticker is not distinct from rfqs.market_ticker;

-- One day at a time. What has no day is little, and comes with the first.
create or replace temp table parts_of_days as
    select
        cohort_date,
        greatest(1, count(cohort_date) over (order by cohort_date nulls first)) as part,
    from touched_days;
