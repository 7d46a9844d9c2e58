-- The few spans of time that hold these moments: apart where there is none for $far seconds at least.
with steps as (
    select
        epoch_us(created_ts) // ($far * 1000000) as step,
        min(created_ts) as first_ts,
        max(created_ts) as last_ts,
    from $moments
    where created_ts is not null
    group by step
),

gaps as (
    select first_ts, last_ts, epoch(first_ts - lag(last_ts) over (order by step)) as gap_s
    from steps
),

ranked as (
    select first_ts, last_ts, gap_s, row_number() over (order by gap_s desc nulls last) as rank
    from gaps
),

numbered as (
    select
        first_ts,
        last_ts,
        count(*) filter (gap_s >= $far and rank < $most) over (order by first_ts) as span,
    from ranked
)

select min(first_ts)::varchar as first_ts, max(last_ts)::varchar as last_ts
from numbered
group by span
order by 1;
