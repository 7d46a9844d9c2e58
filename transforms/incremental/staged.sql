-- Where the moved RFQs stand in staging.
create or replace temp table staged as
    select rfq_id, rowid as place
    from staging.rfqs
    where
        rowid in (select rowid from staging.rfqs semi join moved_rfqs using (created_ts))
        and rfq_id in (select rfq_id from moved_rfqs);
