-- Where in staging the moved RFQs stand that are not held among the quoted ones.
create or replace temp table staged as
with unquoted as (select rfq_id, created_ts from moved_rfqs anti join incremental.quoted_rfqs using (rfq_id))

select rfq_id, created_ts, rowid as place
from staging.rfqs
where
    near_moved(created_ts)
    and rowid in (
        select rowid from staging.rfqs semi join unquoted using (created_ts)
        where near_moved(created_ts)
    )
    and rfq_id in (select rfq_id from unquoted);
