-- RFQs with a quote, all that staging has of them: few of all there are, so that a quote's RFQ is found
-- among them, and is read without all that stands around it in staging.
insert into incremental.quoted_rfqs
    select *, created_ts::date
    from staging.rfqs
    where
        near_moved(created_ts)
        and rowid in (
            select place from staged
            where rfq_id in (
                select rfq_id from staging.quotes where rfq_id in (select rfq_id from staged)
            )
        )
    order by created_ts;
