-- Of how many ids something is new since the last build, and how many there are with the new ones.
with changed as (
    select distinct 'rfqs' as resource, id
    from raw.rfq_versions
    where load > (select load from incremental.last_build)
    union all
    select distinct 'quotes', id
    from raw.quote_versions
    where load > (select load from incremental.last_build)
),

held as (
    select 'rfqs' as resource, rfq_id as id from staging.rfqs
    union all
    select 'quotes', quote_id from staging.quotes
)

select
    (select count(*) from changed) as n_changed,
    (select count(*) from held) + (select count(*) from changed anti join held using (resource, id)) as n_total;
