-- Markets, days and hours to compute again once the facts are right, all of a key at once, in parts. The
-- facts that were computed again are in `shown_rfqs` and `shown_quotes`, as they were and as they are.

create or replace temp table parts_of_partitions as
with touched as (
    select cohort_date, market_ticker from shown_rfqs where is_visible
    union
    select cohort_date, market_ticker from shown_quotes
),

sized as (
    select cohort_date, market_ticker, count(*) as n_rows
    from (
        select cohort_date, market_ticker from marts.quote_facts
        union all
        select cohort_date, market_ticker from incremental.visible_rfq_facts
    ) as held
    semi join touched
        on
            held.cohort_date is not distinct from touched.cohort_date
            and held.market_ticker is not distinct from touched.market_ticker
    group by all
)

select
    touched.cohort_date,
    touched.market_ticker,
    (sum(coalesce(n_rows, 0)) over (order by touched.cohort_date, touched.market_ticker rows unbounded preceding))
    // getvariable('rows_per_part') as part,
from touched
left join sized
    on
        touched.cohort_date is not distinct from sized.cohort_date
        and touched.market_ticker is not distinct from sized.market_ticker;

-- Strangers' RFQs are read by the minute, about 1,440 rows a day, but where reading or quoting began.
create or replace temp table parts_of_days as
with touched as (
    select cohort_date from shown_rfqs
    union
    select cohort_date from shown_quotes
),

sized as (
    select cohort_date, count(*) as n_rows
    from (
        select cohort_date from marts.quote_facts
        union all
        select cohort_date from incremental.visible_rfq_facts
    ) as held
    semi join touched on held.cohort_date is not distinct from touched.cohort_date
    group by all
)

select
    touched.cohort_date,
    (sum(1440 + coalesce(n_rows, 0)) over (order by touched.cohort_date nulls first rows unbounded preceding))
    // getvariable('rows_per_part') as part,
from touched
left join sized on touched.cohort_date is not distinct from sized.cohort_date;

-- An RFQ that was known before its time was read counts as observed from then on, whatever has told that
-- it was read: so hours are computed again in which other time is read than at the last build.
create or replace temp table parts_of_hours as
with edges as (
    select pass, unnest([from_ts, to_ts]) as edge_ts, unnest([1, -1]) as now, 0 as before
    from read_now
    union all
    select pass, unnest([from_ts, to_ts]), 0, unnest([1, -1]) from incremental.read_before
),

-- In how many stretches the time from one edge to the next lies, 0 or 1 of those now and of those before.
between_edges as (
    select
        edge_ts as from_ts,
        lead(edge_ts) over in_order as to_ts,
        sum(sum(now)) over in_order as n_now,
        sum(sum(before)) over in_order as n_before,
    from edges
    group by pass, edge_ts
    window in_order as (partition by pass order by edge_ts)
),

touched as (
    select hour_start_ts from shown_rfqs
    union
    select unnest(
        generate_series(date_trunc('hour', from_ts), date_trunc('hour', to_ts), interval 1 hour)
    )
    from between_edges
    where n_now <> n_before
),

sized as (
    select date_trunc('hour', created_ts) as hour_start_ts, count(*) as n_rows
    from incremental.visible_rfq_facts
    group by all
)

select
    hour_start_ts::date as cohort_date,
    touched.hour_start_ts,
    (sum(60 + coalesce(n_rows, 0)) over (order by touched.hour_start_ts rows unbounded preceding))
    // getvariable('rows_per_part') as part,
from touched
left join sized using (hour_start_ts)
where hour_start_ts <= getvariable('shown_ts');
