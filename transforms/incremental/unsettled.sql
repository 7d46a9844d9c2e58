-- Ids that will show more once their time has come, though nothing new is loaded of them.
create or replace table incremental.unsettled as
    select 'rfqs' as resource, id from raw.rfq_versions
    where greatest(observed_ts, created_ts, updated_ts, cancelled_ts) > $as_of
    union
    select 'quotes', id from raw.quote_versions
    where
        greatest(
            observed_ts, created_ts, updated_ts, accepted_ts, confirmed_ts, executed_ts,
            cancelled_ts
        ) > $as_of
    union
    select resource, id from raw.last_seen where last_seen_ts > $as_of
    union
    select resource, id from raw.tombstones where greatest(gone_ts, seen_again_ts) > $as_of;
