-- RFQs that show something else now, and those whose quotes have another RFQ now, are looked for in staging.
delete from incremental.quoted_rfqs
where
    rfq_id in (select rfq_id from moved_rfqs)
    and (
        rfq_id in (from changed_rfqs)
        or rfq_id not in (
            select rfq_id from staging.quotes where rfq_id in (select rfq_id from moved_rfqs)
        )
    );
