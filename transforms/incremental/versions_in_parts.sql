-- Where to divide all versions into parts by the time of creation, and the ids, by their hash, of which
-- versions show several such times.
create or replace temp table moved_creations as
    select hash(id) as id_hash
    from raw.$raw
    group by id_hash
    having min(created_ts) <> max(created_ts);

create or replace temp table ends_of_parts as
with counted as (
    select date_trunc('minute', created_ts) as minute_start_ts, count(*) as n_versions
    from raw.$raw
    group by minute_start_ts
),

numbered as (
    select
        minute_start_ts,
        sum(n_versions) over (order by minute_start_ts rows unbounded preceding) // $rows_per_part as part,
    from counted
)

-- A part ends where the next begins.
select min(minute_start_ts) as end_ts
from numbered
where part > 0
group by part;
