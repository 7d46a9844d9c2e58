-- Ids that will show more once their time has come, though nothing new is loaded of them. What no build
-- has seen change is settled already, so a build that goes on looks at what it has changed alone.
create or replace table incremental.unsettled as
    select 'rfqs' as resource, id from $rfq_versions
    where greatest(observed_ts, created_ts, updated_ts, cancelled_ts) > $as_of
    union
    select 'quotes', id from $quote_versions
    where
        greatest(
            observed_ts, created_ts, updated_ts, accepted_ts, confirmed_ts, executed_ts,
            cancelled_ts
        ) > $as_of
    union
    select resource, id from $last_seen where last_seen_ts > $as_of
    union
    select resource, id from $tombstones where greatest(gone_ts, seen_again_ts) > $as_of;
