-- What was seen again of the changed ids: never in an earlier load than their first version, so that
-- whole blocks of what was seen before are skipped.
set variable first_load = (
    select min(load) from (
        select load from changed_rfq_versions union all select load from changed_quote_versions
    )
);

create or replace temp table changed_last_seen as
    from raw.last_seen semi join changed_ids using (resource, id)
    where load >= getvariable('first_load');
