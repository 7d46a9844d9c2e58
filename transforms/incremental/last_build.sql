-- What the marts were made of, for the next build to go on from. Rows of raw carry the number of their
-- load, and numbers only grow: what is new since has a higher one. Fewer rows up to it mean a loss.
create or replace table incremental.last_build as
    select
        $as_of::timestamptz as as_of,
        $recipe as recipe,
        (select coalesce(max(load), 0) from raw.loads) as load,
        (select count(*) from raw.rfq_versions) as n_rfq_versions,
        (select count(*) from raw.quote_versions) as n_quote_versions,
        (select count(*) from raw.tombstones) as n_tombstones,
        (select count(*) from raw.last_seen) as n_last_seen,
        (select count(*) from raw.extraction_runs) as n_extraction_runs,
        (select count(*) from raw.look_stretches) as n_look_stretches;
