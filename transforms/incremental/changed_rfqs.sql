-- Places first, so that of all other rows the id alone is read.
create or replace temp table changed_rfq_versions as
    from raw.rfq_versions
    where
        near_rfqs(created_ts) and rowid in (
            select rowid from raw.rfq_versions
            where near_rfqs(created_ts) and id in (from changed_rfqs)
        );
