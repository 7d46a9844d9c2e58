-- What was seen again of the changed ids: in no whole load before the one that first met them, so that
-- blocks of loads before that are skipped. A load that was killed may have left what it saw again
-- without the version. Where lost rows were read again, an id may have been met before.
set variable seen_after_load = (
    with met as (
        select min(load) as load from (
            select load from changed_rfq_versions union all select load from changed_quote_versions
        )
    )

    select case
        when (select max(load) from raw.extraction_runs where began_anew) >= met.load then -1
        else (select coalesce(max(load), -1) from raw.loads where is_whole and load < met.load)
    end
    from met
);

create or replace temp table changed_last_seen as
    from raw.last_seen semi join changed_ids using (resource, id)
    where load > getvariable('seen_after_load');
