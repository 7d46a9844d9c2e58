-- How far the marts have come, and what they were made of, for the next build to go on from.
create or replace table incremental.last_build as
    select
        $as_of::timestamptz as as_of,
        $recipe as recipe,
        (select count(*) from raw.rfq_versions) as n_rfq_versions,
        (select count(*) from raw.quote_versions) as n_quote_versions,
        (select count(*) from raw.tombstones) as n_tombstones,
        (select coalesce(max(load), -1) from raw.last_seen) as last_seen_load,
        (select coalesce(max(load), -1) from raw.passes) as passes_load,
        (select coalesce(max(load), -1) from raw.extraction_runs) as extraction_runs_load;
