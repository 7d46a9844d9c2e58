-- RFQs that a changed quote names now or has named before.
create or replace temp table named_rfqs as
    select rfq_id as id from changed_quote_versions
    union
    -- Time alone moves a pending accept to a lapsed one, and a late execution to a stuck one.
    select rfq_id
    from marts.quote_facts
    where
        is_accept_pending
        or (
            confirmed_ts is not null and executed_ts is null and cancelled_ts is null
            and not is_confirmed_stuck
        );

create or replace temp table sought_rfqs as from changed_rfqs union from named_rfqs;
