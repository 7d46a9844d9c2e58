-- Which RFQs to compute again, given the ids that changed. The staging tables hold the new rows already,
-- the marts still the old ones. `created_ts` is where an RFQ is looked for, in staging and in the facts:
-- NULL for one that was never seen, and several for one that has shown several.

-- Passes that were served since, or that counted as served at the as-of time though they came later,
-- and how far those before them reached.
-- Looks without a load of their own are noted with the number of the load before, and are of an earlier
-- time where the exchange's clock was set back: which are new is told by how many there were.
create or replace temp table new_passes as
    with passes as (
        select
            side,
            served_ts as first_ts,
            served_ts as last_ts,
            load > getvariable('last_load') or served_ts > as_of as is_new,
        from raw.passes
        cross join (select as_of from incremental.last_build)
        union all
        select
            side,
            first_served_ts,
            last_served_ts,
            rowid >= n_look_stretches or last_served_ts >= as_of,
        from (select *, rowid from raw.look_stretches)
        cross join (select as_of, n_look_stretches from incremental.last_build)
    )

    select
        if(side = 'received', 'own', 'others') as whose,
        min(first_ts) filter (is_new) as from_ts,
        max(last_ts) filter (not is_new) as to_ts,
        least(from_ts, (select as_of from incremental.last_build)) as seen_from_ts,
    from passes
    group by all
    having from_ts is not null;

-- A constant, so that DuckDB skips whole blocks of what was last seen before.
set variable seen_from_ts = (select seen_from_ts from new_passes where whose = 'others');

create or replace temp table moved_rfqs as
with facts as (
    select rfq_id, created_ts, visibility, end_cause, end_ts, last_seen_open_ts
    from incremental.visible_rfq_facts
    union all
    select rfq_id, created_ts, visibility, end_cause, end_ts, last_seen_open_ts
    from incremental.foreign_rfq_facts
)

select id as rfq_id, created_ts from changed_rfq_versions
union
select id, created_ts from named_rfqs left join located_rfqs on hash(id) = id_hash
union
-- RFQs of others that are too old to be open, or that a new sweep may have missed. Those that were open
-- at the last build are younger than the oldest that may be open.
select rfq_id, created_ts
from facts
where
    end_cause is null and visibility <> 'own'
    and created_ts >= getvariable('oldest_open_before')
    and (
        created_ts < getvariable('oldest_open')
        or (select max(served_ts) from raw.open_sweeps where served_ts <= getvariable('shown_ts'))
        > coalesce(getvariable('swept_before_ts'), '-infinity')
    )
union
-- RFQs that a new pass may have found alive, or without a quote that was there before they ended.
select rfq_id, created_ts
from incremental.visible_rfq_facts
inner join new_passes on whose = if(visibility = 'own', 'own', 'others')
where
    end_ts >= least(from_ts, to_ts)
    or to_ts is null and end_ts is not null
    or end_ts is null and (visibility = 'own' or last_seen_open_ts >= seen_from_ts)
union
select rfq_id, created_ts
from incremental.foreign_rfq_facts
where last_seen_open_ts >= getvariable('seen_from_ts');
