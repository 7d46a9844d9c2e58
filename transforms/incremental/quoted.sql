-- RFQs with a quote, and where each is: few of all there are, so that a quote's RFQ is found among them.
delete from incremental.quoted_rfqs where rfq_id in (select rfq_id from moved_rfqs);
insert into incremental.quoted_rfqs
    select rfq_id, created_ts, created_ts::date, market_ticker, is_combo
    from staging.rfqs
    where
        rowid in (select place from staged)
        and rfq_id in (select rfq_id from staging.quotes);
